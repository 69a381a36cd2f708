"""Styles of a run with an encoder: clusters of what it finds in the training set, and ways to choose among them.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv 1711.11585,
Sec. 3.4: the features of all training instances, one vector each, are clustered by K-means within each class; a style
gives each instance of a scene one of its class's centres. Official code: NVIDIA/pix2pixHD, ``encode_features.py``.
Where we differ on purpose:
- an instance that is too small is left out only where its class has larger ones; there, such a class has no clusters.
- clusters are numbered by size: 0 is the most common look of a class.

    runs/NAME/styles/step-000600.npz    class (N,), count (N,), centre (N, n_features): a row a cluster
                                        encoder: the sha256 of the weights that found them

They lie beside the checkpoint that they belong to, not in it: a checkpoint never changes. But the run may be trained
anew, or from an earlier step on, and the encoder of this step is then another one; the checksum tells.
"""

from __future__ import annotations

import io
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from img2img.checkpoint import checksum, network_name
from img2img.data.folder import some
from img2img.data.images import UnreadableImage, read_image
from img2img.files import write_whole
from img2img.inference.label_edits import Classes
from img2img.inference.translator import Translator

FOLDER = "styles"
CLUSTERS = 10  # per class, as in the official code
MIN_SHARE = 1 / 64  # of its image that an instance must cover, as in the official code
USAGE = "random, cluster:CLASS=N,..., instance:ID=N,... or encode:PHOTO; several with ; between them"

Clusters = Mapping[int, np.ndarray]
"""Centres (K, n_features) by class, the most common one first."""


def encodes(translator: Translator) -> bool:
    """Whether the run has an encoder of styles."""
    return "encoder" in translator.model.generators


def encode(translator: Translator, photo: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """The features (H, W, n_features) of a photo (H, W, C) with its instance ids (H, W, 1): one vector an instance."""
    batch, inside = translator.batch({"target": photo, "instance": instance})
    ids = batch["instance"].long()
    padded = torch.full_like(ids, int(ids.min()) - 1)  # the padding is an instance of its own: no mean counts it
    padded[0][inside] = ids[0][inside]
    encoder: Any = translator.model.encoder
    with torch.inference_mode():
        features = encoder(batch["target"], padded)[0]
    return features[inside].permute(1, 2, 0).float().cpu().numpy()


def find_instances(label: np.ndarray, instance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of maps (H, W): the instances' ids (N,), their classes (N,), and each pixel's place among them (H, W).

    The class of an instance is that of most of its pixels.
    """
    ids, places = np.unique(instance, return_inverse=True)
    low, span = int(label.min()), int(label.max()) - int(label.min()) + 1
    pairs, counts = np.unique(places.ravel() * span + (label.ravel() - low), return_counts=True)  # one sort of integers
    order = np.lexsort((-pairs, counts, pairs // span))  # the most frequent class of each instance comes last
    last = np.searchsorted(pairs[order] // span, np.arange(len(ids)), side="right") - 1
    return ids, pairs[order][last] % span + low, places.reshape(instance.shape)


def instance_vectors(
    label: np.ndarray, instance: np.ndarray, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of maps (H, W) and features (H, W, C) that are constant within instances: classes, shares (N,), vectors (N, C).

    A share is the part of the image that an instance covers.
    """
    _, classes, places = find_instances(label, instance)
    _, first, counts = np.unique(places, return_index=True, return_counts=True)
    return classes, counts / instance.size, features.reshape(-1, features.shape[2])[first]


def cluster(vectors: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """K-means: (N, C) -> centres (K, C) float32 and how many vectors each has (K,), the largest cluster first.

    K is ``clusters``, or less where there are fewer different vectors. The same vectors give the same centres.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    k = min(clusters, len(np.unique(vectors, axis=0)))
    with threadpool_limits(1):  # threads add up in any order
        found = KMeans(k, n_init=10, random_state=0).fit(vectors.astype(np.float64))
    counts = np.bincount(found.labels_, minlength=k)
    order = np.lexsort((*found.cluster_centers_.T[::-1], -counts))
    return found.cluster_centers_[order].astype(np.float32), counts[order]


def encode_training_set(
    translator: Translator, clusters: int = CLUSTERS, min_share: float = MIN_SHARE
) -> tuple[Path, list[str]]:
    """Encodes a run's training set without augmentation and saves the clusters of each class.

    A vector is the mean of the features over one instance. Those count that cover more than ``min_share`` of their
    image; a class that has none as large gets its clusters from all its instances.

    Args:
        translator: of the run, at the checkpoint whose encoder is asked.
        clusters: of each class, at most.
        min_share: 0 takes every instance.

    Returns:
        The file, and lines on what went into it.

    Raises:
        ValueError: the run has no encoder, an argument is out of range, no scene can be read, or the file can't be
            written.
    """
    config = translator.config
    if clusters < 1:
        raise ValueError(f"--clusters {clusters}: must be at least 1")
    if not 0 <= min_share < 1:
        raise ValueError(f"--min-share {min_share}: must lie in [0, 1)")
    if not encodes(translator):
        raise ValueError(f"run {config.name} has no encoder: train one with --model.instance_features true")
    scenes = translator.dataset(config.data, "train").items(translator.direction)
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for index in tqdm(range(len(scenes)), "encoding", unit="picture", disable=None):
        try:
            scene = scenes[index]
        except UnreadableImage as error:
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            continue
        label, instance = scene.inputs["label"], scene.inputs["instance"]
        assert scene.target is not None, "the training part has photos"
        features = encode(translator, scene.target, instance)
        found.append(instance_vectors(label[:, :, 0], instance[:, :, 0], features))
    if not found:
        raise ValueError(f"run {config.name}: no training image can be read")
    classes, shares, vectors = (np.concatenate(parts) for parts in zip(*found, strict=True))
    rows, small = [], []
    for number in np.unique(classes).tolist():
        chosen = (classes == number) & (shares > min_share)
        if not chosen.any():
            chosen = classes == number
            small.append(Classes(config.data).name(number))
        centres, counts = cluster(vectors[chosen], clusters)
        rows.append((np.full(len(counts), number), counts, centres))
    names = ("class", "count", "centre")
    arrays = {name: np.concatenate(parts) for name, parts in zip(names, zip(*rows, strict=True), strict=True)}
    notes = [f"{arrays['count'].sum()} of {len(classes)} instances in {len(rows)} classes, {len(found)} images"]
    if small:
        notes.append(f"none covers more than {min_share:.4g} of its image, so all count: {', '.join(small)}")
    return save_clusters(translator, arrays), notes


def styles_file(translator: Translator) -> Path:
    """Where the clusters of a run's checkpoint are."""
    assert translator.checkpoint is not None, "this translator was not loaded from a run"
    return translator.run / FOLDER / f"{translator.checkpoint.name}.npz"


def encoder_checksum(translator: Translator) -> str:
    """The sha256 of the encoder's weights in the run's checkpoint."""
    assert translator.checkpoint is not None, "this translator was not loaded from a run"
    return checksum(translator.checkpoint, network_name(translator.checkpoint, "encoder"))


def save_clusters(translator: Translator, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes plain arrays, and the checksum of the encoder that found them, aside and renames the file.

    Raises:
        ValueError: it can't be written.
    """
    path = styles_file(translator)
    arrays = {**arrays, "encoder": np.array(encoder_checksum(translator))}
    written = io.BytesIO()
    np.savez(written, **arrays)  # type: ignore[arg-type]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, written.getvalue())
    except OSError as error:
        raise ValueError(f"{path}: can't be written ({error.strerror or error})") from error
    return path


def load_clusters(translator: Translator) -> Clusters:
    """What ``encode_training_set`` saved.

    Raises:
        ValueError: the file is missing, damaged, or of an encoder that this checkpoint no longer has; with the remedy.
    """
    path, remedy = styles_file(translator), f"run tools/encode_features.py {translator.run}"
    which = f"(--checkpoint {int(path.stem.removeprefix('step-'))}, if that is not the latest)"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; {remedy} first {which}")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            classes, centres = file["class"], file["centre"].astype(np.float32)
            encoder = str(file["encoder"]) if "encoder" in file.files else "unknown"
        if classes.ndim != 1 or centres.ndim != 2 or not 0 < len(classes) == len(centres):
            raise ValueError(f"{classes.shape} classes of {centres.shape} centres")
    except (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged ({str(error).splitlines()[0]}); {remedy} again") from error
    if encoder != encoder_checksum(translator):
        raise ValueError(f"{path}: of another encoder than {translator.checkpoint} has now; {remedy} again {which}")
    return {number: centres[classes == number] for number in np.unique(classes).tolist()}


class Style:
    """A way to give each instance of a scene its features: ``style(label, instance, seed)``.

    Parts of the text, with semicolons between them, in any order:

        random              each instance draws one of its class's clusters; the draw depends on the seed and the
                            instance's id alone, so an edit elsewhere in the scene, or another scene, changes nothing
        encode:PHOTO        as the encoder finds them in a photo, taken instance by instance at the scene's places
        cluster:CLASS=N,... this cluster for all instances of a class
        instance:ID=N,...   this cluster of its class for one instance

    What an instance's id says precedes what its class says, and that precedes random and encode; without either of
    them the rest takes cluster 0. Instances of a class that training never saw get the mean of all centres.

    Raises:
        ValueError: the text is no style, names what does not exist, or needs clusters that nobody made yet.
    """

    def __init__(self, text: str, translator: Translator) -> None:
        self.text, self.classes = text, Classes(translator.config.data)
        self.option = f"--style {text}"
        self.random = False
        self.photo: np.ndarray | None = None
        self.by_class: dict[int, int] = {}
        self.by_instance: dict[int, int] = {}
        photo = ""
        for part in text.split(";"):
            kind, _, rest = part.strip().partition(":")
            if kind == "random" and not rest:
                self.random = True
            elif kind == "encode" and rest:
                photo = rest
            elif kind == "cluster" and rest:
                numbers = self._numbers(rest, "CLASS")
                self.by_class |= {self.classes.number(key, self.option): value for key, value in numbers.items()}
            elif kind == "instance" and rest:
                self.by_instance |= {self._id(key): value for key, value in self._numbers(rest, "ID").items()}
            else:
                raise ValueError(f"{self.option}: {part.strip() or 'nothing'} is no style; there are {USAGE}")
        if self.random and photo:
            raise ValueError(f"{self.option}: random and encode both say what the rest takes; choose one")
        self.clusters: Clusters = {}
        if photo:
            self.photo = read_image(Path(photo), translator.channels[1])
        if not photo or self.by_class or self.by_instance:
            self.clusters = load_clusters(translator)
        for number, chosen in self.by_class.items():
            self._check_cluster(number, chosen)

    def check(self, label: np.ndarray, instance: np.ndarray) -> None:
        """Raises ValueError if the style names an instance, or a cluster for it, that maps (H, W) don't have."""
        if not self.by_instance:
            return
        ids, classes, _ = find_instances(label, instance)
        found = dict(zip(ids.tolist(), classes.tolist(), strict=True))
        for number, chosen in self.by_instance.items():
            if number not in found:
                has = some([str(i) for i in ids])
                raise ValueError(f"{self.option}: the instance map has no {number}; it has {has}")
            self._check_cluster(found[number], chosen)

    def __call__(
        self, label: np.ndarray, instance: np.ndarray, seed: int = 0, encoded: np.ndarray | None = None
    ) -> np.ndarray:
        """Features (H, W, n_features), constant within each instance, of maps (H, W).

        ``encoded``, (H, W, n_features), are those of the photo, which ``encode:`` takes for the rest.
        """
        ids, classes, places = find_instances(label, instance)
        if encoded is None:
            mean = np.concatenate(list(self.clusters.values())).mean(axis=0, keepdims=True)
            rest = [self._rest(*pair, seed, mean) for pair in zip(ids.tolist(), classes.tolist(), strict=True)]
            vectors = np.stack(rest)  # (N, n_features)
        else:
            vectors = instance_vectors(label, instance, encoded)[2]
        for i, (number, kind) in enumerate(zip(ids.tolist(), classes.tolist(), strict=True)):
            chosen = self.by_instance.get(number, self.by_class.get(kind))
            if chosen is not None:
                vectors[i] = self.clusters[kind][chosen]
        return vectors[places]

    def _rest(self, number: int, kind: int, seed: int, mean: np.ndarray) -> np.ndarray:
        """The vector of an instance of which the style says nothing."""
        centres = self.clusters.get(kind, mean)
        drawn = np.random.default_rng((seed, number % 2**32)).integers(len(centres)) if self.random else 0
        return centres[drawn]

    def _check_cluster(self, number: int, chosen: int) -> None:
        name, count = self.classes.name(number), len(self.clusters.get(number, ()))
        if not count:
            raise ValueError(f"{self.option}: {name} has no clusters, since no training image shows it")
        if chosen >= count:
            raise ValueError(f"{self.option}: {name} has no cluster {chosen}; it has 0..{count - 1}")

    def _numbers(self, text: str, what: str) -> dict[str, int]:
        """``a=2,b=5`` -> {a: 2, b: 5}"""
        found = {}
        for part in text.split(","):
            key, _, value = (word.strip() for word in part.partition("="))
            if not key or not value.isdecimal():
                raise ValueError(f"{self.option}: {part or 'nothing'} is not {what}=N, N the number of a cluster")
            found[key] = int(value)
        return found

    def _id(self, text: str) -> int:
        if not text.isdecimal():
            raise ValueError(f"{self.option}: {text} is no id of an instance, which is a number")
        return int(text)
