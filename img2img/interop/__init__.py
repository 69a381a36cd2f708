"""Floor 3: weights of the official code, import and export."""

from img2img.interop.layouts import NetworkSpec
from img2img.interop.official import import_official

__all__ = ["NetworkSpec", "import_official"]
