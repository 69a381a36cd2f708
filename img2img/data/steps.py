"""What every step of a degradation is, and what several steps share: checks of options, draws, luma, JPEG."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, ClassVar

import cv2
import numpy as np

from img2img.data.images import rounded

Range = tuple[float, float]


class Step:
    """A degradation of an image.

    Raises:
        ValueError: an option is of a wrong type or out of range; the message begins with the option.
    """

    short: ClassVar[str]
    """The option that a step's value sets if it isn't a mapping: ``noise: 25`` is ``noise: {sigma: 25}``."""
    needs_8_bits: ClassVar[bool] = False
    """Whether it exists for images of 8 bits only."""
    scale: int = 1
    """Side of its image divided by the side of its result."""
    margin: int = 0
    """Pixels on each side of a training patch that it is given in addition, and that are cut off afterwards: so many
    pixels of the result depend on what is beyond the borders."""
    sharpen: bool = False
    """Whether the clean image is sharpened before all steps, and is a further target."""
    clip: bool | None = None
    """Whether it clips values to [0, 1]; None: it keeps those of its image in their range."""

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """(H, W, C) float32 -> (H', W', C') float32."""
        raise NotImplementedError

    def on_patch(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The same for a patch of a larger image, if that makes a difference."""
        return self(image, rng)


def luma(image: np.ndarray) -> np.ndarray:
    """(H, W, 1|3) -> (H, W, 1): ITU-R 601, of values as they are in files."""
    return image @ np.array([[0.299], [0.587], [0.114]], np.float32) if image.shape[2] == 3 else image


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    """(H, W, 1|3) float32 in [0, 1], saved as JPEG and read again. Colour has half the resolution (4:2:0).

    Args:
        image: is clipped and rounded to 8 bits.
        quality: from 1 to 100.
    """
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality]
    flags += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420]
    bgr = np.ascontiguousarray(rounded(image, np.uint8)[:, :, ::-1])
    _, data = cv2.imencode(".jpg", bgr, flags)
    decoded = np.asarray(cv2.imdecode(data, cv2.IMREAD_UNCHANGED)).reshape(image.shape)
    return decoded[:, :, ::-1] / np.float32(255)


def one_of(names: Sequence[str], rng: np.random.Generator) -> str:
    """One of the names, each as likely."""
    return names[int(rng.integers(len(names)))]


def drawn_integer(ends: Range, rng: np.random.Generator) -> int:
    """An integer of a range, both ends included, each as likely."""
    return int(rng.integers(int(ends[0]), int(ends[1]) + 1))


def similar(name: str, known: Sequence[str]) -> str:
    """The end of a message about a wrong name: the most similar known one, or all of them."""
    near = difflib.get_close_matches(name, known, 1)
    return f"did you mean {near[0]}?" if near else f"choose from {', '.join(known)}"


def checked_range(name: str, value: Any, lowest: float, highest: float, whole: bool = False) -> Range:
    """(Lower, upper end) of a number or a pair of numbers. Raises ValueError for other values or an empty range."""
    ends = list(value) if isinstance(value, (list, tuple)) else [value, value]
    is_number = [isinstance(end, (int, float)) and not isinstance(end, bool) for end in ends]
    if len(ends) != 2 or not all(is_number):
        raise ValueError(f"{name} {value}: must be a number or a range '[LOW,HIGH]'")
    low, high = ends
    if whole and (low != int(low) or high != int(high)):
        raise ValueError(f"{name} {value}: must be whole numbers")
    if low > high:
        raise ValueError(f"{name} [{low}, {high}]: the lower end comes first; set it to [{high}, {low}]")
    if not lowest <= low <= high <= highest:
        raise ValueError(f"{name} {value}: must lie in [{lowest}, {highest}]")
    return low, high


def checked_integer(name: str, value: Any, lowest: int, highest: int) -> int:
    """The integer. Raises ValueError for other values, or one out of range."""
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ValueError(f"{name} {value}: must be an integer from {lowest} to {highest}")
    return value


def checked_share(name: str, value: Any) -> float:
    """The number as a float. Raises ValueError for other values than those from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name} {value}: must be a share from 0 to 1")
    return float(value)


def checked_flag(name: str, value: Any) -> bool:
    """The value. Raises ValueError unless it is true or false."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} {value}: must be true or false")
    return value


def checked_choices(name: str, value: Any, known: Sequence[str]) -> tuple[str, ...]:
    """The names of a list, or of a single name. Raises ValueError for none, or one that isn't known."""
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, (list, tuple)) or not names:
        raise ValueError(f"{name} {value}: must be one or a list of {', '.join(known)}")
    for each in names:
        if each not in known:
            raise ValueError(f"{name} {each}: {similar(str(each), known)}")
    return tuple(names)
