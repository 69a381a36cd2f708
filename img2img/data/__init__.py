"""Floor 0: from image files to batches of tensors.

- ``images`` reads and writes image files; ``folder`` finds the pairs of an image set, ``label_files`` its label maps;
  ``toy/`` draws the toy tasks; ``torchvision_sets`` reads public sets.
- ``transforms`` resizes, crops and flips; ``degradations`` makes bad images of good ones.
- ``base`` is the interface of data sets; ``paired``, ``unpaired``, ``labelled``, ``unconditional``, ``domains`` and
  ``degraded`` implement it.
- ``loader`` makes reproducible batches of any of them.
"""

from __future__ import annotations

import importlib
from typing import Any

from img2img.data.base import ImageDataset
from img2img.data.options import DataConfig

Kind = str | type[ImageDataset]


def dataset_class(kind: Kind | tuple[Kind, ...], config: DataConfig | None = None) -> Any:
    """The data set class of a model's ``dataset`` attribute.

    Args:
        kind: a name ("paired" is ``img2img.data.paired.PairedDataset``), a class, or a tuple of these.
        config: chooses among the classes of a tuple: the first whose ``is_meant`` accepts it, or the first if unset.
    """
    if isinstance(kind, tuple):
        classes = [dataset_class(each) for each in kind]
        return next(cls for cls in classes if config is None or cls.is_meant(config))
    if not isinstance(kind, str):
        return kind
    return getattr(importlib.import_module(f"img2img.data.{kind}"), f"{kind.capitalize()}Dataset")
