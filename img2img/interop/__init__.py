"""Floor 3: the official tools' weights, in and out."""

from img2img.interop.layouts import Found
from img2img.interop.official import import_official

__all__ = ["Found", "import_official"]
