"""Styles of outputs of label maps: clusters of instance features of the training set, and ways to choose among them.

Wang et al., "High-Resolution Image Synthesis and Semantic Manipulation with Conditional GANs", arXiv 1711.11585,
Sec. 3.4. The encoder gives each instance of the training set a feature vector. K-means clusters them within each class.
A style gives each instance of a label map one of the cluster centres of its class. Official code: NVIDIA/pix2pixHD,
``encode_features.py``. Differences on purpose:
- The official code leaves out all small instances, so that a class of small ones has no clusters. Here such a class
  keeps all its instances.
- Clusters are numbered by size: 0 is the largest.

    runs/NAME/styles/step-000600.npz    class (N,), count (N,), centre (N, n_features): one row per cluster
                                        encoder: sha256 of the encoder's weights

The file lies beside the checkpoint, not in it, since a checkpoint never changes. The checksum shows whether the run was
trained anew since, so that the encoder of this step is another one.
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
from img2img.errors import needs_extra
from img2img.files import write_whole
from img2img.inference.label_edits import Classes
from img2img.inference.translator import Translator
from img2img.program import command

FOLDER = "styles"
CLUSTERS = 10  # default per class, as in the official code
MIN_SHARE = 1 / 64  # smallest part of its image that an instance must cover, as in the official code
USAGE = "random, cluster:CLASS=N,..., instance:ID=N,..., encode:PHOTO; join several with ';'"

Clusters = Mapping[int, np.ndarray]
"""Cluster centres (K, n_features) by class, the largest cluster first."""


def encodes(translator: Translator) -> bool:
    """Whether the run has an encoder of styles."""
    return "encoder" in translator.model.generators


def encode(translator: Translator, photo: np.ndarray, instance: np.ndarray) -> np.ndarray:
    """Features (H, W, n_features) of a photo (H, W, C) with instance ids (H, W, 1), constant within instances."""
    batch, inside = translator.batch({"target": photo, "instance": instance})
    ids = batch["instance"].long()
    padded = torch.full_like(ids, int(ids.min()) - 1)  # an own id for the padding, so that no mean includes it
    padded[0][inside] = ids[0][inside]
    encoder: Any = translator.model.encoder
    with torch.inference_mode():
        features = encoder(batch["target"], padded)[0]
    return features[inside].permute(1, 2, 0).float().cpu().numpy()


def find_instances(label: np.ndarray, instance: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The instances of label and instance maps (H, W).

    Returns:
        Their ids (N,); their classes (N,), each that of most of its pixels; and each pixel's index into them (H, W).
    """
    ids, places = np.unique(instance, return_inverse=True)
    low, span = int(label.min()), int(label.max()) - int(label.min()) + 1
    pairs, counts = np.unique(
        places.ravel() * span + (label.ravel() - low), return_counts=True
    )  # one sort of integers, not a loop
    order = np.lexsort((-pairs, counts, pairs // span))  # the most frequent class of each instance comes last
    last = np.searchsorted(pairs[order] // span, np.arange(len(ids)), side="right") - 1
    return ids, pairs[order][last] % span + low, places.reshape(instance.shape)


def instance_vectors(
    label: np.ndarray, instance: np.ndarray, features: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The feature vectors of all instances, of maps (H, W) and features (H, W, C) that are constant within instances.

    Returns:
        Classes (N,), the part of the image that each instance covers (N,), vectors (N, C).
    """
    _, classes, places = find_instances(label, instance)
    _, first, counts = np.unique(places, return_index=True, return_counts=True)
    return classes, counts / instance.size, features.reshape(-1, features.shape[2])[first]


def cluster(vectors: np.ndarray, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """K-means of vectors (N, C), deterministic.

    Returns:
        Centres (K, C) float32 and sizes (K,), the largest cluster first. K is ``clusters``, or the number of different
        vectors if that is smaller.
    """
    with needs_extra("styles", "styles"):
        from sklearn.cluster import KMeans
        from threadpoolctl import threadpool_limits

    k = min(clusters, len(np.unique(vectors, axis=0)))
    with threadpool_limits(1):  # several threads would add up in any order
        kmeans = KMeans(k, n_init=10, random_state=0).fit(vectors.astype(np.float64))
    counts = np.bincount(kmeans.labels_, minlength=k)
    order = np.lexsort((*kmeans.cluster_centers_.T[::-1], -counts))
    return kmeans.cluster_centers_[order].astype(np.float32), counts[order]


def encode_training_set(
    translator: Translator, clusters: int = CLUSTERS, min_share: float = MIN_SHARE
) -> tuple[Path, list[str]]:
    """Encodes the run's training set, without augmentation, and saves the clusters of each class.

    Args:
        translator: of the run, at the checkpoint whose encoder is used.
        clusters: maximum number of clusters per class.
        min_share: leave out instances that cover no more than this part of their image, in [0, 1). A class without
            larger instances keeps all of them.

    Returns:
        The file, and lines to print about its content.

    Raises:
        ValueError: the run has no encoder, an argument is out of range, no training image can be read, or the file
            can't be written.
    """
    config = translator.config
    if clusters < 1:
        raise ValueError(f"--clusters {clusters}: must be at least 1")
    if not 0 <= min_share < 1:
        raise ValueError(f"--min-share {min_share}: must be in [0, 1)")
    if not encodes(translator):
        raise ValueError(f"run {config.name} has no encoder; train it with --model.instance_features true")
    items = translator.dataset(config.data, "train").items(translator.direction)
    instances: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
    for index in tqdm(range(len(items)), "encoding", unit="image", disable=None):
        try:
            item = items[index]
        except UnreadableImage as error:
            tqdm.write(f"skipped: {error}", file=sys.stderr)
            continue
        label, instance = item.inputs["label"], item.inputs["instance"]
        assert item.target is not None, "the training part has photos"
        features = encode(translator, item.target, instance)
        instances.append(instance_vectors(label[:, :, 0], instance[:, :, 0], features))
    if not instances:
        raise ValueError(f"run {config.name}: no training image can be read")
    classes, shares, vectors = (np.concatenate(parts) for parts in zip(*instances, strict=True))
    rows, small_only = [], []
    for number in np.unique(classes).tolist():
        chosen = (classes == number) & (shares > min_share)
        if not chosen.any():
            chosen = classes == number
            small_only.append(Classes(config.data).name(number))
        centres, counts = cluster(vectors[chosen], clusters)
        rows.append((np.full(len(counts), number), counts, centres))
    names = ("class", "count", "centre")
    arrays = {name: np.concatenate(parts) for name, parts in zip(names, zip(*rows, strict=True), strict=True)}
    notes = [f"{arrays['count'].sum()} of {len(classes)} instances in {len(rows)} classes, {len(instances)} images"]
    if small_only:
        notes.append(f"no instance above --min-share {min_share:.4g}, so all were used: {', '.join(small_only)}")
    return save_clusters(translator, arrays), notes


def styles_file(translator: Translator) -> Path:
    """The file of the clusters of a run's checkpoint."""
    assert translator.checkpoint is not None, "this translator was not loaded from a run"
    return translator.run / FOLDER / f"{translator.checkpoint.name}.npz"


def encoder_checksum(translator: Translator) -> str:
    """The sha256 of the encoder's weights in the run's checkpoint."""
    assert translator.checkpoint is not None, "this translator was not loaded from a run"
    return checksum(translator.checkpoint, network_name(translator.checkpoint, "encoder"))


def save_clusters(translator: Translator, arrays: Mapping[str, np.ndarray]) -> Path:
    """Writes the arrays and the checksum of the encoder; the file is replaced as a whole.

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
    """Loads what ``encode_training_set`` saved.

    Raises:
        ValueError: the file is missing, damaged, or of another encoder than that of the checkpoint.
    """
    path, remedy = styles_file(translator), f"{command('styles')} {translator.run}"
    option = f"(with --checkpoint {int(path.stem.removeprefix('step-'))}, if that is not the latest)"
    if not path.is_file():
        raise ValueError(f"{path}: no such file; run {remedy} first {option}")
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            classes, centres = file["class"], file["centre"].astype(np.float32)
            encoder = str(file["encoder"]) if "encoder" in file.files else "unknown"
        if classes.ndim != 1 or centres.ndim != 2 or not 0 < len(classes) == len(centres):
            raise ValueError(f"{classes.shape} classes of {centres.shape} centres")
    except (OSError, ValueError, TypeError, LookupError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged ({str(error).splitlines()[0]}); run {remedy} again") from error
    if encoder != encoder_checksum(translator):
        raise ValueError(
            f"{path}: made with another encoder than that of {translator.checkpoint}; run {remedy} again {option}"
        )
    return {number: centres[classes == number] for number in np.unique(classes).tolist()}


class Style:
    """A choice of features for each instance of a label map: ``style(label, instance, seed)``.

    The text has these parts, joined by semicolons, in any order:

        random              each instance draws a cluster of its class; the draw depends on seed and instance id only,
                            so that edits elsewhere in the label map don't change it
        encode:PHOTO        features of a photo, averaged over the instances of the label map
        cluster:CLASS=N,... cluster N for all instances of a class, by its id or name
        instance:ID=N,...   cluster N of its class for one instance

    ``instance`` overrides ``cluster``, which overrides ``random`` and ``encode``. Instances that no part covers take
    cluster 0. Instances of a class without clusters take the mean of all centres.

    Raises:
        ValueError: the text is invalid, names what does not exist, or needs clusters and the run has none yet.
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
                raise ValueError(f"{self.option}: invalid part {part.strip() or '(empty)'}; give {USAGE}")
        if self.random and photo:
            raise ValueError(f"{self.option}: random and encode exclude each other; give only one")
        self.clusters: Clusters = {}
        if photo:
            self.photo = read_image(Path(photo), translator.channels[1])
        if not photo or self.by_class or self.by_instance:
            self.clusters = load_clusters(translator)
        for number, chosen in self.by_class.items():
            self._check_cluster(number, chosen)

    def check(self, label: np.ndarray, instance: np.ndarray) -> None:
        """Raises ValueError if the style names an instance or a cluster that the maps (H, W) don't have."""
        if not self.by_instance:
            return
        ids, classes, _ = find_instances(label, instance)
        class_of = dict(zip(ids.tolist(), classes.tolist(), strict=True))
        for number, chosen in self.by_instance.items():
            if number not in class_of:
                known = some([str(i) for i in ids])
                raise ValueError(f"{self.option}: the instance map has no id {number}; it has {known}")
            self._check_cluster(class_of[number], chosen)

    def __call__(
        self, label: np.ndarray, instance: np.ndarray, seed: int = 0, encoded: np.ndarray | None = None
    ) -> np.ndarray:
        """Features (H, W, n_features), constant within each instance.

        Args:
            label, instance: class and instance ids, (H, W).
            seed: seed of ``random``.
            encoded: features (H, W, n_features) of the photo of ``encode:``.
        """
        ids, classes, places = find_instances(label, instance)
        if encoded is None:
            mean = np.concatenate(list(self.clusters.values())).mean(axis=0, keepdims=True)
            pairs = zip(ids.tolist(), classes.tolist(), strict=True)
            vectors = np.stack([self._default(*pair, seed, mean) for pair in pairs])  # (N, n_features)
        else:
            vectors = instance_vectors(label, instance, encoded)[2]
        for i, (number, class_id) in enumerate(zip(ids.tolist(), classes.tolist(), strict=True)):
            chosen = self.by_instance.get(number, self.by_class.get(class_id))
            if chosen is not None:
                vectors[i] = self.clusters[class_id][chosen]
        return vectors[places]

    def _default(self, number: int, class_id: int, seed: int, mean: np.ndarray) -> np.ndarray:
        """The vector of an instance that neither ``instance`` nor ``cluster`` covers."""
        centres = self.clusters.get(class_id, mean)
        drawn = np.random.default_rng((seed, number % 2**32)).integers(len(centres)) if self.random else 0
        return centres[drawn]

    def _check_cluster(self, number: int, chosen: int) -> None:
        name, count = self.classes.name(number), len(self.clusters.get(number, ()))
        if not count:
            raise ValueError(f"{self.option}: {name} has no clusters, since no training image contains it")
        if chosen >= count:
            raise ValueError(f"{self.option}: {name} has no cluster {chosen}; it has 0 to {count - 1}")

    def _numbers(self, text: str, key_name: str) -> dict[str, int]:
        """``a=2,b=5`` -> {a: 2, b: 5}"""
        numbers = {}
        for part in text.split(","):
            key, _, value = (word.strip() for word in part.partition("="))
            if not key or not value.isdecimal():
                raise ValueError(
                    f"{self.option}: invalid {part or '(empty)'}; give {key_name}=N, where N is the number of a cluster"
                )
            numbers[key] = int(value)
        return numbers

    def _id(self, text: str) -> int:
        if not text.isdecimal():
            raise ValueError(f"{self.option}: invalid instance id {text}; give a number")
        return int(text)
