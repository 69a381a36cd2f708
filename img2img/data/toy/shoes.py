"""Toy task of pix2pix and CycleGAN: draws side views of shoes and their outlines, so that nothing is downloaded.

It replaces the set edges2shoes of pix2pix (Isola et al., arXiv 1611.07004, Sec. 4). Three steps:

    shape     everything is a polygon, in units of one foot: x from heel 0 to toe 1, y up from the ground 0. All shoes
              are built around the same foot; `_STYLES` holds what sets a pump apart from a boot.
    image     the polygons are filled on a canvas of at least twice the size, lit from above on the left, and shrunk.
    outline   Canny edges of the image, as wide as one pixel of 128.

The colour follows from the kind (sneakers are blue, pumps are red), and the kind shows in the outline: a small pix2pix
learns to colour and shade within minutes. The random generator is seeded with the split's name and the index, and
random numbers don't depend on the size: sample i is the same shoe at any size, and splits have no shoe in common.
"""

import colorsys
import zlib
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from img2img.data.toy import toy_split

Colour = tuple[float, float, float]  # RGB, 0 to 255
Part = tuple[np.ndarray, Colour]  # a polygon (N, 2), filled

LENGTHS = {"train": 2000, "val": 48, "test": 48}  # number of shoes by split

_WHITE, _PALE, _GREY, _DARK = (255.0, 255, 255), (208.0, 204, 196), (198.0, 195, 190), (62.0, 52, 50)
_GOLD, _CORK = (232.0, 186, 80), (208.0, 168, 120)
# The top of a foot from ankle to toes: x, and height above the foot bed.
_FOOT = np.array([(0.42, 0.37), (0.48, 0.315), (0.56, 0.265), (0.66, 0.215), (0.76, 0.178), (0.86, 0.15)])


def _spline(points: np.ndarray, steps: int = 8) -> np.ndarray:
    """A Catmull-Rom curve through points (N, 2): (steps * (N - 1) + 1, 2)."""
    padded = np.concatenate([2 * points[:1] - points[1:2], points, 2 * points[-1:] - points[-2:-1]])
    slope = (padded[2:] - padded[:-2]) / 2
    t = np.linspace(0, 1, steps, endpoint=False)[None, :, None]
    p, q, u, v = points[:-1, None], points[1:, None], slope[:-1, None], slope[1:, None]
    curve = p + t * u + t**2 * (3 * (q - p) - 2 * u - v) + t**3 * (2 * (p - q) + u + v)
    return np.concatenate([curve.reshape(-1, 2), points[-1:]])


def _even(path: np.ndarray, count: int) -> np.ndarray:
    """`count` points at even distances along a path (N, 2)."""
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    where = np.linspace(0, length[-1], count)
    return np.stack([np.interp(where, length, path[:, i]) for i in (0, 1)], axis=1)


def _ribbon(path: np.ndarray, width: float) -> np.ndarray:
    """The polygon of a stroke along a path (N, 2)."""
    along = np.gradient(path, axis=0)
    across = along[:, ::-1] * (-1, 1) * width / 2 / (np.linalg.norm(along, axis=1, keepdims=True) + 1e-9)
    return np.concatenate([path + across, (path - across)[::-1]])


def _disc(centre: np.ndarray, radius: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 20)
    return centre + radius * np.stack([np.cos(angle), np.sin(angle)], axis=1)


class _Shoe:
    """The parts of a shoe while it is drawn: the leather around a foot, and what is sewn on it."""

    collar: np.ndarray  # from heel to throat, 17 points
    instep: np.ndarray  # from throat to toe, 80 points at even distances
    upper: np.ndarray  # closed: all that is above the sole

    def __init__(self, base: Colour, lift: float, sole: float, spring: float, end: float) -> None:
        self.base, self.lift, self.sole, self.spring, self.end = base, lift, sole, spring, end
        self.behind: list[Part] = []
        self.details: list[Part] = []  # clipped to the upper
        self.front: list[Part] = []

    def floor(self, x: np.ndarray | float) -> np.ndarray:
        """The ground, bent up at the toe."""
        return self.spring * (np.clip(np.asarray(x) - 0.7, 0, None) / 0.3) ** 2

    def bed(self, x: np.ndarray | float) -> np.ndarray:
        """The foot bed: up at the heel, down at the ball."""
        heel = np.clip((0.64 - np.asarray(x)) / 0.54, 0, 1)
        return self.floor(x) + self.sole + self.lift * heel**2 * (3 - 2 * heel)

    def curve(self, *points: tuple[float, float]) -> np.ndarray:
        """A smooth curve through points (x, height above the foot bed)."""
        path = np.array(points)
        path[:, 1] += self.bed(path[:, 0])
        return _spline(path)

    def tint(self, brightness: float) -> Colour:
        """The base colour, darker below 1, mixed with white above."""
        white = max(brightness - 1, 0)
        red, green, blue = (c * min(brightness, 1) * (1 - white) + 255 * white for c in self.base)
        return red, green, blue


def _dots(shoe: _Shoe, radius: float) -> None:
    for row, height in enumerate(np.arange(0.07, 1.1, 0.085)):
        for x in np.arange(0.02 + 0.085 * (row % 2), 1, 0.17):
            shoe.details.append((_disc(np.array([x, height + shoe.bed(x)]), radius), shoe.tint(1.75)))


def _toe_cap(shoe: _Shoe, colour: Colour, x: float) -> None:
    edge = shoe.curve((x + 0.05, -0.1), (x, 0.03), (x - 0.01, 0.1), (x + 0.03, 0.3))
    shoe.details.append((np.concatenate([edge, [(1.3, 0.5), (1.3, -0.1)]]), colour))


def _heel_counter(shoe: _Shoe, colour: Colour, x: float, height: float) -> None:
    panel = shoe.curve((-0.2, height), (0, height), (0.7 * x, 0.7 * height), (x, -0.1), (0, -0.2))
    shoe.details.append((panel, colour))


def _laces(shoe: _Shoe, count: int) -> None:
    """A tongue, a dark panel down the instep, and laces across it."""
    way = shoe.instep[0] - shoe.instep[8]
    shoe.behind.append((_ribbon(shoe.instep[6] + np.outer((-0.5, 0, 1), way), 0.11), shoe.tint(0.8)))
    shoe.details.append((_ribbon(shoe.instep[:54], 0.2), shoe.tint(0.62)))
    for i in np.linspace(4, 48, count).astype(int):
        along = shoe.instep[i + 2] - shoe.instep[i - 2]
        inward = along[::-1] * (1, -1) / np.hypot(*along)
        lace = shoe.instep[i] + np.outer((-0.012, 0.03, 0.075), inward) - np.outer((0, 0.2, 0.6), along)
        shoe.front.append((_ribbon(lace, 0.028), _PALE))


def _sneaker(shoe: _Shoe, rng: np.random.Generator) -> None:
    stripes, shift, lean = int(rng.integers(1, 4)), rng.uniform(-0.03, 0.03), rng.uniform(0.04, 0.14)
    if stripes == 1:
        swoosh = shoe.curve((0.2 + shift, 0.12), (0.33 + shift, 0.06), (0.48, 0.11), (0.62, 0.2))
        shoe.details.append((_ribbon(swoosh, 0.05), _PALE))
    for x in 0.3 + shift + 0.09 * np.arange(stripes if stripes > 1 else 0):
        shoe.details.append((_ribbon(shoe.curve((x, -0.02), (x + lean, 0.4)), 0.042), _PALE))
    _heel_counter(shoe, shoe.tint(0.62), 0.2, 0.15)
    if rng.random() < 0.6:
        _toe_cap(shoe, _PALE, 0.84 + shift)
    _laces(shoe, int(rng.integers(4, 7)))


def _boot(shoe: _Shoe, rng: np.random.Generator) -> None:
    shift = rng.uniform(-0.02, 0.02)
    if rng.random() < 0.5:
        _toe_cap(shoe, shoe.tint(0.7), 0.79 + shift)
    if rng.random() < 0.7:
        _laces(shoe, int(rng.integers(5, 9)))
    else:  # a Chelsea boot's elastic
        gusset = [shoe.collar[8] + (0.09, 0.1), shoe.collar[8] + (-0.09, 0.1)]
        shoe.details.append((np.concatenate([shoe.curve((0.2, 0.3), (0.26, 0.3)), gusset]), shoe.tint(0.5)))
    _heel_counter(shoe, shoe.tint(0.75), 0.24, 0.2 + shift)
    shoe.details.append((_ribbon(shoe.collar, 0.11), shoe.tint(0.7)))


def _pump(shoe: _Shoe, rng: np.random.Generator) -> None:
    look, centre = rng.integers(4), shoe.instep[2] + (0, 0.01)
    if look == 0:
        _toe_cap(shoe, shoe.tint(0.5), 0.85)
    elif look == 1:
        _dots(shoe, 0.027)
    elif look == 2:  # piping and a brooch
        shoe.details.append((_ribbon(shoe.collar, 0.05), shoe.tint(0.5)))
        shoe.front.append((_disc(centre - (-0.03, 0.015), 0.032), _GOLD))
    else:  # a bow
        wing = _spline(np.array([(0, 0), (0.07, 0.05), (0.105, 0.03), (0.1, -0.03), (0.06, -0.035), (0, 0)]))
        shoe.front += [(centre + wing * (1, 1), shoe.tint(0.6)), (centre + wing * (-1, 1), shoe.tint(0.6))]
        shoe.front.append((_disc(centre, 0.026), shoe.tint(1.4)))


def _loafer(shoe: _Shoe, rng: np.random.Generator) -> None:
    shift, drop = rng.uniform(-0.02, 0.02), rng.uniform(0.07, 0.09)
    apron = shoe.instep[:66] - np.outer(np.sqrt(1 - np.linspace(0, 1, 66) ** 6), (0, drop))
    shoe.details.append((np.concatenate([apron, [(1, 0.5), (0.4, 0.6)]]), shoe.tint(1.35)))
    x, y = shoe.instep[22] + (shift, -0.055)
    saddle = [shoe.curve((x + 0.5 * w, -0.1), (x + w, y), (x + w - 0.03, 0.5)) for w in (-0.05, 0.09)]
    shoe.details.append((np.concatenate([saddle[0], saddle[1][::-1]]), shoe.tint(0.62)))
    if rng.random() < 0.5:  # a penny's slot, or a bar
        shoe.details.append((_ribbon(np.array([(x - 0.02, y + 0.01), (x + 0.06, y - 0.015)]), 0.03), _DARK))
    else:
        shoe.front.append((_ribbon(np.array([(x - 0.06, y + 0.02), (x + 0.11, y - 0.035)]), 0.04), _GOLD))
    _heel_counter(shoe, shoe.tint(0.62), 0.2, 0.12)


def _sandal(shoe: _Shoe, rng: np.random.Generator) -> None:
    shoe.details.clear()  # the foot's bare sides
    count, width, lean = int(rng.integers(2, 4)), rng.uniform(0.09, 0.12), rng.uniform(-0.05, 0.06)
    for dx, colour in ((0.035, shoe.tint(0.5)), (0, shoe.base)):  # the far side, the near side
        for x in np.linspace(0.89, 0.58, count) + dx:
            shoe.details.append((_ribbon(shoe.curve((x, -0.05), (x - lean, 0.4)), width), colour))
    counter = shoe.curve((-0.1, 0.5), (0.1, 0.5), (0.09, 0.2), (0.2, 0), (0.2, -0.1), (-0.1, -0.1))
    strap, buckle = _ribbon(shoe.collar, 0.16), _disc(shoe.collar[10] - (0, 0.04), 0.036)
    shoe.details += [(counter, shoe.tint(0.75)), (strap, shoe.base), (buckle, _GOLD)]


def _wellington(shoe: _Shoe, rng: np.random.Generator) -> None:
    if rng.random() < 0.4:
        _dots(shoe, rng.uniform(0.03, 0.038))
    shoe.details.append((_ribbon(shoe.collar, rng.uniform(0.12, 0.18)), shoe.tint(0.55)))
    shoe.details.append((_ribbon(shoe.curve((-0.1, 0.01), (0.5, 0.01), (1.2, 0.01)), 0.08), shoe.tint(0.55)))
    if rng.random() < 0.5:
        strap = shoe.collar - (0, 0.2)
        shoe.details += [(_ribbon(strap, 0.06), shoe.tint(0.55)), (_disc(strap[10], 0.045), _GOLD)]


class _Style(NamedTuple):
    """What makes a kind of shoe."""

    hsv: Colour  # hue, saturation, value in [0, 1]
    sole: Colour
    gloss: float
    dip: float  # how far the collar sags between heel and throat
    sew: Callable[[_Shoe, np.random.Generator], None]
    low: tuple[float, ...]  # least and greatest measures, in feet:
    high: tuple[float, ...]


# Measures: lift of the heel; thickness of the sole; width of the heel block (0: the sole is a wedge); height of the
# collar at the heel; x and height of its front, the throat; fullness of the toe; its shape, 0 round to 1 pointed.
# fmt: off
_STYLES = {
    "sneaker": _Style((0.59, 0.80, 0.86), _GREY, 0.30, 0.07, _sneaker,
                      (0.02, 0.08, 0.00, 0.25, 0.38, 0.38, 1.05, 0.0), (0.06, 0.12, 0.00, 0.30, 0.43, 0.44, 1.25, 0.2)),
    "boot": _Style((0.07, 0.72, 0.62), _DARK, 0.25, 0.02, _boot,
                   (0.05, 0.035, 0.25, 0.56, 0.42, 0.56, 1.05, 0.0), (0.12, 0.055, 0.30, 0.74, 0.46, 0.75, 1.25, 0.5)),
    "pump": _Style((0.98, 0.86, 0.84), _DARK, 0.60, 0.06, _pump,
                   (0.20, 0.018, 0.035, 0.15, 0.62, 0.15, 0.75, 0.4), (0.42, 0.03, 0.08, 0.19, 0.70, 0.18, 0.90, 1.0)),
    "loafer": _Style((0.40, 0.78, 0.56), _DARK, 0.45, 0.07, _loafer,
                     (0.03, 0.025, 0.24, 0.20, 0.45, 0.30, 0.95, 0.1), (0.07, 0.04, 0.30, 0.24, 0.50, 0.34, 1.15, 0.6)),
    "sandal": _Style((0.79, 0.62, 0.78), _CORK, 0.25, 0.02, _sandal,
                     (0.03, 0.06, 0.00, 0.27, 0.40, 0.37, 0.75, 0.0), (0.16, 0.10, 0.00, 0.33, 0.42, 0.40, 0.85, 0.2)),
    "wellington": _Style((0.135, 0.9, 0.97), _DARK, 0.35, 0.00, _wellington,
                         (0.03, 0.05, 0.26, 0.74, 0.43, 0.74, 1.25, 0.0), (0.06, 0.08, 0.32, 1.0, 0.48, 1.0, 1.4, 0.1)),
}
# fmt: on
KINDS: tuple[str, ...] = tuple(_STYLES)


COLOURS: dict[str, Colour] = {  # hue, saturation, value in [0, 1]
    "blue": (0.6, 0.8, 0.75),
    "brown": (0.07, 0.7, 0.5),
    "green": (0.38, 0.75, 0.55),
    "pink": (0.9, 0.5, 0.9),
    "yellow": (0.14, 0.85, 0.9),
}


def _make(style: _Style, rng: np.random.Generator, colour: Colour | None = None) -> _Shoe:
    """A shoe of that style, in its colour or another: the upper around the foot, what is sewn on it, the sole."""
    hue, saturation, value = np.clip((colour or style.hsv) + rng.uniform(-1, 1, 3) * (0.012, 0.06, 0.06), 0, 1)
    red, green, blue = (255 * c for c in colorsys.hsv_to_rgb(hue, saturation, value))
    lift, sole, heel, back, x, height, toe, point = rng.uniform(style.low, style.high)
    spring, girth, bulge = rng.uniform((0.01, 0.94, 0), (0.04, 1.06, 0.02))
    shoe = _Shoe((red, green, blue), lift, sole, spring, end=0.98 + 0.06 * point)

    foot = _FOOT[_FOOT[:, 0] > x + 0.05] * (1, girth)
    foot[:, 1] *= 1 + (toe - 1) * np.clip((foot[:, 0] - 0.4) / 0.4, 0, 1)
    ankle = [(x + 0.03, 0.44)] if height > 0.5 else []
    full = foot[-1, 1]
    tip = (0.95, full * (0.78 - 0.2 * point)), (shoe.end + 0.02, full * (0.4 - 0.2 * point)), (shoe.end, 0)
    shoe.instep = _even(shoe.curve((x, height), *ankle, *foot, *tip), 80)
    if height > 0.5:  # a shaft's rim is nearly level
        back = height + 0.1 * (back - height)
    counter = shoe.curve((0.03, 0), (-bulge, 0.09), (0.02, max(0.15, back * 0.6)), (0.03, back))
    middle, sag = (0.03 + x) / 2, (back + height) / 2 - style.dip
    shoe.collar = shoe.curve((0.03, back), (middle, sag), (x, height))
    far_rim = shoe.curve((x, height), (middle, sag + 0.06), (0.03, back))
    bottom = shoe.curve(*((x, 0) for x in np.linspace(shoe.end, 0.03, 12)))
    shoe.upper = np.concatenate([counter, shoe.collar, shoe.instep, bottom])
    shoe.behind.append((np.concatenate([shoe.collar, far_rim]), shoe.tint(0.4)))
    shoe.details.append((shoe.upper, shoe.base))
    style.sew(shoe, rng)
    _put_on_sole(shoe, style.sole, heel)
    return shoe


def _put_on_sole(shoe: _Shoe, colour: Colour, heel: float) -> None:
    """A sole with a heel block of that width; or a wedge with a tread, where it is 0."""
    across = np.linspace(-0.015, shoe.end + 0.035, 48)
    top = shoe.bed(across)
    under = top - shoe.sole if heel else shoe.floor(across)
    half = (top - under) / 2 * np.sqrt(1 - np.linspace(-1, 1, 48) ** 12)  # with round ends
    edge, tread, ground = (np.stack([across, (top + under) / 2 + half * y], axis=1) for y in (1, -0.7, -1))
    if heel:
        wide = max(heel, 0.2)
        left = 0.2 * (wide - heel)  # a stiletto's tip stands inward
        y = shoe.bed(np.array([0, 0.1, wide])) - shoe.sole / 2
        face = _spline(np.array([(wide, y[2]), (left + heel + 0.25 * (wide - heel), 0.6 * y[1]), (left + heel, 0)]))
        rear = _spline(np.array([(left, 0), (0.6 * left, 0.5 * y[0]), (-0.005, y[0])]))
        shoe.front.append((np.concatenate([face, rear]), colour if heel > 0.2 else shoe.tint(0.8)))
    shoe.front.append((np.concatenate([edge, ground[::-1]]), colour))
    if not heel:
        shoe.front.append((np.concatenate([tread, ground[::-1]]), shoe.tint(0.5)))


def _shade(
    image: np.ndarray, air: np.ndarray, upper: np.ndarray, spots: np.ndarray, radii: np.ndarray, gloss: float
) -> np.ndarray:
    """Light a flat image (S, S, 3) and put highlights on its upper, at spots (K, 2) of radii (K, 2), in sides.

    `air` and `upper` (S, S) are in [0, 255]: how much of a pixel is background, and upper. The light is made on a
    64 × 64 grid, too coarse for Canny to see: bright where the blurred shape rises towards the lower right, dark where
    it falls.
    """
    solid = cv2.resize(255 - air, (64, 64), interpolation=cv2.INTER_AREA) / np.float32(255)
    soft = cv2.GaussianBlur(solid, (0, 0), 4.5)
    light = np.clip(0.97 + 1.2 * (np.roll(soft, (-4, -2), (0, 1)) - soft), 0.45, 1.25)
    grid = (np.arange(64) + 0.5) / 64
    x, y = np.exp(-(((grid - spots[:, :, None]) / radii[:, :, None]) ** 2)).transpose(1, 0, 2)  # (K, 64) each
    maps = np.stack([light, gloss * y.T @ x], axis=2).astype(np.float32)
    maps = np.asarray(cv2.resize(maps, image.shape[:2], interpolation=cv2.INTER_CUBIC))
    light, shine, background = maps[..., :1], maps[..., 1:], air[..., None].astype(np.float32)
    lit = image * light + background * (1 - light) + shine * (255 - np.float32(image)) * upper[..., None] / 255**2
    brightest = np.array((240, 232, 222), np.float32)  # still stands out from the background
    return np.rint(np.clip(lit, 0, brightest + background * (1 - brightest / 255))).astype(np.uint8)


def draw_shoe(index: int, split: str = "train", size: int = 128, colour: str | None = None) -> np.ndarray:
    """Sample `index` of a split: a shoe on white, (size, size, 3) uint8 RGB in [0, 255], size 16 or more.

    Its kind is KINDS[index % len(KINDS)]. Every name of a split gives other shoes. ``colour`` is a key of COLOURS
    (unset: the colour of its kind).
    """
    if size < 16:
        raise ValueError(
            f"the toy task's images would be {size}x{size}, which is too small: set data.load_size to 16 or more"
        )
    rng = np.random.default_rng((zlib.crc32(split.encode()), index))
    style = _STYLES[KINDS[index % len(KINDS)]]
    shoe = _make(style, rng, None if colour is None else COLOURS[colour])

    # Feet to pixels: mirrored or not, turned by 3 degrees at most, fitted into the square.
    mirror, (turn, grow, *offset) = rng.choice((-1, 1)), rng.uniform((-0.05, 0.9, 0.48, 0.48), (0.05, 1, 0.52, 0.52))
    parts = np.concatenate([shoe.upper, *(polygon for polygon, _ in shoe.behind + shoe.front)])
    low, high = parts.min(axis=0), parts.max(axis=0)
    scale = grow * min(0.85 / (high[0] - low[0]), 0.83 / (high[1] - low[1]))
    matrix = scale * np.array([(mirror * np.cos(turn), -mirror * np.sin(turn)), (-np.sin(turn), -np.cos(turn))])
    side = max(2 * size, 256)

    def place(points: np.ndarray) -> np.ndarray:  # (N, 2) feet -> (N, 2) in the unit square, y down
        return (points - (low + high) / 2) @ matrix.T + offset

    def fill(canvas: np.ndarray, parts: list[Part]) -> None:
        for polygon, colour in parts:
            pixels = np.round((place(polygon) * side - 0.5) * 16).astype(np.int32)
            cv2.fillPoly(canvas, [pixels], colour, shift=4)

    image, upper = np.full((side, side, 3), 255, np.uint8), np.zeros((side, side), np.uint8)
    fill(image, shoe.behind)
    skin = image.copy()
    fill(skin, shoe.details)
    fill(upper, [(shoe.upper, _WHITE)])
    cv2.copyTo(skin, upper, image)
    fill(image, shoe.front)
    tall = shoe.collar[8, 1] - shoe.bed(shoe.collar[8, 0])
    spots = place(np.array([(0.84, shoe.bed(0.84) + 0.1), shoe.collar[8] - (0.06, 0.45 * tall)]))
    radii = scale * np.array([(0.09, 0.04), (0.06, 0.3 * tall)])  # on the toe, and below the collar
    layers = image, cv2.inRange(image, _WHITE, _WHITE), upper
    flat, air, leather = (cv2.resize(x, (size, size), interpolation=cv2.INTER_AREA) for x in layers)
    return _shade(flat, air, leather, spots, radii, 190 * style.gloss)


def draw_outline(image: np.ndarray) -> np.ndarray:
    """Canny edges of an image (S, S, 3) uint8 RGB: black on white, the same shape; lines as wide as 1 pixel of 128."""
    side = len(image)
    if side < 256:  # small images are enlarged first: whole pixels are too coarse for laces
        image = cv2.resize(image, (2 * side, 2 * side), interpolation=cv2.INTER_CUBIC)
    pen = max(2, round(side / 128))
    edges = cv2.dilate(cv2.Canny(image, 60, 160, L2gradient=True), np.ones((pen, pen), np.uint8))
    return cv2.cvtColor(255 - cv2.resize(edges, (side, side), interpolation=cv2.INTER_AREA), cv2.COLOR_GRAY2RGB)


def draw_pair(index: int, split: str = "train", size: int = 128) -> tuple[np.ndarray, np.ndarray]:
    """(outline, image) of sample `index`: the input and the target, each (size, size, 3) uint8 RGB."""
    image = draw_shoe(index, split, size)
    return draw_outline(image), image


class ToyPairs:
    """Source of pairs: A is a shoe's outline, B the shoe, of ``size`` x ``size`` pixels, drawn on access."""

    def __init__(self, splits: tuple[str, ...], size: int) -> None:
        self.split, self.length = toy_split(splits, LENGTHS)
        self.size = size
        self.notes: list[str] = []

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"shoe-{index:04d}"

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return draw_pair(index, self.split, self.size)


class ToyImages:
    """Source of unpaired images: A has outlines, B shoes. Only in the training split are they of different shoes."""

    def __init__(self, domain: str, splits: tuple[str, ...], size: int) -> None:
        self.split, self.length = toy_split(splits, LENGTHS)
        self.domain, self.size, self.first = domain, size, 0
        if self.split == "train":
            self.length //= 2
            self.first = self.length if domain == "b" else 0

    def __len__(self) -> int:
        return self.length

    def name(self, index: int) -> str:
        return f"shoe-{self.first + index:04d}"

    def read(self, index: int) -> np.ndarray:
        index += self.first
        if self.domain == "b":
            return draw_shoe(index, self.split, self.size)
        return draw_pair(index, self.split, self.size)[0]


class ToyColours:
    """The toy task of several domains: shoes of every kind in the colours of COLOURS, each shoe in one of them."""

    def __init__(self, splits: tuple[str, ...], size: int) -> None:
        self.split, count = toy_split(splits, LENGTHS)
        self.size, self.names = size, list(COLOURS)
        self.numbers = np.arange(count) // len(KINDS) % len(COLOURS)  # colours take turns within each kind of shoe
        self.labels = np.eye(len(COLOURS), dtype=np.float32)[self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def _colour(self, index: int) -> str:
        return self.names[self.numbers[index]]

    def name(self, index: int) -> str:
        """COLOUR/shoe-NUMBER."""
        return f"{self._colour(index)}/shoe-{index:04d}"

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Draws a shoe (size, size, 3); and its labels."""
        return draw_shoe(index, self.split, self.size, self._colour(index)), self.labels[index]
