"""The code in the documentation: blocks of pages and docstrings, and the files that docs/extending.md shows.

Only the standard library is imported: tests/wheel/check.py reads the pages before anything is installed.
"""

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "UPGRADING.md", ROOT / "CONTRIBUTING.md", ROOT / "datasets" / "README.md"]
PAGES += sorted((ROOT / "docs").glob("*.md"))
EXTENDING = ROOT / "docs" / "extending.md"


def fences(text: str, language: str) -> list[str]:
    """The contents of a page's code blocks of a language; "" are blocks without one."""
    return [block for name, block in re.findall(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S) if name == language]


def literal_blocks(docstring: str) -> list[str]:
    """The indented blocks of a docstring that follow a line which ends with ``::``."""
    lines = docstring.splitlines()
    blocks = []
    for number, line in enumerate(lines):
        if line.endswith("::"):
            margin = len(line) - len(line.lstrip())
            block: list[str] = []
            for after in lines[number + 1 :]:
                if after.strip() and len(after) - len(after.lstrip()) <= margin:
                    break
                block.append(after)
            blocks.append(textwrap.dedent("\n".join(block)).strip() + "\n")
    return blocks


def docstrings(folder: Path) -> Iterator[tuple[str, str]]:
    """(Module and object, docstring) of all modules, classes and functions below a package's folder."""
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)):
                name = module if isinstance(node, ast.Module) else f"{module}.{node.name}"
                yield name, ast.get_docstring(node) or ""


def model_files() -> dict[str, str]:
    """The models of docs/extending.md: the code of each by its file's name, which is that of its options."""
    blocks = fences(EXTENDING.read_text(encoding="utf-8"), "python")
    named = [(re.search(r'name: Literal\["(\w+)"\]', block), block) for block in blocks]
    return {f"{name[1]}.py": block for name, block in named if name}


def metric_code() -> str:
    """The metric of docs/extending.md."""
    (block,) = (text for text in fences(EXTENDING.read_text(encoding="utf-8"), "python") if "(PairMetric)" in text)
    return block


class Package(NamedTuple):
    """What a written package is called."""

    distribution: str
    """For pip."""
    model: str
    """For --model."""


def write_package(folder: Path) -> Package:
    """Writes the package of docs/extending.md."""
    (project,) = fences(EXTENDING.read_text(encoding="utf-8"), "toml")
    entry = re.search(r'^\[project\.entry-points\."img2img\.models"\]\n(\w+) = "(\w+)\.(\w+)"$', project, re.M)
    assert entry, "docs/extending.md: no entry point img2img.models with NAME = PACKAGE.MODULE"
    model, package, module = entry.groups()
    (folder / package).mkdir(parents=True)
    (folder / "pyproject.toml").write_text(project, encoding="utf-8")
    (folder / package / "__init__.py").touch()
    (folder / package / f"{module}.py").write_text(model_files()[f"{model}.py"], encoding="utf-8")
    return Package(project.partition('name = "')[2].partition('"')[0], model)
