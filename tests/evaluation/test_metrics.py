"""Evaluating folders from end to end, by a feature network of a few numbers, and the pixel metrics against scipy."""

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
from img2img.evaluation import metrics as metrics_module
from img2img.evaluation.base import FeatureNetworks, ImageBatch, ImageRecord, ImageSet, Metric
from img2img.evaluation.distances import Gaussian, frechet_distance, kernel_distance, precision_recall
from img2img.evaluation.image_sets import folder_set
from img2img.evaluation.metrics import PSNR, SSIM, choose_metrics, load_networks
from img2img.evaluation.report import report, write_report
from img2img.runs import is_image_folder
from tests.conftest import drawn_pair, write
from tests.evaluation.helpers import folders, measure
from tests.helpers import Colours

PLAIN = "l1,psnr,ssim,lpips,fid,kid,is,pr"


class Brightness(nn.Module):
    """In place of LPIPS: (B, 3, H, W) twice -> (B, 1, 1, 1)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.min() >= -1
        assert a.shape[1] == 3
        return (a - b).abs().mean((1, 2, 3), keepdim=True)


@pytest.fixture
def networks() -> FeatureNetworks:
    return FeatureNetworks(Colours(), Brightness(), title="colours")


def value_of(metric: Metric, image: np.ndarray, target: np.ndarray) -> float:
    """The value of one image (H, W, C) beside its target."""
    networks = FeatureNetworks()
    metric.begin(ImageSet("one", 1, lambda: iter(())), networks)
    metric.update(ImageBatch([ImageRecord("0", image, target)], networks))
    return metric.values[0]


def features_of(folder: Path) -> np.ndarray:
    pictures = [torch.from_numpy(read_image(path, 3)).permute(2, 0, 1)[None] for path in sorted(folder.iterdir())]
    return torch.cat([Colours()(picture)[0] for picture in pictures]).numpy()


@pytest.mark.parametrize("batch_size", [1, 5])
def test_all_metrics_of_two_folders(networks: FeatureNetworks, batch_size: int) -> None:
    made, real = folders()
    found = measure(folder_set(made, real, pairs=True), PLAIN, networks, batch_size)
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
    assert found.per_image["l1"] == pytest.approx([error.mean() for error in errors])
    assert scores["l1"] == pytest.approx(np.mean([error.mean() for error in errors]))
    assert found.per_image["psnr"] == pytest.approx([10 * np.log10(255**2 / (e**2).mean()) for e in errors])
    assert found.per_image["lpips"] == pytest.approx([error.mean() / 127.5 for error in errors], rel=1e-5)
    order = np.argsort(found.per_image["l1"])
    assert [row.name for row in found.best] == [found.names[i] for i in order[:10]]
    assert [row.name for row in found.worst] == [found.names[i] for i in order[::-1][:10]]


def test_a_folder_against_itself(networks: FeatureNetworks) -> None:
    real = folders()[1]
    scores = measure(folder_set(real, real, pairs=True), PLAIN, networks).scores
    assert scores["fid"] == pytest.approx(0, abs=1e-12)
    assert (scores["precision"], scores["recall"], scores["l1"], scores["lpips"]) == (1, 1, 0, 0)
    assert scores["ssim"] == pytest.approx(1, abs=1e-9)
    assert scores["psnr"] == 100  # not infinite


def test_more_noise_is_never_better(networks: FeatureNetworks) -> None:
    found = []
    for noise in (0, 10, 40, 160):
        found.append(measure(folder_set(*folders(noise=noise), pairs=True), "fid,ssim", networks).scores)
    assert [scores["fid"] for scores in found] == sorted(scores["fid"] for scores in found)
    assert [scores["ssim"] for scores in found] == sorted((scores["ssim"] for scores in found), reverse=True)


def test_no_more_features_are_kept_than_said(networks: FeatureNetworks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "KEPT", 7)
    sizes = []

    def distance(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        sizes.append((len(a), len(b)))
        return 0, 0

    monkeypatch.setattr(metrics_module, "kernel_distance", distance)
    measure(folder_set(*folders()), "kid", networks)
    assert sizes == [(7, 7)]


def test_ssim_and_psnr_are_their_definitions() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 3, 30, 40)), random.random((2, 3, 30, 40))
    b[0] = 0.9 * a[0] + 0.1 * b[0]
    found = [
        {metric.name: value_of(metric, *(np.moveaxis(x, 0, 2) for x in pair)) for metric in (SSIM(), PSNR())}
        for pair in zip(a, b, strict=True)
    ]

    def blur(image: np.ndarray) -> np.ndarray:
        weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
        for axis in (0, 1):
            image = scipy.ndimage.correlate1d(image, weights / weights.sum(), axis)
        return image[5:-5, 5:-5]  # where the window lies within the image

    for i in range(2):
        maps = []
        for x, y in zip(a[i], b[i], strict=True):
            mx, my = blur(x), blur(y)
            vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
            maps.append((2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
        assert found[i]["ssim"] == pytest.approx(np.mean(maps), rel=1e-6)
        assert found[i]["psnr"] == pytest.approx(10 * np.log10(1 / ((a[i] - b[i]) ** 2).mean()), rel=1e-9)


def test_ssim_and_psnr_are_those_of_scikit_image() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((30, 40, 3)), random.random((30, 40, 3))
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
    assert value_of(SSIM(), a, b) == pytest.approx(skimage.metrics.structural_similarity(a, b, **options), rel=1e-6)
    assert value_of(PSNR(), a, b) == pytest.approx(
        skimage.metrics.peak_signal_noise_ratio(a, b, data_range=1), rel=1e-6
    )


def test_the_report(networks: FeatureNetworks) -> None:
    made, real = folders()
    image_set = folder_set(made, real, pairs=True)
    found = measure(image_set, PLAIN, networks)
    write_report(found, image_set, networks, image_set.output)
    written = Path("made-evaluation")
    assert image_set.output.resolve() == written.resolve()
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
    before = measure(image_set, "fid", networks).names
    assert before == []  # sets alone have no sheet


def test_equal_images_make_a_valid_summary(networks: FeatureNetworks) -> None:
    real = folders()[1]
    image_set = folder_set(real, real, pairs=True)
    write_report(measure(image_set, "psnr", networks), image_set, networks, Path("report"))
    assert json.loads(Path("report/summary.json").read_text(), parse_constant=pytest.fail)["scores"] == {"psnr": 100}
    assert Path("report/pictures.csv").read_text().splitlines()[1] == "00.bmp,inf"


def test_files_that_can_not_be_decoded_are_left_out_and_told(
    networks: FeatureNetworks, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = folders(6)
    without = measure(folder_set(made, real, pairs=True), "l1,fid", networks)
    write(made / "bad.png", drawn_pair(0, 32, 32)[0])
    (made / "bad.png").write_bytes((made / "bad.png").read_bytes()[:200])
    write(real / "bad.png", drawn_pair(0, 32, 32)[0])
    (made / "movie.gif").write_bytes(b"GIF89a")
    image_set = folder_set(made, real, pairs=True)
    found = measure(image_set, "l1,fid", networks)
    assert found.names == without.names
    assert found.scores["l1"] == without.scores["l1"]
    assert (found.count, found.real_count) == (6, 7)
    assert capsys.readouterr().err.count("skipped     made/bad.png: ") == 1
    write_report(found, image_set, networks, Path("report"))
    assert "| files left out | 1 that can't be decoded, 1 of other kinds |" in Path("report/table.md").read_text()
    (message,) = json.loads(Path("report/summary.json").read_text())["skipped"]
    assert message.startswith("made/bad.png: ")
    for path in made.glob("0*"):
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="made: none of its images can be decoded"):
        measure(folder_set(made, real), "fid", networks)


def test_what_is_known_is_said_before_anything_is_looked_at(networks: FeatureNetworks) -> None:
    made, real = folders(3)
    image_set = folder_set(made, real, pairs=True)
    image_set.images = pytest.fail
    with pytest.raises(ValueError, match="pr: needs 4 images in each set, and there are 3"):
        measure(image_set, "pr", networks)
    write(made / "01.bmp", drawn_pair(0, 32, 32)[0])
    with pytest.raises(ValueError, match="made: several files for 01: keep one of each"):
        folder_set(made, real, pairs=True)
    assert folder_set(made, real).count == 4  # as a set they may


def test_an_equal_image_does_not_make_a_mean_infinite(networks: FeatureNetworks) -> None:
    made, real = folders(4)
    others = measure(folder_set(made, real, pairs=True), "psnr", networks).per_image["psnr"]
    write(made / "02.png", read_image(real / "02.bmp", 3))
    found = measure(folder_set(made, real, pairs=True), "psnr", networks)
    assert found.per_image["psnr"][2] == np.inf
    assert found.scores["psnr"] == pytest.approx(np.mean([*others[:2], 100, others[3]]))
    assert found.best[0].name == "02.png"


def test_a_report_is_of_one_measurement(networks: FeatureNetworks) -> None:
    made, real = folders(4)
    for metrics in ("l1", "fid"):
        image_set = folder_set(made, real, pairs=True)
        write_report(measure(image_set, metrics, networks), image_set, networks, Path("report"))
    assert {path.name for path in Path("report").iterdir()} == {"summary.json", "table.md"}


def test_a_report_lies_beside_what_is_judged(networks: FeatureNetworks) -> None:
    made, real = folders(4)
    image_set = folder_set(made, real, pairs=True)
    image_set.images = pytest.fail
    for folder in (made, made / "sub", real / "sub"):
        with pytest.raises(ValueError, match=f"--output {folder}: lies in .*, whose images are measured"):
            report(image_set, choose_metrics("l1"), networks, folder)
    Path("file").write_text("")
    with pytest.raises(ValueError, match=r"--output file: can't be written \(File exists\)"):
        report(image_set, choose_metrics("l1"), networks, Path("file"))


def test_names_of_files_may_be_any_bytes(networks: FeatureNetworks, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = folders(2)
    for folder, suffix in ((made, "png"), (real, "bmp")):
        (folder / f"00.{suffix}").rename(folder / os.fsdecode(b"caf\xe9|." + suffix.encode()))
    report(folder_set(made, real, pairs=True), choose_metrics("l1"), networks, Path("report"))
    assert "\ncaf\\udce9|.png," in Path("report/pictures.csv").read_text(encoding="utf-8")
    assert "report      report" in capsys.readouterr().out


def test_grids_are_none_of_the_images() -> None:
    made, real = folders(3)
    write(made / "grids" / "sheet.png", drawn_pair(0)[0])
    assert folder_set(made, real).count == 3
    assert is_image_folder("made")
    assert not is_image_folder("nothing")


def test_what_is_wrong_is_named(networks: FeatureNetworks) -> None:
    made, real = folders(3)
    for metrics, message in {
        "l1,fdi": "metrics l1,fdi: fdi is none; there are l1,psnr,ssim,lpips,fid,kid,is,pr,",
        ",": "metrics ,: nothing is none",
    }.items():
        with pytest.raises(ValueError, match=message):
            choose_metrics(metrics)
    assert [metric.name for metric in choose_metrics("FID, kid,fid")] == ["fid", "kid"]
    with pytest.raises(ValueError, match="fid: compares with real images, and there are none; name a folder of them"):
        measure(folder_set(made, None), "fid", networks)
    with pytest.raises(ValueError, match="pr: needs 4 images"):
        measure(folder_set(made, real), "pr", networks)
    with pytest.raises(ValueError, match="--reference nowhere: no such folder"):
        folder_set(made, Path("nowhere"))
    (real / "01.bmp").unlink()
    with pytest.raises(ValueError, match=r"l1: no target of the name of 01\.png; leave l1 out"):
        measure(folder_set(made, real, pairs=True), "l1", networks)
    write(real / "01.bmp", drawn_pair(0, 8, 8)[0])
    with pytest.raises(ValueError, match=r"made/01.png is 32x32, and real/01.bmp 8x8: a pair needs one size"):
        measure(folder_set(made, real, pairs=True), "l1", networks)
    write(made / "01.png", drawn_pair(0, 8, 8)[0])
    with pytest.raises(ValueError, match=r"ssim: needs images of 11 pixels a side, and 01.png is 8x8"):
        measure(folder_set(made, real, pairs=True), "ssim", networks)
    with pytest.raises(ValueError, match=r"lpips: needs images of 31 pixels a side, and 01.png is 8x8"):
        measure(folder_set(made, real, pairs=True), "lpips", networks)
    with pytest.raises(ValueError, match="features vgg16: the Inception Score needs Inception's classes"):
        load_networks(choose_metrics("is"), features="vgg16")
    with pytest.raises(ValueError, match="weights x: none of the metrics l1 needs them"):
        load_networks(choose_metrics("l1"), weights="x")
    with pytest.raises(ValueError, match="batch size 0: must be at least 1"):
        measure(folder_set(made, real), "fid", networks, 0)
