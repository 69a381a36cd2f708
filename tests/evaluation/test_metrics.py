"""Judging pictures from end to end, by a feature network of a few numbers, and the pixel metrics against scipy."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import skimage.metrics
import torch
from torch import Tensor, nn

from img2img.data.images import read_image
from img2img.evaluation import metrics as quality_module
from img2img.evaluation.distances import Gaussian, frechet_distance, kernel_distance, precision_recall
from img2img.evaluation.image_sets import folder_subject, is_folder
from img2img.evaluation.metrics import OF_PAIRS, OF_SETS, Judges, judge, load_judges, parse_metrics
from img2img.evaluation.pixels import pair_scores
from img2img.evaluation.report import report, write_report
from tests.conftest import drawn_pair, write
from tests.helpers import Colours

PLAIN = (*OF_PAIRS, *OF_SETS)


class Brightness(nn.Module):
    """In place of LPIPS: (B, 3, H, W) twice -> (B, 1, 1, 1)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.min() >= -1
        assert a.shape[1] == 3
        return (a - b).abs().mean((1, 2, 3), keepdim=True)


@pytest.fixture
def judges() -> Judges:
    return Judges(Colours(), Brightness(), "colours")


def folders(count: int = 24, noise: float = 20) -> tuple[Path, Path]:
    """Pictures with noise on them, of two sizes, and without; names agree but for the suffix."""
    random = np.random.default_rng(0)
    for i in range(count):
        picture = drawn_pair(i, 32, 32 + 8 * (i % 5 == 0))[1]
        write(Path("real") / f"{i:02d}.bmp", picture)
        noisy = picture + noise * (1 + i) / count * random.normal(size=picture.shape)
        write(Path("made") / f"{i:02d}.png", noisy.clip(0, 255).astype(np.uint8))
    return Path("made"), Path("real")


def features_of(folder: Path) -> np.ndarray:
    pictures = [torch.from_numpy(read_image(path, 3)).permute(2, 0, 1)[None] for path in sorted(folder.iterdir())]
    return torch.cat([Colours()(picture)[0] for picture in pictures]).numpy()


@pytest.mark.parametrize("batch_size", [1, 5])
def test_all_metrics_of_two_folders(judges: Judges, batch_size: int) -> None:
    made, real = folders()
    found = judge(folder_subject(made, real, True), PLAIN, judges, batch_size)
    a, b = features_of(made), features_of(real)
    moments = Gaussian(), Gaussian()
    for one, points in zip(moments, (a, b), strict=True):
        one.add(points)
    scores = found.scores
    assert scores["fid"] == pytest.approx(frechet_distance(*moments), rel=1e-9)
    assert scores["kid"] == pytest.approx(kernel_distance(a, b)[0], rel=1e-9)
    assert "kid" not in found.deviations  # there is a single subset
    assert (scores["precision"], scores["recall"]) == precision_recall(a, b)
    assert 1 < scores["is"] < 3
    errors = [
        np.abs(read_image(made / f"{i:02d}.png", 3) - 1.0 * read_image(real / f"{i:02d}.bmp", 3)) for i in range(24)
    ]
    assert found.of_pictures["l1"] == pytest.approx([error.mean() for error in errors])
    assert scores["l1"] == pytest.approx(np.mean([error.mean() for error in errors]))
    assert found.of_pictures["psnr"] == pytest.approx([10 * np.log10(255**2 / (e**2).mean()) for e in errors])
    assert found.of_pictures["lpips"] == pytest.approx([error.mean() / 127.5 for error in errors], rel=1e-5)
    order = np.argsort(found.of_pictures["l1"])
    assert [row.name for row in found.best] == [found.names[i] for i in order[:10]]
    assert [row.name for row in found.worst] == [found.names[i] for i in order[::-1][:10]]


def test_a_folder_against_itself(judges: Judges) -> None:
    real = folders()[1]
    scores = judge(folder_subject(real, real, True), PLAIN, judges).scores
    assert scores["fid"] == pytest.approx(0, abs=1e-12)
    assert (scores["precision"], scores["recall"], scores["l1"], scores["lpips"]) == (1, 1, 0, 0)
    assert scores["ssim"] == pytest.approx(1, abs=1e-9)
    assert scores["psnr"] == 100  # not infinite


def test_more_noise_is_never_better(judges: Judges) -> None:
    found = []
    for noise in (0, 10, 40, 160):
        found.append(judge(folder_subject(*folders(noise=noise), True), ("fid", "ssim"), judges).scores)
    assert [scores["fid"] for scores in found] == sorted(scores["fid"] for scores in found)
    assert [scores["ssim"] for scores in found] == sorted((scores["ssim"] for scores in found), reverse=True)


def test_no_more_features_are_kept_than_said(judges: Judges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality_module, "KEPT", 7)
    sizes = []

    def distance(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        sizes.append((len(a), len(b)))
        return 0, 0

    monkeypatch.setattr(quality_module, "kernel_distance", distance)
    judge(folder_subject(*folders()), ("kid",), judges)
    assert sizes == [(7, 7)]


def test_ssim_and_psnr_are_their_definitions() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 3, 30, 40)), random.random((2, 3, 30, 40))
    b[0] = 0.9 * a[0] + 0.1 * b[0]
    found = pair_scores(torch.from_numpy(a), torch.from_numpy(b))

    def blur(image: np.ndarray) -> np.ndarray:
        weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
        for axis in (0, 1):
            image = scipy.ndimage.correlate1d(image, weights / weights.sum(), axis)
        return image[5:-5, 5:-5]  # where the window lies within the picture

    for i in range(2):
        maps = []
        for x, y in zip(a[i], b[i], strict=True):
            mx, my = blur(x), blur(y)
            vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
            maps.append((2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
        assert found["ssim"][i].item() == pytest.approx(np.mean(maps), rel=1e-6)
        assert found["psnr"][i].item() == pytest.approx(10 * np.log10(1 / ((a[i] - b[i]) ** 2).mean()), rel=1e-9)


def test_ssim_and_psnr_are_those_of_scikit_image() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((30, 40, 3)), random.random((30, 40, 3))
    found = pair_scores(*(torch.from_numpy(x).permute(2, 0, 1)[None] for x in (a, b)))
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
    assert found["ssim"].item() == pytest.approx(skimage.metrics.structural_similarity(a, b, **options), rel=1e-6)
    assert found["psnr"].item() == pytest.approx(skimage.metrics.peak_signal_noise_ratio(a, b, data_range=1), rel=1e-6)


def test_the_report(judges: Judges) -> None:
    made, real = folders()
    subject = folder_subject(made, real, True)
    found = judge(subject, PLAIN, judges)
    write_report(found, subject, judges, subject.output)
    written = Path("made-evaluation")
    assert subject.output.resolve() == written.resolve()
    summary = json.loads((written / "summary.json").read_text())
    assert summary["scores"] == pytest.approx(found.scores)
    assert (summary["count"], summary["reference_count"], summary["features"]) == (24, 24, "colours")
    assert summary["kid_subset"] == 24
    rows = (written / "pictures.csv").read_text().splitlines()
    assert rows[0] == "name,l1,psnr,ssim,lpips"
    assert len(rows) == 25
    assert rows[1].startswith("00.png,")
    table = (written / "table.md").read_text()
    assert f"| FID | {found.scores['fid']:.5g} |" in table
    assert "| Inception Score | " in table
    sheet = read_image(written / "best_and_worst.png", 3)
    assert sheet.shape[0] > 10 * 32
    assert sheet.shape[1] > 4 * 32
    before = judge(subject, ("fid",), judges).names
    assert before == []  # sets alone have no sheet


def test_equal_pictures_make_a_valid_summary(judges: Judges) -> None:
    real = folders()[1]
    subject = folder_subject(real, real, True)
    write_report(judge(subject, ("psnr",), judges), subject, judges, Path("report"))
    assert json.loads(Path("report/summary.json").read_text(), parse_constant=pytest.fail)["scores"] == {"psnr": 100}
    assert Path("report/pictures.csv").read_text().splitlines()[1] == "00.bmp,inf"


def test_files_that_can_not_be_decoded_are_left_out_and_told(
    judges: Judges, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = folders(6)
    without = judge(folder_subject(made, real, True), ("l1", "fid"), judges)
    write(made / "bad.png", drawn_pair(0, 32, 32)[0])
    (made / "bad.png").write_bytes((made / "bad.png").read_bytes()[:200])
    write(real / "bad.png", drawn_pair(0, 32, 32)[0])
    (made / "movie.gif").write_bytes(b"GIF89a")
    subject = folder_subject(made, real, True)
    found = judge(subject, ("l1", "fid"), judges)
    assert found.names == without.names
    assert found.scores["l1"] == without.scores["l1"]
    assert (found.count, found.real_count) == (6, 7)
    assert capsys.readouterr().err.count("skipped     made/bad.png: ") == 1
    write_report(found, subject, judges, Path("report"))
    assert "| files left out | 1 that can't be decoded, 1 of other kinds |" in Path("report/table.md").read_text()
    (message,) = json.loads(Path("report/summary.json").read_text())["skipped"]
    assert message.startswith("made/bad.png: ")
    for path in made.glob("0*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="made: none of its pictures can be decoded"):
        judge(folder_subject(made, real), ("fid",), judges)


def test_what_is_known_is_said_before_anything_is_looked_at(judges: Judges) -> None:
    made, real = folders(3)
    subject = folder_subject(made, real, True)
    subject.pictures = pytest.fail
    with pytest.raises(ValueError, match="--metrics pr: needs 4 pictures in each set, and there are 3"):
        judge(subject, ("pr",), judges)
    write(made / "01.bmp", drawn_pair(0, 32, 32)[0])
    with pytest.raises(ValueError, match="made: several files for 01: keep one of each"):
        folder_subject(made, real, True)
    assert folder_subject(made, real).count == 4  # as a set they may


def test_an_equal_picture_does_not_make_a_mean_infinite(judges: Judges) -> None:
    made, real = folders(4)
    others = judge(folder_subject(made, real, True), ("psnr",), judges).of_pictures["psnr"]
    write(made / "02.png", read_image(real / "02.bmp", 3))
    found = judge(folder_subject(made, real, True), ("psnr",), judges)
    assert found.of_pictures["psnr"][2] == np.inf
    assert found.scores["psnr"] == pytest.approx(np.mean([*others[:2], 100, others[3]]))
    assert found.best[0].name == "02.png"


def test_a_report_is_of_one_measurement(judges: Judges) -> None:
    made, real = folders(4)
    for metrics in (("l1",), ("fid",)):
        subject = folder_subject(made, real, True)
        write_report(judge(subject, metrics, judges), subject, judges, Path("report"))
    assert {path.name for path in Path("report").iterdir()} == {"summary.json", "table.md"}


def test_a_report_lies_beside_what_is_judged(judges: Judges) -> None:
    made, real = folders(4)
    subject = folder_subject(made, real, True)
    subject.pictures = pytest.fail
    for folder in (made, made / "sub", real / "sub"):
        with pytest.raises(ValueError, match=f"--output {folder}: lies in .*, whose pictures are judged"):
            report(subject, ("l1",), judges, folder)
    Path("file").write_text("")
    with pytest.raises(ValueError, match=r"--output file: can't be written \(File exists\)"):
        report(subject, ("l1",), judges, Path("file"))


def test_names_of_files_may_be_any_bytes(judges: Judges, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = folders(2)
    for folder, suffix in ((made, "png"), (real, "bmp")):
        (folder / f"00.{suffix}").rename(folder / os.fsdecode(b"caf\xe9|." + suffix.encode()))
    report(folder_subject(made, real, True), ("l1",), judges, Path("report"))
    assert "\ncaf\\udce9|.png," in Path("report/pictures.csv").read_text(encoding="utf-8")
    assert "report      report" in capsys.readouterr().out


def test_grids_are_none_of_the_pictures() -> None:
    made, real = folders(3)
    write(made / "grids" / "sheet.png", drawn_pair(0)[0])
    assert folder_subject(made, real).count == 3
    assert is_folder("made")
    assert not is_folder("nothing")


def test_what_is_wrong_is_named(judges: Judges) -> None:
    made, real = folders(3)
    for metrics, message in {
        "l1,fdi": "--metrics l1,fdi: fdi is none; there are l1,psnr,ssim,lpips,fid,kid,is,pr,fcn",
        ",": "--metrics ,: nothing is none",
    }.items():
        with pytest.raises(ValueError, match=message):
            parse_metrics(metrics)
    assert parse_metrics("FID, kid,fid") == ("fid", "kid")
    with pytest.raises(ValueError, match="--metrics fid: compares with real pictures; --reference names their folder"):
        judge(folder_subject(made, None), ("fid",), judges)
    with pytest.raises(ValueError, match="--metrics pr: needs 4 pictures"):
        judge(folder_subject(made, real), ("pr",), judges)
    with pytest.raises(ValueError, match="--reference nowhere: no such folder"):
        folder_subject(made, Path("nowhere"))
    (real / "01.bmp").unlink()
    with pytest.raises(ValueError, match=r"--metrics l1: no true picture of the name of 01\.png; leave l1 out"):
        judge(folder_subject(made, real, True), ("l1",), judges)
    write(real / "01.bmp", drawn_pair(0, 8, 8)[0])
    with pytest.raises(ValueError, match=r"made/01.png is 32x32, and real/01.bmp 8x8: a pair needs one size"):
        judge(folder_subject(made, real, True), ("l1",), judges)
    write(made / "01.png", drawn_pair(0, 8, 8)[0])
    with pytest.raises(ValueError, match=r"--metrics ssim: 01.png is smaller than its window of 11 pixels"):
        judge(folder_subject(made, real, True), ("ssim",), judges)
    with pytest.raises(ValueError, match=r"--metrics lpips: 01.png is narrower than AlexNet's 31 pixels"):
        judge(folder_subject(made, real, True), ("lpips",), judges)
    with pytest.raises(ValueError, match="--features vgg16: the Inception Score is told by Inception's classes"):
        load_judges(("is",), "vgg16")
    with pytest.raises(ValueError, match="--weights x: none of the metrics l1 needs it"):
        load_judges(("l1",), weights="x")
    with pytest.raises(ValueError, match="--batch-size 0: must be at least 1"):
        judge(folder_subject(made, real), ("fid",), judges, 0)
