"""Options of the data set ``domains``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import yaml

from img2img.data.domain_labels import DomainLabels, Labels
from img2img.data.options import DataConfig, check_channels, refuse_splits
from img2img.errors import require_at_least

HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")  # of CelebA


@dataclass
class DomainsConfig(DataConfig):
    """Where the images of several domains are, and how they are resized, cropped and batched."""

    everyday: ClassVar[Sequence[str]] = [
        *DataConfig.everyday,
        *"domains attributes table exclusive val_share center_crop joint_root image_channels direction".split(),
    ]
    folders: ClassVar[Sequence[str]] = ("root", "domains")
    places: ClassVar[Sequence[str]] = [*DataConfig.places, "domains", "table", "joint_root"]
    fixed: ClassVar[Sequence[str]] = ("names", "joint_names", "attributes", "image_channels")

    root: str | None = None
    """Folder of the image set: train/ and val/ with a folder for each domain; with attributes, the folder of the
    images."""
    toy: bool = False
    """Train on the toy task, drawn shoes in five colours, instead of data.root."""
    domains: dict[str, str] | None = None
    """Folder of the training images of each domain, instead of root: {black: DIR1, blond: DIR2}."""
    attributes: list[str] | str | None = None
    """Attributes to learn, columns of the table: [Black_Hair,Blond_Hair,Male], or a text with commas."""
    table: str | None = None
    """Table of attributes: CSV with a header, file names in the first column, values 1 and 0 or -1; or CelebA's
    list_attr_celeba.txt. Default: that file, or attributes.csv, in root or beside it."""
    exclusive: list[str] | str | None = None
    """Attributes of which an image has at most one: turning one on turns the others off. Several groups: a list of
    texts, ['A,B', 'C,D']. Default: CelebA's hair colours among the attributes."""
    val_share: float = 0.0
    """Share of the images to use for validation, in [0, 1), chosen by a hash of their names, if the set has no
    validation split."""
    even_domains: bool = False
    """Sample all domains equally often, however many images they have."""
    center_crop: int = 0
    """Side in pixels of a square cut from the centre of each image before resizing (CelebA: 178); 0: none."""
    joint_root: str | None = None
    """Folder of a second set, whose domains exclude each other: train/ and val/ with a folder for each domain. Both
    sets are learned jointly; every second image is of this set (Sec. 3.2)."""
    joint_center_crop: int = 0
    """center_crop of the images of joint_root (RaFD: 256 or none)."""
    image_channels: int = 3
    """Channels of the images: 1 (gray), 3 (RGB) or 4 (RGBA). Files are converted."""
    direction: str = ""
    """Domain that inference translates to by default (unset: the first)."""
    names: list[str] | None = None
    """Domains or attributes in the order of the label vector. Set when a training starts: folders sorted by name, or
    the attributes."""
    joint_names: list[str] | None = None
    """Domains of joint_root in the order of the label vector. Set when a training starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.domains = _as_folders(self.domains)
        self.attributes, self.exclusive = _as_list(self.attributes), _as_groups(self.exclusive)
        if self.names and not self.direction:
            self.direction = self.names[0]
        check_channels(self, "image_channels")
        require_at_least("data", self, {"center_crop": 0, "joint_center_crop": 0})
        if not 0 <= self.val_share < 1:
            raise ValueError(f"data.val_share {self.val_share}: must be in [0, 1)")
        if self.domains is not None and self.root is not None:
            raise ValueError(f"data.domains and data.root {self.root}: set only one of them")
        if self.domains is not None and self.attributes:
            raise ValueError("data.domains and data.attributes: set only one of them; attributes need data.root")
        if self.attributes and self.toy:
            raise ValueError("data.attributes and data.toy true: set only one of them")
        for name, count in Counter(self.attributes).items():
            if count > 1:
                raise ValueError(f"data.attributes: {name} is there {count} times; give it once")
        for name, count in Counter(name for group in self.groups for name in group).items():
            if name not in (self.attributes or ()):
                raise ValueError(f"data.exclusive {name}: must be one of data.attributes")
            if count > 1:
                raise ValueError(f"data.exclusive: {name} is there {count} times; give it once")
        for name in self.joint_names or ():
            if name in (self.names or ()):
                raise ValueError(f"data.joint_root {self.joint_root}: {name} is a domain of both sets; rename one")

    def moved(self, new: Mapping[str, Any]) -> DomainsConfig:
        """As in the base class. ``root`` takes the place of ``domains``, and ``domains`` that of ``root``.

        Raises:
            ValueError: ``domains`` has other names than the run's; there is no first, or no second set.
        """
        if new.get("joint_root") and not self.joint_names:
            raise ValueError(f"data.joint_root {new['joint_root']}: the run has learned one set; leave it out")
        if new.get("table") and not self.attributes:
            raise ValueError(f"data.table {new['table']}: the run has learned no attributes; leave it out")
        others = {key: value for key, value in new.items() if key != "domains"}
        if "domains" not in new:
            return super().moved({**others, **({"domains": None} if "root" in new else {})})
        if new.get("root"):
            raise ValueError(f"data.domains and data.root {new['root']}: set only one of them")
        if self.attributes:
            raise ValueError("data.domains: the run has learned attributes; set data.root")
        refuse_splits(new, "data.domains has folders without splits")
        moved = super().moved({**others, "root": None})
        return replace(moved, domains=self._folders_now(new["domains"]), toy=False)

    def _folders_now(self, domains: Any) -> dict[str, str]:
        """The run's domains with new folders, in the order of the label vector, from a mapping or its YAML."""
        names = self.names or []
        folders = _as_folders(yaml.safe_load(domains) if isinstance(domains, str) else domains)
        if folders is None or sorted(folders) != sorted(names):
            wanted = ", ".join(f"{name}: DIR" for name in names)
            raise ValueError(f"data.domains {domains}: the run's domains have other names; give {{{wanted}}}")
        return {name: folders[name] for name in names}

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Groups of attributes of which at most one holds."""
        if self.exclusive is None:
            hair = tuple(name for name in self.attributes or () if name in HAIR_COLOURS)
            return (hair,) if hair else ()
        separate = [tuple(_as_list(each) or ()) for each in self.exclusive]
        if all(len(names) == 1 for names in separate):  # [A, B] is one group
            return (tuple(name for names in separate for name in names),)
        return tuple(separate)

    @property
    def labels(self) -> Labels:
        """What the label vector means. Known when ``names`` is set."""
        names = tuple(self.names or self.attributes or ())
        sets = [DomainLabels(names, exclusive=not self.attributes, groups=self.groups)]
        sets += [DomainLabels(tuple(self.joint_names), exclusive=True)] if self.joint_names else []
        return Labels(tuple(sets))

    @property
    def channels(self) -> dict[str, int]:
        """Number of channels of images; length of the label vector ``domain``; how many of its labels are of the first
        of two sets."""
        labels = self.labels
        joint = {"first_labels": len(labels.sets[0].names)} if len(labels.sets) > 1 else {}
        return {"input": self.image_channels, "target": self.image_channels, "domain": labels.length, **joint}


def _as_folders(value: Any) -> dict[str, str] | None:
    """Folders by domain. YAML reads 0 as a number, which is a name here; None for another value than a mapping.

    Raises:
        ValueError: YAML has read a name as true or false.
    """
    if not isinstance(value, Mapping):
        return None
    for name in value:
        if isinstance(name, bool):
            raise ValueError(f"data.domains: YAML reads a name as {str(name).lower()}; put the names in quotes")
    return {str(name): folder for name, folder in value.items()}


def _as_list(value: list[str] | str | None) -> list[str] | None:
    """A list of names from a list, or from a text with commas or spaces; None if it is empty."""
    words: Any = value.replace(",", " ").split() if isinstance(value, str) else value
    return list(words) if words else None


def _as_groups(value: list[str] | str | None) -> list[str] | None:
    """A list of groups, each a text with commas, from a list or from a text with semicolons; None if it is empty."""
    if isinstance(value, str) and ";" in value:
        return [part.strip() for part in value.split(";") if part.strip()]
    return _as_list(value)
