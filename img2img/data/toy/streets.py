"""Toy task of pix2pixHD: draws street scenes with their class and instance maps, so that nothing is downloaded.

It replaces Cityscapes as used by pix2pixHD (Wang et al., arXiv 1711.11585, Sec. 4). Two steps:

    scene     a list of polygons from back to front, in heights of the image: x from 0 to 2, y down from 0 to 1. Each
              is a part of one instance and has one colour. Other shapes than 2:1 stretch it.
    maps      the numbers of the parts are filled on one canvas of three times the size, from which all arrays are read:
              the instance at the centre of each pixel (labels follow from it), and the mean colour of its nine fine
              pixels.

Colours depend on the class and on a random style:

    class     roads are grey, trees green, tyres dark; windows form a grid that fits their building.
    style     isn't visible in the maps. It is drawn for each instance (a car has one of six paints, a building one of
              six facades and, at dusk, lit or dark windows, a tree one of three greens, a person clothes, skin and
              hair) and for each scene (sky: day, grey or dusk, which tints everything and lights the lamps; paving;
              asphalt).

Styles are drawn from short lists with a little jitter, so the features of instances form clusters. Cars and houses
touch or overlap, so only the instance maps separate them. The random generator is seeded with the split's name and the
index, and random numbers don't depend on the size: sample i is the same scene at any size, and splits have no scene in
common.
"""

import zlib
from collections import Counter
from typing import NamedTuple

import cv2
import numpy as np

CLASSES: tuple[str, ...] = ("void", "road", "sidewalk", "building", "lamp", "tree", "sky", "person", "car")
THINGS = ("building", "tree", "person", "car")  # classes with instances
SMALLEST = 32  # side of a scene, in pixels
LENGTHS = {"train": 400, "val": 24, "test": 24}  # number of scenes by split

_VOID, _ROAD, _SIDEWALK, _LAMP, _SKY = (CLASSES.index(name) for name in ("void", "road", "sidewalk", "lamp", "sky"))
_FINE = 3  # fine pixels in a pixel's side; odd, so that one is its middle
_BANDS = 128  # of the sky's gradient

# Colours are RGB, 0 to 255: rows to choose a style from, and those that are the same in every scene.
_PAINTS = np.array([(206, 44, 40), (38, 84, 190), (240, 192, 44), (236, 236, 232), (60, 62, 70), (36, 150, 124)])
_FACADES = np.array(
    [(178, 88, 68), (228, 206, 160), (142, 144, 152), (222, 158, 132), (150, 128, 104), (232, 226, 216)]
)
_GREENS = np.array([(134, 188, 70), (42, 106, 58), (104, 134, 50)])
_SHIRTS = np.array([(214, 58, 60), (48, 96, 196), (244, 214, 80), (240, 240, 240), (124, 60, 140), (240, 130, 50)])
_TROUSERS = np.array([(44, 52, 92), (46, 42, 42), (156, 136, 106)])
_SKINS = np.array([(244, 206, 176), (196, 144, 104), (112, 74, 54)])
_HAIRS = np.array([(44, 34, 30), (122, 78, 44), (214, 176, 100)])
_PAVINGS = np.array([(178, 174, 170), (200, 182, 154), (170, 142, 132)])
_ASPHALTS = np.array([(92, 92, 96), (122, 120, 120)])
_GLASS, _TYRE, _HUB, _SHADOW = np.array([(74, 96, 118), (34, 34, 38), (176, 178, 182), (48, 48, 52)])
_WHITE, _LIT, _GLOW, _RED = np.array([(232, 230, 222), (255, 220, 134), (255, 240, 190), (190, 30, 34)])
_TILES, _TRUNK, _IRON, _BULB, _BIN = np.array(
    [(120, 54, 44), (98, 72, 52), (62, 66, 68), (206, 210, 206), (84, 92, 86)]
)


class _Light(NamedTuple):
    """A time of the day."""

    colours: np.ndarray  # of the sky at the zenith and at the horizon (2, 3)
    tint: np.ndarray  # of all else, 0 to 1
    night: bool  # lamps are lit


_LIGHTS = [
    _Light(np.array([(78, 146, 226), (196, 224, 246)]), tint=np.array([1, 1, 1]), night=False),
    _Light(np.array([(150, 164, 182), (212, 216, 222)]), tint=np.array([0.9, 0.92, 0.95]), night=False),
    _Light(np.array([(52, 58, 124), (246, 156, 110)]), tint=np.array([0.8, 0.73, 0.76]), night=True),
]


class _Car(NamedTuple):
    """The side of a car in its lengths: x from tail 0 to nose 1, y up from the ground 0."""

    body: np.ndarray
    windows: list[np.ndarray]


_SALOON = _Car(
    np.array([(0, 0.09), (0, 0.24), (0.03, 0.28), (0.17, 0.295), (0.3, 0.41), (0.37, 0.435), (0.57, 0.435),
              (0.64, 0.41), (0.77, 0.285), (0.95, 0.25), (1, 0.2), (1, 0.09)]),
    [np.array([(0.23, 0.29), (0.33, 0.385), (0.45, 0.395), (0.45, 0.29)]),
     np.array([(0.5, 0.29), (0.5, 0.395), (0.59, 0.385), (0.69, 0.29)])],
)  # fmt: skip
_HATCHBACK = _Car(
    np.array([(0, 0.09), (0, 0.27), (0.1, 0.43), (0.17, 0.47), (0.53, 0.47), (0.6, 0.44), (0.76, 0.3), (0.95, 0.26),
              (1, 0.2), (1, 0.09)]),
    [np.array([(0.1, 0.3), (0.17, 0.42), (0.36, 0.42), (0.36, 0.3)]),
     np.array([(0.41, 0.3), (0.41, 0.42), (0.55, 0.42), (0.68, 0.3)])],
)  # fmt: skip
_VAN = _Car(
    np.array([(0, 0.09), (0, 0.54), (0.03, 0.57), (0.64, 0.57), (0.7, 0.55), (0.85, 0.34), (0.97, 0.3), (1, 0.24),
              (1, 0.09)]),
    [np.array([(0.57, 0.34), (0.57, 0.51), (0.66, 0.51), (0.78, 0.34)])],
)  # fmt: skip


def _box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)])


_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_CIRCLE = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)
_WHEELS = np.array([(0.21, 0.095), (0.79, 0.095)])[:, None]


def _shade(colour: np.ndarray, brightness: float) -> np.ndarray:
    """Darker below 1, mixed with white above."""
    return colour * brightness if brightness < 1 else colour + (255 - colour) * (brightness - 1)


class _Scene:
    """The parts of a scene while it is drawn, from back to front."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.light = _LIGHTS[rng.integers(len(_LIGHTS))]
        self.horizon, self.kerb, self.near_kerb = rng.uniform((0.52, 0.625, 0.92), (0.57, 0.65, 0.95))
        ramp = np.minimum(np.arange(_BANDS) / _BANDS / self.horizon, 1)[:, None]
        self.outlines: list[np.ndarray] = []  # (K, N, 2) each: polygons that don't overlap
        zenith, horizon = self.light.colours
        self.colours = list(zenith + (horizon - zenith) * ramp)  # the first are the sky's
        self.instances = [_SKY] * _BANDS
        self.counts: Counter[str] = Counter()

    def thing(self, name: str) -> int:
        """The id of a new instance."""
        self.counts[name] += 1
        return 1000 * CLASSES.index(name) + self.counts[name] - 1

    def style(self, colours: np.ndarray) -> np.ndarray:
        """One of these colours (N, 3), and jitter."""
        return colours[self.rng.integers(len(colours))] + self.rng.uniform(-8, 8, 3)

    def fill(self, instance: int, colour: np.ndarray, outlines: np.ndarray, glows: bool = False) -> None:
        """Add a part: a polygon (N, 2), or (K, N, 2) that don't overlap."""
        self.outlines.append(outlines if outlines.ndim == 3 else outlines[None])
        self.colours.append(colour if glows else colour * self.light.tint)
        self.instances.append(instance)


def _add_buildings(scene: _Scene) -> None:
    """A row of houses, most of them wall to wall."""
    rng, base = scene.rng, scene.horizon + 0.005
    left = rng.uniform(-0.3, 0)
    while left < 2:
        width, height, pitch, gap = rng.uniform((0.24, 0.2, 0.08, 0.06), (0.46, 0.46, 0.13, 0.16))
        gabled, apart, lit = rng.random(3) < (0.3, 0.2, 0.7)
        height -= pitch * gabled * 0.5
        top, right = base - height, left + width
        house, colour = scene.thing("building"), scene.style(_FACADES)
        scene.fill(house, colour, _box(left, top, right, base))
        scene.fill(house, _shade(colour, 0.8), _box(right - 0.03, top, right, base))
        if gabled:
            eaves = np.array([(left, top + 0.02), ((left + right) / 2, top - pitch), (right, top + 0.02)])
            scene.fill(house, (0.5 * colour + _TILES) / 2, eaves)
        else:
            scene.fill(house, _shade(colour, 1.4), _box(left, top, right, top + 0.02))

        columns, storeys = max(2, round(width / 0.105)), max(2, round(height / 0.115))
        cell = np.array([(width - 0.04) / columns, (height - 0.03) / storeys])
        pane = cell * _box(0.26, 0.2, 0.76, 0.76) + (left + 0.02, top + 0.03)
        places = [(column, row) for row in range(storeys) for column in range(columns)]
        door = pane + cell * places.pop(columns // 2 - columns)  # in the last row
        door[2:, 1] = base
        glows = bool(scene.light.night and lit)
        scene.fill(house, _LIT if glows else _GLASS, pane + cell * np.array(places)[:, None], glows)
        scene.fill(house, _shade(colour, 0.45), door)
        left = right + gap * apart


def _add_ground(scene: _Scene) -> None:
    """The road between two pavements, with a kerb, slabs and lane marking at fixed places."""
    paving, road = scene.style(_PAVINGS), scene.style(_ASPHALTS)
    scene.fill(_SIDEWALK, paving, _box(0, scene.horizon, 2, 1))
    joints = np.array([_box(x, scene.horizon, x + 0.012, scene.kerb) for x in np.arange(0.1, 2, 0.2)])
    scene.fill(_SIDEWALK, _shade(paving, 0.85), joints)
    for y in (scene.kerb, scene.near_kerb):
        scene.fill(_SIDEWALK, _shade(paving, 1.5), _box(0, y - 0.018, 2, y))
    scene.fill(_ROAD, road, _box(0, scene.kerb, 2, scene.near_kerb - 0.018))
    scene.fill(_ROAD, _shade(road, 0.8), _box(0, scene.kerb, 2, scene.kerb + 0.016))  # the gutter
    middle = 0.45 * scene.kerb + 0.55 * scene.near_kerb
    dashes = np.array([_box(x, middle - 0.011, x + 0.14, middle + 0.011) for x in np.arange(0.05, 2, 0.25)])
    scene.fill(_ROAD, _WHITE, dashes)


def _add_tree(scene: _Scene, x: float, foot: float) -> None:
    rng, tree, green = scene.rng, scene.thing("tree"), scene.style(_GREENS)
    height, wide, tall, phase = rng.uniform((0.3, 0.08, 0.1, 0), (0.42, 0.12, 0.15, 6))
    scene.fill(tree, _TRUNK, _box(x - 0.016, foot - height + tall, x + 0.016, foot))
    lobes = (1 + 0.09 * np.cos(5 * _ANGLES + phase))[:, None] * _CIRCLE * (wide, tall)
    middle = np.array([x, foot - height])
    scene.fill(tree, _shade(green, 0.78), middle + lobes)
    scene.fill(tree, green, middle + 0.84 * lobes + (-0.1 * wide, -0.14 * tall))
    scene.fill(tree, _shade(green, 1.15), middle + 0.5 * lobes + (-0.24 * wide, -0.3 * tall))


def _add_lamp(scene: _Scene, x: float, foot: float) -> None:
    top, night = foot - 0.38, scene.light.night
    pole, base = _box(x - 0.013, top, x + 0.013, foot), _box(x - 0.024, foot - 0.024, x + 0.024, foot)
    head = [(x - 0.036, top - 0.055), (x + 0.036, top - 0.055), (x + 0.02, top + 0.01), (x - 0.02, top + 0.01)]
    scene.fill(_LAMP, _IRON, pole)
    scene.fill(_LAMP, _IRON, base)
    scene.fill(_LAMP, _shade(_LIT, 1.3) if night else _BULB, np.array(head), night)
    scene.fill(_LAMP, _IRON, _box(x - 0.042, top - 0.075, x + 0.042, top - 0.05))


def _add_bin(scene: _Scene, x: float, foot: float) -> None:
    barrel = [(x - 0.03, foot - 0.08), (x + 0.03, foot - 0.08), (x + 0.024, foot), (x - 0.024, foot)]
    scene.fill(_VOID, _BIN, np.array(barrel))
    scene.fill(_VOID, 0.5 * _BIN, _box(x - 0.036, foot - 0.1, x + 0.036, foot - 0.078))


def _add_person(scene: _Scene, x: float, foot: float, grow: float) -> None:
    rng, person = scene.rng, scene.thing("person")
    tall, step = grow * rng.uniform(0.185, 0.225), rng.uniform(0.06, 0.13)
    shirt, trousers, skin, hair = (scene.style(colours) for colours in (_SHIRTS, _TROUSERS, _SKINS, _HAIRS))

    def fill(colour: np.ndarray, outline: np.ndarray) -> None:  # in the person's height, y up from the ground
        scene.fill(person, colour, (x, foot) + tall * outline * (1, -1))

    for side in (-1, 1):
        leg = [(side * 0.11, 0.5), (0, 0.5), (side * (step - 0.05), 0), (side * (step + 0.09), 0)]
        fill(trousers, np.array(leg))
    fill(shirt, np.array([(-0.13, 0.82), (0.13, 0.82), (0.185, 0.5), (0.13, 0.45), (-0.13, 0.45), (-0.185, 0.5)]))
    fill(hair, 0.1 * _CIRCLE + (0, 0.905))
    fill(skin, 0.08 * _CIRCLE + (0.01, 0.885))


def _add_car(scene: _Scene, model: _Car, left: float, foot: float, length: float, mirror: bool) -> None:
    """A car from x = left, on wheels that stand at y = foot; mirror: its nose is on the left."""
    car, paint = scene.thing("car"), scene.style(_PAINTS)
    origin, axes = np.array([left + length * mirror, foot]), length * np.array([-1 if mirror else 1, -1])

    def fill(colour: np.ndarray, outlines: np.ndarray, instance: int = car, glows: bool = False) -> None:
        scene.fill(instance, colour, origin + axes * outlines, glows)

    fill(_SHADOW, np.array([(0.02, 0.1), (0.98, 0.1), (0.96, -0.03), (0.04, -0.03)]), _ROAD)  # its shadow
    fill(paint, model.body)
    fill(_shade(paint, 0.72), _box(0, 0.16, 1, 0.09))
    for window in model.windows:
        fill(_GLASS, window)
    fill(_GLOW, _box(0.94, 0.245, 1, 0.195), glows=scene.light.night)
    fill(_RED, _box(0, 0.26, 0.035, 0.2))
    fill(_TYRE, 0.1 * _CIRCLE + _WHEELS)
    fill(_HUB, 0.045 * _CIRCLE + _WHEELS)


def _add_lane(scene: _Scene, foot: float, length: float, often: float, mirror: bool) -> None:
    rng, left = scene.rng, scene.rng.uniform(-0.3, 0.3)
    while left < 1.95:
        there, touching = rng.random(2) < (often, 0.5)
        gap = rng.uniform(0.08, 0.5)
        model = (_SALOON, _SALOON, _HATCHBACK, _HATCHBACK, _VAN)[rng.integers(5)]
        if there:
            size = length * (0.85 if model is _HATCHBACK else 1)
            _add_car(scene, model, left, foot, size, mirror)
            left += size
        left += -0.01 if there and touching else gap


def _make(rng: np.random.Generator) -> _Scene:
    scene = _Scene(rng)
    _add_buildings(scene)
    _add_ground(scene)
    start, span, lamp, bin_ = rng.uniform((0, 0.5, 0.1, 0), (0.6, 1.0, 0.7, 2))
    foot = 0.5 * (scene.horizon + scene.kerb)
    for x in np.arange(start, 2, span):
        _add_tree(scene, x, foot)
    for x in np.arange(lamp, 2, 0.9):
        _add_lamp(scene, x, foot + 0.01)
    if rng.random() < 0.6:
        _add_bin(scene, bin_, foot + 0.02)
    for x in rng.uniform(0, 2, rng.integers(1, 5)):
        _add_person(scene, x, rng.uniform(foot, scene.kerb - 0.02), grow=0.9)
    _add_lane(scene, scene.kerb + 0.085, 0.38, 0.7, mirror=True)
    _add_lane(scene, scene.near_kerb - 0.05, 0.46, 0.4, mirror=False)
    for x in rng.uniform(0, 2, rng.integers(0, 3)):
        _add_person(scene, x, rng.uniform(0.97, 0.99), grow=1.35)
    return scene


def draw_scene(
    index: int, split: str = "train", height: int = 64, width: int = 128
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sample `index` of a split: its labels (H, W) uint8, instances (H, W) uint16 and image (H, W, 3) uint8 RGB.

    Labels are indices of `CLASSES`. Instances are numbered as in Cityscapes: 1000 * label + 0, 1, ... for `THINGS`, the
    label itself for other classes. Height and width must be 32 or more, best 1:2. Every name of a split gives other
    scenes.
    """
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"the toy task's scenes would be {width}x{height}, which is too small: {SMALLEST}x{SMALLEST} is the least"
        )
    scene = _make(np.random.default_rng((zlib.crc32(split.encode()), index)))
    rows, columns = _FINE * height, _FINE * width
    canvas = np.empty((rows, columns), np.uint16)  # of parts' numbers
    canvas[:] = (np.arange(rows) * _BANDS // rows)[:, None]
    points = np.concatenate([outlines.reshape(-1, 2) for outlines in scene.outlines])
    points = np.round((points * (columns / 2, rows) - 0.5) * 16).astype(np.int32)
    start = 0
    for part, outlines in enumerate(scene.outlines, start=_BANDS):
        end = start + outlines.size // 2
        cv2.fillPoly(canvas, list(points[start:end].reshape(outlines.shape)), part, shift=4)
        start = end

    instances = np.take(np.array(scene.instances, np.uint16), canvas[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE])
    labels = np.where(instances < 1000, instances, instances // 1000).astype(np.uint8)
    # Four bytes per colour: looked up as one 32-bit number, which is three times as fast
    palette = np.zeros((len(scene.colours), 4), np.uint8)
    palette[:, :3] = np.rint(np.clip(scene.colours, 0, 255))
    fine = np.take(palette.view(np.uint32)[:, 0], canvas).view(np.uint8).reshape(rows, columns, 4)
    image = cv2.resize(fine, (width, height), interpolation=cv2.INTER_AREA)[..., :3]
    return labels, instances, np.ascontiguousarray(image)
