"""Installs a wheel into an empty environment and uses it in an empty folder, as its user does (``make wheel-test``).

    python tests/wheel/check.py build/wheel/img2img_toolkit-*.whl [--pip-args ARGS] [--site-packages DIR]

Everything runs in a temporary folder without the checkout: the commands, as ``img2img`` or by ``accelerate launch -m
img2img``; the example of ``img2img.train`` in Python; and the model and the package of docs/extending.md, whose code is
read from the page. Then every help text and every message is searched for files that only a checkout has.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.pages import ROOT, docstrings, literal_blocks, model_files, write_package

CHECKOUT = re.compile(r"\b(?:tools|datasets|configs|docs|tests)/[\w/.-]*\.(?:py|md|yaml)|\b(?:README|UPGRADING)\.md")
SMALL = "--model.ngf 4 --model.ndf 4 --data.batch_size 1 --data.num_workers 0"


class Installed:
    """An environment with the wheel, and an empty folder."""

    def __init__(self, folder: Path, wheel: Path, pip_args: list[str], packages: Path | None) -> None:
        self.bin = folder / "venv" / ("Scripts" if os.name == "nt" else "bin")
        self.work = folder / "work"
        self.work.mkdir()
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        self.environment["PATH"] = f"{self.bin}{os.pathsep}{self.environment['PATH']}"
        # a quick trial builds with the setuptools of the other environment
        self.pip_install = ["python", "-m", "pip", "install", "--quiet", *pip_args]
        self.pip_install += [] if packages is None else ["--no-build-isolation"]
        venv.create(folder / "venv", with_pip=packages is None)
        if packages is None:
            self(*self.pip_install, f"{wheel}[completion]")
        else:  # a quick trial: the dependencies of another environment
            own = Path(self("python", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
            (own / "dependencies.pth").write_text(f"{packages}\n")
            self(*self.pip_install, "--no-deps", str(wheel))

    def __call__(self, *command: str, code: int = 0) -> str:
        """Runs a command in the empty folder and returns what it prints; ends this program if its exit code differs."""
        print("$", shlex.join(command), flush=True)
        begin = time.monotonic()
        words = [str(self.bin / command[0]), *command[1:]]
        done = subprocess.run(words, cwd=self.work, env=self.environment, capture_output=True, text=True, check=False)
        print(f"  {time.monotonic() - begin:.1f} s", flush=True)
        if done.returncode != code:
            sys.exit(f"exit code {done.returncode}, not {code}:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
        return done.stdout + done.stderr

    def img2img(self, line: str, code: int = 0) -> str:
        """Runs ``img2img LINE``."""
        return self("img2img", *shlex.split(line), code=code)


def require(condition: object, what: str) -> None:
    """Ends this program unless the condition is true."""
    if not condition:
        sys.exit(f"wheel-test: {what}")


def use(installed: Installed) -> None:
    """Every command, one after another, as a user would."""
    run = installed.img2img
    require("pix2pix/facades" in run("presets"), "presets lacks pix2pix/facades")
    require("has no runs" in run("runs"), "runs lists some in an empty folder")
    printed = run(f"train --model pix2pix {SMALL} --train.max_steps 40 --train.precision bf16")
    require("img2img infer toy" in printed, "train doesn't name the command that translates")
    printed = run("train --name toy --resume --train.max_steps 44")
    require("bf16" in printed and "step 44" in printed, "--resume did not keep bf16")
    installed.environment["ACCELERATE_USE_CPU"] = "true"
    launch = "launch --multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no"
    launch += " --main_process_port 0 -m img2img train --name two --train.max_steps 4 --model pix2pix"
    accelerate = ["accelerate"] if (installed.bin / "accelerate").exists() else []  # a quick trial has no script
    accelerate = accelerate or ["python", "-m", "accelerate.commands.accelerate_cli"]
    printed = installed(*accelerate, *shlex.split(f"{launch} {SMALL}"))
    require("2 processes" in printed, "accelerate launch did not start two processes")
    del installed.environment["ACCELERATE_USE_CPU"]
    require("runs/toy" in run("infer toy"), "infer doesn't name the run")
    require(len(list((installed.work / "runs/toy/results").rglob("*.png"))) > 40, "infer wrote no images")
    require("| output |" in run("evaluate toy"), "evaluate prints no table")
    run("export toy")
    printed = run("import runs/toy/export/latest_net_G.pth --name official --config pix2pix/toy")
    require("img2img infer official" in printed, "import doesn't name the command that translates")
    run("infer official")
    printed = run("runs")
    require(all(name in printed for name in ("toy", "two", "official")), "runs lacks a run")
    require("did you mean" in run("train --config pix2pix/facade", code=2), "a wrong preset is not answered")
    require("is missing" in run("train", code=2), "a missing model is not answered")
    installed("python", "-m", "img2img", "--version")


def use_python(installed: Installed) -> None:
    """The first example of ``img2img.train``, in a folder of its own."""
    code = literal_blocks(dict(docstrings(ROOT / "img2img"))["img2img.api.train"])[0]
    installed("python", "-c", f"import os\nos.mkdir('python')\nos.chdir('python')\n{code}")
    require(list((installed.work / "python/runs").glob("*/checkpoints/step-*")), "the example of train made no run")


def extend(installed: Installed) -> None:
    """The model of docs/extending.md as a file, and in a package, which is removed at last."""
    run, work = installed.img2img, installed.work
    options = "--train.max_steps 2 --data.num_workers 0 --data.load_size 64 --data.crop_size 64"
    package = write_package(work / "package")
    (work / f"{package.model}.py").write_text(model_files()[f"{package.model}.py"], encoding="utf-8")
    run(f"train --model {package.model}.py --name mine {options}")
    run("infer mine")
    installed(*installed.pip_install, "--no-deps", str(work / "package"))
    run(f"train --model {package.model} --name packaged {options}")
    run("infer packaged")
    require(list((work / "runs/packaged/results").rglob("*.png")), "infer of the package's model wrote no images")
    installed("python", "-m", "pip", "uninstall", "--quiet", "--yes", package.distribution)
    printed = run("infer packaged", code=2)
    require(printed.count("\n") == 1 and package.model in printed, f"no line names the missing model:\n{printed}")
    run("infer mine")


def help_texts(installed: Installed) -> dict[str, str]:
    """The help of every command, and of train for every model."""
    overview = installed.img2img("--help")
    commands = re.findall(r"^  (\w+)  ", overview, re.M)
    models = re.findall(r"^  (\w+)  ", installed.img2img("train --help"), re.M)
    require(len(commands) > 10 and len(models) > 5, "--help lists no commands or models")
    texts = {"--help": overview}
    for line in [f"{name} --help" for name in commands] + [f"train --model {name} --help all" for name in models]:
        texts[line] = installed.img2img(line)
    return texts


MESSAGES = """
import ast, pathlib, img2img
for path in sorted(pathlib.Path(img2img.__file__).parent.rglob("*.py")):
    if path.name == "program.py":  # the scripts' own names
        continue
    tree = ast.parse(path.read_text(encoding="utf-8"))
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in bare:
            print(f"{path.name}:{node.lineno}", repr(node.value))
for path in sorted(pathlib.Path(img2img.__file__).parent.rglob("*.yaml")):
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        print(f"{path.name}:{number}", line)
"""


def search(installed: Installed) -> None:
    """Ends this program if a help text, a message or a preset names a file that a wheel lacks."""
    texts = help_texts(installed)
    texts["messages"] = installed("python", "-c", MESSAGES)
    lines = [f"{name}: {line.strip()}" for name, text in texts.items() for line in text.splitlines()
             if CHECKOUT.search(line)]  # fmt: skip
    require(not lines, "these name files that a wheel lacks:\n" + "\n".join(lines))


def main() -> None:
    """Reads the arguments and runs everything."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--pip-args", default="", help="further arguments of pip install")
    parser.add_argument("--site-packages", type=Path, help="take dependencies from there instead of installing them")
    args = parser.parse_args()
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        wheel = args.wheel.resolve()
        installed = Installed(Path(folder), wheel, shlex.split(args.pip_args), args.site_packages)
        use(installed)
        use_python(installed)
        extend(installed)
        search(installed)
    print(f"wheel-test  passed in {time.monotonic() - begin:.0f} s")


if __name__ == "__main__":
    main()
