"""img2img: image-to-image translation in PyTorch.

    from img2img import load_translator
    translate = load_translator("runs/edges2shoes")
    photo = translate(drawing)                  # numpy (H, W, C) or PIL image -> the same type and size

    from img2img import load_sampler
    images = load_sampler("runs/dcgan-toy")(count=64, seed=1)         # from noise: (64, H, W, C) uint8

    import img2img
    run = img2img.train("pix2pix", data={"root": "datasets/facades"}) # as the command ``train``
    scores = img2img.evaluate(run)

docs/architecture.md describes the package's files.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

# At import, albumentations asks the package index for its newest version, which takes two seconds when offline.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")  # errors for damaged images come from img2img

if TYPE_CHECKING:
    from img2img.api import Run, evaluate, load_run, train
    from img2img.inference.loading import load_sampler, load_translator
    from img2img.inference.sampler import Sampler
    from img2img.inference.translator import Translator

__all__ = ["Run", "Sampler", "Translator", "evaluate", "load_run", "load_sampler", "load_translator", "train"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Imports functions (and with them torch) on first access, so that ``import img2img`` is fast."""
    if name in ("Run", "evaluate", "load_run", "train"):
        from img2img import api

        return getattr(api, name)
    if name in __all__:
        from img2img.inference import loading

        return getattr(loading, name)
    raise AttributeError(f"module 'img2img' has no attribute '{name}'")
