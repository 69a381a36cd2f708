"""``img2img benchmark``: options arrive, the table is printed, and mistakes are one line."""

import pytest

from img2img.benchmark.speed import BenchmarkOptions
from img2img.cli.main import main


def test_benchmark_prints_the_rows_of_its_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def rows(options: BenchmarkOptions) -> list[tuple[str, str]]:
        return [("size", f"{options.width}"), ("steps", f"{options.steps}")]

    monkeypatch.setattr("img2img.benchmark.speed.benchmark", rows)
    assert main(["benchmark", "--model", "srgan", "--size", "128", "--training-only", "true", "--steps", "1"]) == 0
    printed = capsys.readouterr().out
    assert "| size | 128 |" in printed
    assert "| steps | 1 |" in printed


def test_wrong_option_of_benchmark_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["benchmark", "--size", "96"])
    assert ended.value.code == 2
    assert "size 96" in capsys.readouterr().err
