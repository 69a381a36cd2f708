"""img2img: image-to-image translation in PyTorch.

::

    import img2img
    from PIL import Image

    run = img2img.load_run("edges2shoes")  # made by the command ``train``, or by img2img.train(...)
    scores = img2img.evaluate(run)

    translate = img2img.load_translator("runs/edges2shoes")
    photo = translate(Image.open("drawing.png"))  # PIL image or numpy (H, W, C) -> the same type and size
    images = img2img.load_sampler("runs/dcgan-toy")(count=64, seed=1)  # from noise: (64, H, W, C) uint8

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
