"""Measures training, loading, inference and memory, and compares the training step with a plain loop of the same maths.

Single timings on a shared machine vary a lot. Therefore the training step and the plain loop alternate: each runs a few
steps, then the other, and the reported ratio is the median over these turns. Each has its own process, because memory
allocators are configured per process. So has inference, to measure its peak memory. Weights are random, which does not
change the speed.
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
from img2img.config import Config
from img2img.data import dataset_class
from img2img.data.images import write_image
from img2img.data.loader import BatchReader, KeyedBatches, collate, keyed_loader, to_device
from img2img.data.toy.shoes import COLOURS, draw_pair, draw_shoe
from img2img.data.toy.streets import draw_scene
from img2img.inference.label_translator import LabelTranslator
from img2img.inference.loading import choose_device
from img2img.inference.translator import Translator
from img2img.losses.balance import BalanceConfig
from img2img.models import model_class
from img2img.models.base import Batch, Model
from img2img.training.trainer import Trainer
from img2img.training_options import TrainConfig

IMAGES = 48  # size of the data set that the loader reads
MANY = 20_000  # size of the data set whose index is measured
SAMPLES = {
    "pix2pix": "pairs",
    "cyclegan": "images of each side",
    "pix2pixhd": "scenes",
    "stargan": "images",
    "srgan": "images",
}
SCALE = 4  # of srgan
VGG = "vgg19.pth"  # file of random weights beside srgan's images
CLASSES = 35  # as in Cityscapes: the input channels of pix2pixHD's networks; the toy scenes have fewer classes
SUFFIX = {
    "pix2pix": ".jpg",
    "cyclegan": ".jpg",
    "pix2pixhd": ".png",
    "stargan": ".jpg",
    "srgan": ".png",
}  # file formats of the public data sets


Commands = dict[str, Callable[[int], None]]
"""Functions that run a number of steps, by name."""


@dataclass
class BenchmarkOptions:
    """Measures training, loading, inference and memory of a model."""

    model: Literal["pix2pix", "cyclegan", "pix2pixhd", "stargan", "srgan"] = "pix2pix"
    """Model to measure, with its paper's networks; pix2pixhd without VGG19, stargan with five domains, srgan as
    ESRGAN's second stage, x4."""
    size: int | str = 256
    """Size of the images in pixels: the side of a square, a power of 2. With pix2pixhd also WIDTHxHEIGHT, such as
    1024x512, in multiples of 32."""
    batch_size: int = 1
    """Batch size of a training step; with cyclegan for each domain."""
    ngf: int = 64
    """Feature maps of the first layer of generator and discriminator. With stage local the discriminator has 2 x
    ngf."""
    stage: Literal["global", "local"] = "global"
    """pix2pixhd only: global (global generator alone) or local (with one local enhancer)."""
    steps: int = 4
    """Steps per turn; with stargan cycles of five D steps and a G step."""
    turns: int = 7
    """Turns of the training step, and of the plain loop."""
    precision: str = "no"
    """no (fp32), bf16 or fp16; of the training step and of the plain loop."""
    compile: bool = False
    """Use torch.compile; not in the plain loop."""
    channels_last: bool = False
    """Use channels-last images and weights; not in the plain loop."""
    inference_only: bool = False
    """Measure inference only, without training and loading."""
    degraded: bool = False
    """Measure the data set of restoration only: training pairs a second of one core, from JPEG files."""
    starts: bool = False
    """Measure only how long commands take to start: CPU seconds and imported modules."""
    training_only: bool = False
    """Measure the training step and the plain loop only."""

    def __post_init__(self) -> None:
        sides = str(self.size).split("x")
        if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
            raise ValueError(f"size {self.size}: must be a number of pixels, or WIDTHxHEIGHT such as 1024x512")
        self.width, self.height = int(sides[0]), int(sides[-1])
        if self.model != "pix2pixhd":
            if self.width != self.height or self.width & (self.width - 1):
                raise ValueError(
                    f"size {self.size}: must be the side of a square, a power of 2, with model {self.model}"
                )
            if self.stage != "global":
                raise ValueError(f"stage {self.stage}: model {self.model} has no stages; use model pix2pixhd")
        elif self.width % 32 or self.height % 32:
            raise ValueError(f"size {self.size}: sides must be multiples of 32 with model pix2pixhd")
        for key in ("batch_size", "ngf", "steps", "turns"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} {getattr(self, key)}: must be at least 1")


def describe(options: BenchmarkOptions) -> str:
    """One line that describes the measurement."""
    if options.starts:
        return "starts of commands: CPU seconds and imported modules"
    if options.degraded:
        return "training pairs a second of one core, patches of 128x128 pixels where no size is named"
    stage = f", stage {options.stage}" if options.model == "pix2pixhd" else ""
    return f"{options.model}{stage}, {options.width}x{options.height}, batch {options.batch_size}, ngf {options.ngf}"


def benchmark(options: BenchmarkOptions) -> list[tuple[str, str]]:
    """Runs the benchmark. Returns the rows of the table: (what is measured, value with unit)."""
    if options.starts:
        from img2img.benchmark.starts import start_rows

        return start_rows()
    if options.degraded:
        from img2img.benchmark.loading import loading_rows

        return loading_rows()
    if options.inference_only:
        return _inference_rows(options)
    with tempfile.TemporaryDirectory() as folder:
        root = str(Path(folder) / "set")
        _draw_set(Path(root), options)
        trainer, plain = _Worker(_trainer_commands, options, root), _Worker(_plain_commands, options, root)
        turns = [(trainer.seconds("step"), plain.seconds("step")) for _ in range(options.turns)]
        turns_with_data = [] if options.training_only else [trainer.seconds("data") for _ in range(3)]
        memory, plain_memory = trainer.request("memory"), plain.request("memory")
        trainer.end()
        plain.end()
        count = options.steps * _cycle(options) * options.batch_size
        speed, plain_speed = (count / statistics.median(t[i] for t in turns) for i in (0, 1))
        ratio = statistics.median(b / a for a, b in turns)
        training = [
            ("training step, images/s", f"{speed:.2f}"),
            ("plain loop, images/s", f"{plain_speed:.2f}"),
            ("training step : plain loop, median of the turns", f"{ratio:.2f}"),
        ]
        peaks = [("peak memory, training", memory), ("peak memory, plain loop", plain_memory)]
        if options.training_only:
            return [*training, *peaks]
        speed_with_data = count / statistics.median(turns_with_data)
        loader_speed = _loader_speed(options, root)
        return [
            *training,
            ("images through the generators for each of a G step", f"{_generator_passes(options, root):g}"),
            ("training with data, images/s", f"{speed_with_data:.2f}"),
            (f"loader, {SAMPLES[options.model]}/s for each worker", f"{loader_speed:.0f}"),
            ("loader, one worker : training step", f"{loader_speed / speed:.1f}"),
            *peaks,
            *_inference_rows(options),
            ("memory growth from step 100 to step 500 (64 pixels wide)", _growth_over_steps(root, options)),
            (
                f"index of {MANY} {SAMPLES[options.model]}: memory; headers checked in",
                _growth_with_files(Path(folder), options),
            ),
        ]


def _inference_rows(options: BenchmarkOptions) -> list[tuple[str, str]]:
    worker = _Worker(_inference_commands, options, "unused")
    seconds = statistics.median(worker.seconds("step") for _ in range(min(3, options.turns))) / options.steps
    memory = worker.request("memory")
    worker.end()
    speed = f"{1 / seconds:.2f} images/s" if seconds < 1 else f"{seconds:.1f} s an image"
    return [("inference, random weights", speed), ("peak memory, inference", memory)]


def _config(options: BenchmarkOptions, root: str) -> Config:
    model: dict[str, Any] = {"ngf": options.ngf, "ndf": options.ngf}
    data: dict[str, Any] = {"load_size": options.width * 286 // 256, "crop_size": options.width}
    train = TrainConfig(epochs=10**6, compile=options.compile, channels_last=options.channels_last)
    if options.model == "pix2pix":
        model["num_downs"] = options.width.bit_length() - 1
    elif options.model == "stargan":
        model["n_layers_d"] = min(6, options.width.bit_length() - 1)
        data = {"load_size": options.width, "crop_size": options.width, "names": sorted(COLOURS)}
    elif options.model == "srgan":
        discriminator = "vgg" if options.width in (128, 256) else "srgan"
        model = {"stage": "gan", "network": "rrdb", "relativistic": True, "discriminator": discriminator}
        model |= {"width": options.ngf, "growth": max(1, options.ngf // 2), "ndf": options.ngf}
        model["vgg_weights"] = str(Path(root) / VGG)
        data = {"crop_size": options.width, "down": SCALE}
        train.ema_decay, train.init_from = 0.999, "unused"  # the latter is only looked at by ``train``
    elif options.model == "pix2pixhd":
        model |= {"stage": options.stage, "lambda_vgg": 0.0}
        if options.stage == "local":
            model["ndf"] = 2 * options.ngf
            train.init_from = "unused"  # required with stage local, but not read here
        data = {"load_size": options.width, "preprocess": "scale_width", "label_nc": CLASSES}
    kind, section = model_class(options.model), "balance."
    balance = {key.removeprefix(section): value for key, value in kind.defaults.items() if key.startswith(section)}
    return Config(
        "benchmark",
        kind.Config(**model),
        _dataset(options).Config(root, batch_size=options.batch_size, **data),
        train=train,
        balance=BalanceConfig(**balance),
    )


def _cycle(options: BenchmarkOptions) -> int:
    """Number of D steps for a G step: a turn has whole cycles."""
    return _config(options, "unused").balance.discriminator_steps


class _Worker:
    """A process that runs ``options.steps`` steps on request.

    Args:
        make_commands: called in the process with ``args``; returns functions that run a number of steps, by name.
        args: options and root.
    """

    def __init__(self, make_commands: Callable[[BenchmarkOptions, str], Commands], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, worker_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(make_commands, worker_end, *args), daemon=False)
        self.process.start()
        worker_end.close()  # while this process held it open, it would wait forever for a worker that died
        self.seconds("step")  # warm up: allocators, compilation

    def request(self, command: str) -> Any:
        """Sends a command and returns the answer.

        Raises:
            RuntimeError: the process has died.
        """
        self.pipe.send(command)
        try:
            return self.pipe.recv()
        except (EOFError, ConnectionResetError):
            raise RuntimeError("a benchmark process died; see its traceback above") from None

    def seconds(self, command: str) -> float:
        """Runs one turn of a command and returns its duration in seconds."""
        return float(self.request(command))

    def end(self) -> None:
        """Ends the process."""
        self.pipe.send("end")
        self.process.join()


def _serve(make_commands: Callable[..., Commands], pipe: Connection, options: Any, root: str) -> None:
    """Loop of a worker process: runs the commands that it receives, until "end"."""
    os.environ["ACCELERATE_MIXED_PRECISION"] = options.precision
    commands = make_commands(options, root)
    while (command := pipe.recv()) != "end":
        if command == "memory":
            pipe.send(_peak_memory())
            continue
        began = time.perf_counter()
        commands[command](options.steps)
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        pipe.send(time.perf_counter() - began)


def _trainer_commands(options: BenchmarkOptions, root: str) -> Commands:
    """ "step": training steps on one batch; "data": training steps with the loader."""
    trainer = Trainer(_config(options, root), Path("nowhere"))
    stream = trainer.batches(10**9)
    batches = next(stream)

    cycle = _cycle(options)

    def step(count: int) -> None:
        for i in range(count * cycle):
            trainer.gan_step.run(batches, i, 1.0)

    def data(count: int) -> None:
        for i in range(count * cycle):
            trainer.gan_step.run(next(stream), i, 1.0)

    return {"step": step, "data": data}


def _plain_commands(options: BenchmarkOptions, root: str) -> Commands:
    """ "step": steps of the plain loop on one batch."""
    device = choose_device(None)
    model = _model(_config(options, root))
    model.load_pretrained()
    model, batch = model.to(device), to_device(_batch(options, root), device)

    def autocast() -> Any:
        precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(options.precision)
        return torch.autocast(device.type, precision or torch.bfloat16, enabled=precision is not None)

    step = PLAIN[options.model](model, batch, autocast)
    cycle = _cycle(options)

    def steps(count: int) -> None:
        for _ in range(count * cycle):
            step()

    return {"step": steps}


def _inference_commands(options: BenchmarkOptions, root: str) -> Commands:
    """ "step": translations of one image."""
    config = _config(options, root)
    model, device = _model(config), choose_device(None)
    translate: Callable[[], Any]
    if options.model == "pix2pixhd":
        label, instance, _ = draw_scene(0, "val", options.height, options.width)
        translate = partial(LabelTranslator(model, config, device), label, instances=instance)
    else:
        side = options.width // model.scale
        translate = partial(Translator(model, config, device), draw_pair(0, "val", side)[0])

    def steps(count: int) -> None:
        for _ in range(count):
            translate()

    return {"step": steps}


def _model(config: Config) -> Model:
    return model_class(config.model.name)(config.model, config.data.channels)


def _batch(options: BenchmarkOptions, root: str) -> Batch:
    """A batch of the first samples of the data set."""
    dataset = _dataset(options)(_config(options, root).data, "train")
    return collate([dataset[0, i % len(dataset)] for i in range(options.batch_size)])


def _generator_passes(options: BenchmarkOptions, root: str) -> float:
    """Number of images that pass through generators in one ``forward``, per sample of the batch."""
    model, counts = _model(_config(options, root)), [0]
    for name in model.generators:
        getattr(model, name).register_forward_hook(lambda _, inputs, __: counts.append(len(inputs[0])))
    with torch.no_grad():
        model(to_device(_batch(options, root), "cpu"))
    return sum(counts) / options.batch_size


def _loader_speed(options: BenchmarkOptions, root: str) -> float:
    """Samples per second that one worker process reads and augments."""
    dataset = _dataset(options)(_config(options, root).data, "train", augment=True)
    keys = KeyedBatches(len(dataset), 4, 0, 10**9)
    with BatchReader(keyed_loader(dataset, keys, num_workers=1)) as reader:
        for _ in range(len(dataset) // 4):
            next(reader)  # warm up: the worker starts, the disk cache fills
        began, count = time.perf_counter(), 0
        while time.perf_counter() - began < 3:
            next(reader)
            count += 1
        return 4 * count / (time.perf_counter() - began)


def _growth_over_steps(root: str, options: BenchmarkOptions) -> str:
    """Memory growth in 400 training steps of a small model."""
    config = _config(replace(options, size=64, ngf=8, batch_size=1, stage="global"), root)
    trainer = Trainer(config, Path("nowhere"))
    for step, batches in enumerate(trainer.batches(500)):
        trainer.gan_step.run(batches, step, 1.0)
        if step == 100:
            before = _resident()
    return f"{(_resident() - before) / 2**20:+.1f} MiB"


def _growth_with_files(folder: Path, options: BenchmarkOptions) -> str:
    """Memory and seconds of opening a data set of MANY samples."""
    images = _sample(options, 0, "train", 32, 32)
    each = MANY // len(images) if options.model == "stargan" else MANY  # its folders have different samples
    for name, image in images.items():
        first = folder / "many" / name / "0.png"
        write_image(first, image)
        for i in range(1, each):
            os.link(first, first.with_name(f"{i}.png"))
    before, began = _resident(), time.perf_counter()
    dataset = _dataset(options)(_config(options, str(folder / "many")).data, "train")
    assert len(dataset) == MANY
    return f"{(_resident() - before) / 2**20:.1f} MiB; {time.perf_counter() - began:.1f} s"


def _dataset(options: BenchmarkOptions) -> Any:
    kinds = model_class(options.model).dataset
    return dataset_class(kinds[0] if isinstance(kinds, tuple) else kinds)


def _draw_set(root: Path, options: BenchmarkOptions) -> None:
    if options.model == "srgan":
        from torchvision.models import vgg19

        root.mkdir(parents=True, exist_ok=True)
        torch.save(vgg19(weights=None).state_dict(), root / VGG)
    for split, count in (("train", IMAGES), ("val", 1)):
        for i in range(count):
            for name, image in _sample(options, i, split, options.height, options.width).items():
                write_image(root / name / f"{i}{SUFFIX[options.model]}", image)


def _sample(options: BenchmarkOptions, index: int, split: str, height: int, width: int) -> dict[str, np.ndarray]:
    """A sample of the toy task: images (H, W, C) by the folder that they are written to."""
    if options.model == "pix2pixhd":
        label, instance, photo = draw_scene(index, split, height, width)
        return {f"{split}_label": label[:, :, None], f"{split}_inst": instance[:, :, None], f"{split}_img": photo}
    if options.model == "stargan":
        return {f"{split}/{colour}": draw_shoe(index, split, width, colour) for colour in COLOURS}
    a, b = draw_pair(index, split, width)
    if options.model == "srgan":
        return {split: b}
    if options.model == "pix2pix":
        return {split: np.concatenate([a, b], axis=1)}
    return {f"{split}A": a, f"{split}B": b}


def _resident() -> int:
    """Resident memory of this process in bytes, on Linux; its peak elsewhere."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    return _peak_resident()


def _peak_resident() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _peak_memory() -> str:
    on_device = f"{torch.cuda.max_memory_allocated() / 2**20:.0f} MiB on the GPU, " if torch.cuda.is_available() else ""
    return f"{on_device}{_peak_resident() / 2**20:.0f} MiB"
