"""Rules of the architecture that import-linter (`make quality`) doesn't check: libraries by package, sizes, names."""

import ast
import configparser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "img2img").rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Every module that a file imports, also inside of functions."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            modules |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return modules


def package_of(module: str) -> str:
    return module.split(".")[1] if module.startswith("img2img.") else ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_packages_import_only_allowed_libraries(path: Path) -> None:
    module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    package = package_of(module)
    for imported in imports(path):
        if imported.split(".")[0] == "accelerate":
            assert package == "training", f"{path} imports accelerate"
        if package in ("networks", "models", "losses"):
            assert imported.split(".")[0] not in ("cv2", "albumentations", "yaml", "tqdm"), f"{path} imports {imported}"


def test_tools_are_short() -> None:
    for path in (ROOT / "tools").glob("*.py"):
        assert len(path.read_text().splitlines()) <= 80, f"{path}: logic belongs into the package"


def test_training_names_no_model() -> None:
    names = {path.stem for path in (ROOT / "img2img" / "models").glob("*.py")} - {"__init__", "base", "base_noise"}
    for path in (ROOT / "img2img" / "training").glob("*.py"):
        code = ast.unparse(ast.parse(path.read_text()))
        assert not any(f"'{name}'" in code or f"models.{name}" in code for name in names), path


def test_setup_lists_every_package() -> None:
    """By hand, since configs/ is one of them in a wheel; a missing one would be missing there, too."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = set(setup["options"]["packages"].split())
    folders = {path.parent for path in FILES if path.name == "__init__.py"}
    assert listed == {".".join(path.relative_to(ROOT).parts) for path in folders} | {"img2img.configs"}
