"""Floor 0: from picture files to batches of tensors.

``images`` reads and writes, ``folder`` finds the pairs of a set and ``label_files`` its label maps, ``toy`` draws the
embedded task, ``torchvision_sets`` reads public sets, ``transforms`` resizes, crops and flips; ``paired``,
``unpaired``, ``labelled`` and ``pictures`` are data sets, ``loader`` makes keyed batches of any.
"""

from __future__ import annotations

import importlib
from typing import Any


def dataset_class(kind: str) -> Any:
    """The data set that a model names as its ``dataset``: "paired" is ``img2img.data.paired.PairedDataset``."""
    return getattr(importlib.import_module(f"img2img.data.{kind}"), f"{kind.capitalize()}Dataset")
