"""Floor 0: from image files to batches of tensors.

``images`` reads and writes, ``folder`` finds the pairs of a set and ``label_files`` its label maps, ``toy/`` draws
the embedded tasks, ``torchvision_sets`` reads public sets, ``transforms`` resizes, crops and flips. ``base`` is the
contract of data sets; ``paired``, ``unpaired``, ``labelled`` and ``unconditional`` are data sets; ``loader`` makes
keyed batches of any.
"""

from __future__ import annotations

import importlib
from typing import Any

from img2img.data.base import ImageDataset
from img2img.data.options import DataConfig

Kind = str | type[ImageDataset]


def dataset_class(kind: Kind | tuple[Kind, ...], config: DataConfig | None = None) -> Any:
    """The data set that a model names as its ``dataset``: "paired" is ``img2img.data.paired.PairedDataset``; a model
    from outside the package may give a class of its own. Of several, the first that is meant by the options, or the
    first without any.
    """
    if isinstance(kind, tuple):
        classes = [dataset_class(each) for each in kind]
        return next(found for found in classes if config is None or found.is_meant(config))
    if not isinstance(kind, str):
        return kind
    return getattr(importlib.import_module(f"img2img.data.{kind}"), f"{kind.capitalize()}Dataset")
