"""Makes the runs that ``tests/test_kept_runs.py`` opens, and what is expected of them, with an earlier version.

    git worktree add CHECKOUT be4cea3
    python tests/kept_runs/make.py CHECKOUT pix2pix cyclegan pix2pixhd
    python tests/kept_runs/make.py CHECKOUT pix2pix-gray dcgan infogan         # after the mend below

Every run takes four steps by CHECKOUT/tools/train.py and is kept here; then it goes on to the eighth. At both it
answers: ``expected/NAME.npz`` holds the answers and the losses of all steps. The kept ones are of commit be4cea3. They
stand for the runs that users have: make none of them anew because a later version can't open it.

The runs of one-channel pictures (gray) are of that commit with one line mended. Its ``normalise`` in
img2img/data/images.py left them with strides that torch takes for channels_last, whose convolutions lose digits on the
CPU; the line ends in ``.to(torch.float32, copy=True, memory_format=torch.contiguous_format).mul_(2 / top).sub_(1)``.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

HERE = Path(__file__).resolve().parent
SAVED, LAST = 4, 8  # steps

# Large weights and rates: the answers are no even gray, and the losses show whether the optimizers' state came back.
COMMON = (
    "--data.num_workers 0 --train.log_every 1 --train.sample_every 100 --train.save_every 100 --train.max_steps 4 "
    "--model.init_gain 0.2 --optim.lr 0.005"
)
DIGITS = "--data.toy true --data.channels_b 1 --data.load_size 32 --data.crop_size 32 --data.flip false"
OPTIONS = {
    "pix2pix": "--model pix2pix --model.num_downs 5 --model.ngf 1 --model.ndf 2 --model.n_layers_d 1 --data.toy true "
    "--data.load_size 36 --data.crop_size 32 --data.batch_size 2 --train.ema_decay 0.9 --train.evaluate_every 4 "
    "--train.evaluate_pictures 2",
    "pix2pix-gray": "--model pix2pix --model.num_downs 3 --model.ngf 2 --model.ndf 2 --model.n_layers_d 1 "
    "--model.gan_loss vanilla --data.root gray --data.channels_a 1 --data.channels_b 1 --data.direction BtoA "
    "--data.load_size 18 --data.crop_size 16 --data.batch_size 2 --optim.optimizer_d rmsprop --optim.lr_d 0.001",
    "cyclegan": "--model cyclegan --model.n_blocks 1 --model.ngf 2 --model.ndf 2 --model.n_layers_d 1 "
    "--model.pool_size 6 --data.toy true --data.load_size 18 --data.crop_size 16 --data.batch_size 1",
    "pix2pixhd": "--model pix2pixhd --model.ngf 2 --model.n_downs 1 --model.n_blocks 1 --model.ndf 2 "
    "--model.n_layers_d 1 --model.nef 2 --model.lambda_vgg 0 --model.instance_features true --data.toy true "
    "--data.label_nc 9 --data.load_size 64 --data.stride 8 --data.batch_size 2 --train.ema_decay 0.9",
    "dcgan": f"--model dcgan --model.num_classes 10 --model.ngf 2 --model.ndf 2 --model.noise_dim 4 {DIGITS} "
    "--data.batch_size 4 --balance.spectral_norm d --train.ema_decay 0.9",
    "infogan": f"--model infogan --model.ngf 2 --model.ndf 1 --model.noise_dim 4 {DIGITS} --data.batch_size 4",
}


def drawn_picture(height: int, width: int, channels: int) -> np.ndarray:
    """Slopes and a checkerboard, (height, width, channels) uint8."""
    y, x, c = np.ogrid[:height, :width, :channels]
    board = 60 * ((y // 7 + x // 5) % 2)
    return ((3 * x + 2 * y * (c + 1) + board + 70 * c) % 256).astype(np.uint8)


def drawn_scene(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Ids (height, width) of 9 classes in blocks, and of their instances, every other class having some."""
    y, x = np.ogrid[:height, :width]
    label = (y // 9 + 2 * (x // 11)) % 9
    return label, np.where(label % 2 == 1, label * 1000 + x // 11, label)


def draw_files() -> None:
    """The set of the run pix2pix-gray, ./gray: pairs side by side."""
    for part, count in (("train", 6), ("val", 2)):
        folder = Path("gray", part)
        folder.mkdir(parents=True)
        for number in range(count):
            a = drawn_picture(20 + number, 18, 1)[:, :, 0]
            Image.fromarray(np.concatenate([a, 255 - a // 2 - 9 * number], axis=1)).save(folder / f"{number}.png")


def answers(run: Path, step: int) -> dict[str, np.ndarray]:
    """What a run's checkpoint answers, by names of our own, (H, W, C) or (count, H, W, C) uint8 each."""
    from img2img import load_sampler, load_translator

    name, which = run.name, {"checkpoint": str(step), "device": "cpu"}
    if name in ("dcgan", "infogan"):
        sample = load_sampler(run, **which)
        more = {"label": 7} if name == "dcgan" else {"codes": {"d1": 3, "c2": -1.5}}
        return {"pictures": sample(3, seed=5), "told": sample(2, seed=6, **more)}
    if name == "pix2pixhd":
        label, instances = drawn_scene(35, 67)
        return {"picture": load_translator(run, **which)(label, instances=instances, photo=drawn_picture(35, 67, 3))}
    picture = drawn_picture(37, 29, 1 if name == "pix2pix-gray" else 3)
    if name == "cyclegan":
        return {way: load_translator(run, direction=way, **which)(picture) for way in ("AtoB", "BtoA")}
    return {policy: load_translator(run, norm_policy=policy, **which)(picture) for policy in ("running", "batch")}


def losses(run: Path) -> dict[str, list[float]]:
    """The columns loss/* of a run's metrics.csv, step by step; rows of evaluations have none."""
    with (run / "metrics.csv").open(newline="") as file:
        table = csv.DictReader(file)
        columns = [name for name in table.fieldnames or [] if name.startswith("loss/")]
        rows = [row for row in table if row[columns[0]]]
    assert [int(row["step"]) for row in rows] == list(range(1, len(rows) + 1))
    return {column: [float(row[column]) for row in rows] for column in columns}


def make(checkout: Path, name: str) -> None:
    """Makes one run and its expected values with the version in ``checkout``."""
    kept, run, expected = HERE / name, Path("runs", name), HERE / "expected" / f"{name}.npz"

    def train(*options: str) -> None:
        command = [sys.executable, str(checkout / "tools" / "train.py"), "--name", name, *options]
        own = {"PYTHONPATH": str(checkout), "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, env={**os.environ, **own})

    train(*f"{OPTIONS[name]} {COMMON}".split())
    for folder in ("tensorboard", "samples"):
        shutil.rmtree(run / folder)
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(run, kept)
    found = {f"answer/{SAVED}/{which}": answer for which, answer in answers(run, SAVED).items()}
    train("--resume", "--train.max_steps", str(LAST))
    found |= {f"answer/{LAST}/{which}": answer for which, answer in answers(run, LAST).items()}
    found |= {column: np.array(values) for column, values in losses(run).items()}
    expected.parent.mkdir(exist_ok=True)
    np.savez_compressed(expected, **found)


def main() -> None:
    checkout, names = Path(sys.argv[1]).resolve(), sys.argv[2:] or list(OPTIONS)
    sys.path.insert(0, str(checkout))
    import img2img

    assert checkout in Path(img2img.__file__).resolve().parents
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        draw_files()
        for name in names:
            make(checkout, name)
        os.chdir(HERE)


if __name__ == "__main__":
    main()
