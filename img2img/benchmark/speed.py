"""How fast it is: the training step beside a plain loop of the same maths, the loader, inference, and memory.

Figures of a shared machine mean little by themselves. Ours and the plain loop therefore run in turns, a few steps each,
in two processes of their own (the allocator's settings are a process's), and the ratio is the median over the turns.
Inference has a process of its own as well, whose peak is then its alone. Weights are random, which costs the same.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from img2img.benchmark.plain_loops import PLAIN
from img2img.config import Config, TrainConfig
from img2img.data import dataset_class
from img2img.data.images import write_image
from img2img.data.loader import BatchReader, KeyedBatches, collate, keyed_loader, to_device
from img2img.data.toy.shoes import draw_pair
from img2img.data.toy.streets import draw_scene
from img2img.inference.label_translator import LabelTranslator
from img2img.inference.loading import choose_device
from img2img.inference.translator import Translator
from img2img.models import model_class
from img2img.models.base import Batch, Model
from img2img.training.trainer import Trainer

IMAGES = 48  # of the set that the loader reads
MANY = 20_000  # of the set whose size must not matter
SAMPLES = {"pix2pix": "pairs", "cyclegan": "images of each side", "pix2pixhd": "scenes"}
CLASSES = 35  # of Cityscapes' label maps, which make the width of pix2pixHD's first layers; the drawn scenes have fewer
SUFFIX = {"pix2pix": ".jpg", "cyclegan": ".jpg", "pix2pixhd": ".png"}  # of its files, as the public sets have them


@dataclass
class BenchmarkOptions:
    """What is measured."""

    model: Literal["pix2pix", "cyclegan", "pix2pixhd"] = "pix2pix"
    """The model, with its paper's networks; pix2pixHD without VGG19."""
    size: int | str = 256
    """Side of the images in pixels, a power of 2; of pix2pixhd multiples of 32, or WIDTHxHEIGHT such as 1024x512."""
    batch_size: int = 1
    """Images, or images of each side, of a step."""
    ngf: int = 64
    """Width of both networks; of the stage local half that of the others."""
    stage: Literal["global", "local"] = "global"
    """Of pix2pixhd: the global generator alone, or with an enhancer on top."""
    steps: int = 4
    """Steps of one turn."""
    turns: int = 7
    """Turns of each side."""
    precision: str = "no"
    """no (fp32), bf16 or fp16; of both sides."""
    compile: bool = False
    """torch.compile our networks."""
    channels_last: bool = False
    """Keep our images and weights channels-last."""
    inference_only: bool = False
    """Leave training and its data out."""

    def __post_init__(self) -> None:
        sides = str(self.size).split("x")
        if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
            raise ValueError(f"size {self.size}: a number of pixels, or WIDTHxHEIGHT such as 1024x512")
        self.width, self.height = int(sides[0]), int(sides[-1])
        if self.model != "pix2pixhd":
            if self.width != self.height or self.width & (self.width - 1):
                raise ValueError(f"size {self.size}: {self.model} is measured on squares whose side is a power of 2")
            if self.stage != "global":
                raise ValueError(f"stage {self.stage}: {self.model} has no stages; choose model pix2pixhd")
        elif self.width % 32 or self.height % 32:
            raise ValueError(f"size {self.size}: pix2pixhd takes sides that are multiples of 32")
        for key in ("batch_size", "ngf", "steps", "turns"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} {getattr(self, key)}: must be at least 1")


def describe(options: BenchmarkOptions) -> str:
    """What is measured, in a line."""
    stage = f", stage {options.stage}" if options.model == "pix2pixhd" else ""
    return f"{options.model}{stage}, {options.width}x{options.height}, batch {options.batch_size}, ngf {options.ngf}"


def benchmark(options: BenchmarkOptions) -> list[tuple[str, str]]:
    """Measures and returns the rows of a table: what, and how much."""
    if options.inference_only:
        return _inference_rows(options)
    with tempfile.TemporaryDirectory() as folder:
        root = str(Path(folder) / "set")
        _draw_set(Path(root), options)
        ours, plain = _Side(_ours, options, root), _Side(_plain, options, root)
        turns = [(ours.run("step"), plain.run("step")) for _ in range(options.turns)]
        whole = [ours.run("data") for _ in range(3)]
        memory, plain_memory = ours.ask("memory"), plain.ask("memory")
        ours.end()
        plain.end()
        count = options.steps * options.batch_size
        speed, plain_speed = (count / statistics.median(t[i] for t in turns) for i in (0, 1))
        ratio = statistics.median(b / a for a, b in turns)
        with_data = count / statistics.median(whole)
        loaded = _loader_speed(options, root)
        return [
            ("training step, images/s", f"{speed:.2f}"),
            ("plain loop, images/s", f"{plain_speed:.2f}"),
            ("training step : plain loop, median of the turns", f"{ratio:.2f}"),
            ("images through the generators for each of a step", f"{_generated(options, root):g}"),
            ("training with data, images/s", f"{with_data:.2f}"),
            (f"loader, {SAMPLES[options.model]}/s for each worker", f"{loaded:.0f}"),
            ("loader, one worker : training step", f"{loaded / speed:.1f}"),
            ("peak memory, training", memory),
            ("peak memory, plain loop", plain_memory),
            *_inference_rows(options),
            ("memory growth from step 100 to step 500 (64 pixels wide)", _growth_over_steps(root, options)),
            (
                f"index of {MANY} {SAMPLES[options.model]}: memory; headers checked in",
                _growth_with_files(Path(folder), options),
            ),
        ]


def _inference_rows(options: BenchmarkOptions) -> list[tuple[str, str]]:
    alone = _Side(_inference, options, "unused")
    seconds = statistics.median(alone.run("step") for _ in range(min(3, options.turns))) / options.steps
    memory = alone.ask("memory")
    alone.end()
    speed = f"{1 / seconds:.2f} images/s" if seconds < 1 else f"{seconds:.1f} s an image"
    return [("inference, random weights", speed), ("peak memory, inference", memory)]


def _config(options: BenchmarkOptions, root: str) -> Config:
    chosen: dict[str, Any] = {"ngf": options.ngf, "ndf": options.ngf}
    data: dict[str, Any] = {"load_size": options.width * 286 // 256, "crop_size": options.width}
    train = TrainConfig(epochs=10**6, compile=options.compile, channels_last=options.channels_last)
    if options.model == "pix2pix":
        chosen["num_downs"] = options.width.bit_length() - 1
    elif options.model == "pix2pixhd":
        chosen |= {"stage": options.stage, "lambda_vgg": 0.0}
        if options.stage == "local":
            chosen["ndf"], train.init_from = 2 * options.ngf, "unused"  # which such a run must name, and nobody reads
        data = {"load_size": options.width, "preprocess": "scale_width", "label_nc": CLASSES}
    kind = model_class(options.model)
    return Config(
        "benchmark",
        kind.Config(**chosen),
        dataset_class(kind.dataset).Config(root, batch_size=options.batch_size, **data),
        train=train,
    )


class _Side:
    """A process that plays ``options.steps`` steps whenever it is told to."""

    def __init__(self, make: Callable[[BenchmarkOptions, str], dict[str, Callable[[int], None]]], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_serve, args=(make, theirs, *args), daemon=False)
        self.process.start()
        theirs.close()  # or this process holds it open, and waits for one that died
        self.run("step")  # warm up: allocators, compilation

    def ask(self, what: str) -> Any:
        self.pipe.send(what)
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise RuntimeError("a measuring process died; its traceback stands above") from None

    def run(self, what: str) -> float:
        """Seconds of one turn."""
        return float(self.ask(what))

    def end(self) -> None:
        self.pipe.send("end")
        self.process.join()


def _serve(make: Callable[..., dict[str, Callable[[int], None]]], pipe: Connection, options: Any, root: str) -> None:
    os.environ["ACCELERATE_MIXED_PRECISION"] = options.precision
    commands = make(options, root)
    while (what := pipe.recv()) != "end":
        if what == "memory":
            pipe.send(_peak_memory())
            continue
        began = time.perf_counter()
        commands[what](options.steps)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        pipe.send(time.perf_counter() - began)


def _ours(options: BenchmarkOptions, root: str) -> dict[str, Callable[[int], None]]:
    trainer = Trainer(_config(options, root), Path("nowhere"))
    stream = trainer.batches(10**9)
    batches = next(stream)

    def step(count: int) -> None:
        for i in range(count):
            trainer.gan_step.run(batches, i, 1.0)

    def data(count: int) -> None:
        for i in range(count):
            trainer.gan_step.run(next(stream), i, 1.0)

    return {"step": step, "data": data}


def _plain(options: BenchmarkOptions, root: str) -> dict[str, Callable[[int], None]]:
    device = choose_device(None)
    model, batch = _model(_config(options, root)).to(device), to_device(_batch(options, root), device)

    def autocast() -> Any:
        precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options.precision)
        return torch.autocast(device.type, precision or torch.bfloat16, enabled=precision is not None)

    step = PLAIN[options.model](model, batch, autocast)

    def steps(count: int) -> None:
        for _ in range(count):
            step()

    return {"step": steps}


def _inference(options: BenchmarkOptions, root: str) -> dict[str, Callable[[int], None]]:
    config = _config(options, root)
    model, device = _model(config), choose_device(None)
    translate: Callable[[], Any]
    if options.model == "pix2pixhd":
        label, instance, _ = draw_scene(0, "val", options.height, options.width)
        translate = partial(LabelTranslator(model, config, device), label, instances=instance)
    else:
        translate = partial(Translator(model, config, device), draw_pair(0, "val", options.width)[0])

    def draw(count: int) -> None:
        for _ in range(count):
            translate()

    return {"step": draw}


def _model(config: Config) -> Model:
    return model_class(config.model.name)(config.model, config.data.channels)


def _batch(options: BenchmarkOptions, root: str) -> Batch:
    """The first images of the set."""
    dataset = _dataset(options)(_config(options, root).data, "train")
    return collate([dataset[0, i % len(dataset)] for i in range(options.batch_size)])


def _generated(options: BenchmarkOptions, root: str) -> float:
    """Images that a step's forward puts through generators, for each image of the batch (of a side)."""
    model, seen = _model(_config(options, root)), [0]
    for name in model.generators:
        getattr(model, name).register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    with torch.no_grad():
        model(to_device(_batch(options, root), "cpu"))
    return sum(seen) / options.batch_size


def _loader_speed(options: BenchmarkOptions, root: str) -> float:
    """Samples/s that one worker decodes, jitters and hands over."""
    dataset = _dataset(options)(_config(options, root).data, "train", augment=True)
    keys = KeyedBatches(len(dataset), 4, 0, 10**9)
    with BatchReader(keyed_loader(dataset, keys, num_workers=1)) as reader:
        for _ in range(len(dataset) // 4):
            next(reader)  # the worker starts and the disk's cache fills
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < 3:
            next(reader)
            count += 1
        return 4 * count / (time.perf_counter() - began)


def _growth_over_steps(root: str, options: BenchmarkOptions) -> str:
    config = _config(replace(options, size=64, ngf=8, batch_size=1, stage="global"), root)
    trainer = Trainer(config, Path("nowhere"))
    for step, batches in enumerate(trainer.batches(500)):
        trainer.gan_step.run(batches, step, 1.0)
        if step == 100:
            before = _resident()
    return f"{(_resident() - before) / 2**20:+.1f} MiB"


def _growth_with_files(folder: Path, options: BenchmarkOptions) -> str:
    for name, image in _sample(options, 0, "train", 32, 32).items():
        first = folder / "many" / name / "0.png"
        write_image(first, image)
        for i in range(1, MANY):
            os.link(first, first.with_name(f"{i}.png"))
    before, began = _resident(), time.perf_counter()
    dataset = _dataset(options)(_config(options, str(folder / "many")).data, "train")
    assert len(dataset) == MANY
    return f"{(_resident() - before) / 2**20:.1f} MiB; {time.perf_counter() - began:.1f} s"


def _dataset(options: BenchmarkOptions) -> Any:
    return dataset_class(model_class(options.model).dataset)


def _draw_set(root: Path, options: BenchmarkOptions) -> None:
    for split, count in (("train", IMAGES), ("val", 1)):
        for i in range(count):
            for name, image in _sample(options, i, split, options.height, options.width).items():
                write_image(root / name / f"{i}{SUFFIX[options.model]}", image)


def _sample(options: BenchmarkOptions, index: int, split: str, height: int, width: int) -> dict[str, np.ndarray]:
    """Images (H, W, C) of the embedded task by the folder that they belong in."""
    if options.model == "pix2pixhd":
        label, instance, photo = draw_scene(index, split, height, width)
        return {f"{split}_label": label[:, :, None], f"{split}_inst": instance[:, :, None], f"{split}_img": photo}
    a, b = draw_pair(index, split, width)
    if options.model == "pix2pix":
        return {split: np.concatenate([a, b], axis=1)}
    return {f"{split}A": a, f"{split}B": b}


def _resident() -> int:
    """Bytes of memory that this process holds now, where the system tells; its peak elsewhere."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return _peak_resident()


def _peak_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak_memory() -> str:
    on_device = f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB on the GPU, " if torch.cuda.is_available() else ""
    return f"{on_device}{_peak_resident() / 2**20:.0f} MiB"
