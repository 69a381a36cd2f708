"""Evaluation of folders with a small feature network, reports, and pixel metrics against scipy and scikit-image."""

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
from img2img.evaluation.evaluate import NoImages
from img2img.evaluation.folder_sets import folder_set
from img2img.evaluation.metrics import PSNR, SSIM, choose_metrics, load_networks
from img2img.evaluation.report import report, write_report
from img2img.runs import is_image_folder
from tests.conftest import drawn_pair, write
from tests.evaluation.helpers import folders, measure
from tests.helpers import Colours

METRICS = "l1,psnr,ssim,lpips,fid,kid,is,pr"


class L1Distance(nn.Module):
    """A stand-in for LPIPS: two (B, 3, H, W) in [-1, 1] -> (B, 1, 1, 1)."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        assert a.min() >= -1
        assert a.shape[1] == 3
        return (a - b).abs().mean((1, 2, 3), keepdim=True)


@pytest.fixture
def networks() -> FeatureNetworks:
    return FeatureNetworks(Colours(), L1Distance(), title="colours")


def value_of(metric: Metric, image: np.ndarray, target: np.ndarray) -> float:
    """The value of one image (H, W, C) and its target."""
    networks = FeatureNetworks()
    metric.begin(ImageSet("one", 1, lambda: iter(())), networks)
    metric.update(ImageBatch([ImageRecord("0", image, target)], networks))
    return metric.values[0]


def features_of(folder: Path) -> np.ndarray:
    images = [torch.from_numpy(read_image(path, 3)).permute(2, 0, 1)[None] for path in sorted(folder.iterdir())]
    return torch.cat([Colours()(image)[0] for image in images]).numpy()


@pytest.mark.parametrize("batch_size", [1, 5])
def test_evaluate_set_metrics(networks: FeatureNetworks, batch_size: int) -> None:
    made, real = folders()
    scores = measure(folder_set(made, real, pairs=True), METRICS, networks, batch_size)
    a, b = features_of(made), features_of(real)
    moments = Gaussian(), Gaussian()
    for gaussian, points in zip(moments, (a, b), strict=True):
        gaussian.add(points)
    assert scores.scores["fid"] == pytest.approx(frechet_distance(*moments), rel=1e-9)
    assert scores.scores["kid"] == pytest.approx(kernel_distance(a, b)[0], rel=1e-9)
    assert "kid" not in scores.deviations  # there is a single subset
    assert (scores.scores["precision"], scores.scores["recall"]) == precision_recall(a, b)
    assert 1 < scores.scores["is"] < 3


@pytest.mark.parametrize("batch_size", [1, 5])
def test_evaluate_pair_metrics(networks: FeatureNetworks, batch_size: int) -> None:
    made, real = folders()
    scores = measure(folder_set(made, real, pairs=True), METRICS, networks, batch_size)
    errors = [
        np.abs(read_image(made / f"{i:02d}.png", 3) - 1.0 * read_image(real / f"{i:02d}.bmp", 3)) for i in range(24)
    ]
    assert scores.per_image["l1"] == pytest.approx([error.mean() for error in errors])
    assert scores.scores["l1"] == pytest.approx(np.mean([error.mean() for error in errors]))
    assert scores.per_image["psnr"] == pytest.approx([10 * np.log10(255**2 / (e**2).mean()) for e in errors])
    assert scores.per_image["lpips"] == pytest.approx([error.mean() / 127.5 for error in errors], rel=1e-5)


def test_evaluate_ranks_images_by_the_first_metric(networks: FeatureNetworks) -> None:
    scores = measure(folder_set(*folders(), pairs=True), "l1,psnr", networks, 5)
    order = np.argsort(scores.per_image["l1"])
    assert [row.name for row in scores.best] == [scores.names[i] for i in order[:10]]
    assert [row.name for row in scores.worst] == [scores.names[i] for i in order[::-1][:10]]


def test_evaluate_a_folder_against_itself(networks: FeatureNetworks) -> None:
    real = folders()[1]
    scores = measure(folder_set(real, real, pairs=True), METRICS, networks).scores
    assert scores["fid"] == pytest.approx(0, abs=1e-12)
    assert (scores["precision"], scores["recall"], scores["l1"], scores["lpips"]) == (1, 1, 0, 0)
    assert scores["ssim"] == pytest.approx(1, abs=1e-9)
    assert scores["psnr"] == 100  # not infinite


def test_fid_and_ssim_get_worse_with_noise(networks: FeatureNetworks) -> None:
    results = []
    for noise in (0, 10, 40, 160):
        results.append(measure(folder_set(*folders(noise=noise), pairs=True), "fid,ssim", networks).scores)
    assert [scores["fid"] for scores in results] == sorted(scores["fid"] for scores in results)
    assert [scores["ssim"] for scores in results] == sorted((scores["ssim"] for scores in results), reverse=True)


def test_kid_keeps_a_limited_number_of_features(networks: FeatureNetworks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "KEPT", 7)
    sizes = []

    def distance(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
        sizes.append((len(a), len(b)))
        return 0, 0

    monkeypatch.setattr(metrics_module, "kernel_distance", distance)
    measure(folder_set(*folders()), "kid", networks)
    assert sizes == [(7, 7)]


def test_ssim_and_psnr_equal_definitions() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((2, 3, 30, 40)), random.random((2, 3, 30, 40))
    b[0] = 0.9 * a[0] + 0.1 * b[0]
    values = [
        {metric.name: value_of(metric, *(np.moveaxis(x, 0, 2) for x in pair)) for metric in (SSIM(), PSNR())}
        for pair in zip(a, b, strict=True)
    ]

    def blur(image: np.ndarray) -> np.ndarray:
        weights = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
        for axis in (0, 1):
            image = scipy.ndimage.correlate1d(image, weights / weights.sum(), axis)
        return image[5:-5, 5:-5]  # positions with the whole window in the image

    for i in range(2):
        maps = []
        for x, y in zip(a[i], b[i], strict=True):
            mx, my = blur(x), blur(y)
            vx, vy, vxy = blur(x * x) - mx**2, blur(y * y) - my**2, blur(x * y) - mx * my
            maps.append((2 * mx * my + 1e-4) * (2 * vxy + 9e-4) / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
        assert values[i]["ssim"] == pytest.approx(np.mean(maps), rel=1e-6)
        assert values[i]["psnr"] == pytest.approx(10 * np.log10(1 / ((a[i] - b[i]) ** 2).mean()), rel=1e-9)


def test_ssim_and_psnr_equal_scikit_image() -> None:
    random = np.random.default_rng(0)
    a, b = random.random((30, 40, 3)), random.random((30, 40, 3))
    options = {"gaussian_weights": True, "use_sample_covariance": False, "data_range": 1, "channel_axis": 2}
    assert value_of(SSIM(), a, b) == pytest.approx(skimage.metrics.structural_similarity(a, b, **options), rel=1e-6)
    assert value_of(PSNR(), a, b) == pytest.approx(
        skimage.metrics.peak_signal_noise_ratio(a, b, data_range=1), rel=1e-6
    )


def test_write_report_writes_all_files(networks: FeatureNetworks) -> None:
    made, real = folders()
    image_set = folder_set(made, real, pairs=True)
    scores = measure(image_set, METRICS, networks)
    write_report(scores, image_set, networks, image_set.output)
    folder = Path("made-evaluation")
    assert image_set.output.resolve() == folder.resolve()
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["scores"] == pytest.approx(scores.scores)
    assert (summary["count"], summary["reference_count"], summary["features"]) == (24, 24, "colours")
    assert summary["kid_subset"] == 24
    rows = (folder / "pictures.csv").read_text().splitlines()
    assert rows[0] == "name,l1,psnr,ssim,lpips"
    assert len(rows) == 25
    assert rows[1].startswith("00.png,")
    table = (folder / "table.md").read_text()
    assert f"| FID | {scores.scores['fid']:.5g} |" in table
    assert "| Inception Score | " in table
    sheet = read_image(folder / "best_and_worst.png", 3)
    assert sheet.shape[0] > 10 * 32
    assert sheet.shape[1] > 4 * 32


def test_evaluate_set_metrics_have_no_values_of_images(networks: FeatureNetworks) -> None:
    assert measure(folder_set(*folders()), "fid", networks).names == []


def test_write_report_of_equal_images_is_valid_json(networks: FeatureNetworks) -> None:
    real = folders()[1]
    image_set = folder_set(real, real, pairs=True)
    write_report(measure(image_set, "psnr", networks), image_set, networks, Path("report"))
    assert json.loads(Path("report/summary.json").read_text(), parse_constant=pytest.fail)["scores"] == {"psnr": 100}
    assert Path("report/pictures.csv").read_text().splitlines()[1] == "00.bmp,inf"


def test_evaluate_skips_and_reports_files_that_can_not_be_decoded(
    networks: FeatureNetworks, capsys: pytest.CaptureFixture[str]
) -> None:
    made, real = folders(6)
    without = measure(folder_set(made, real, pairs=True), "l1,fid", networks)
    write(made / "bad.png", drawn_pair(0, 32, 32)[0])
    (made / "bad.png").write_bytes((made / "bad.png").read_bytes()[:200])
    write(real / "bad.png", drawn_pair(0, 32, 32)[0])
    (made / "movie.gif").write_bytes(b"GIF89a")
    image_set = folder_set(made, real, pairs=True)
    scores = measure(image_set, "l1,fid", networks)
    assert scores.names == without.names
    assert scores.scores["l1"] == without.scores["l1"]
    assert (scores.count, scores.real_count) == (6, 7)
    assert capsys.readouterr().err.count("made/bad.png: ") == 1
    write_report(scores, image_set, networks, Path("report"))
    (row,) = (line for line in Path("report/table.md").read_text().splitlines() if "files" in line)
    assert row.count("1 ") == 2  # one that can't be decoded, one of another kind
    (message,) = json.loads(Path("report/summary.json").read_text())["skipped"]
    assert message.startswith("made/bad.png: ")


def test_evaluate_needs_an_image_that_can_be_decoded(networks: FeatureNetworks) -> None:
    made, real = folders(6)
    for path in made.iterdir():
        path.write_bytes(b"")
    with pytest.raises(NoImages, match=r"^made: "):
        measure(folder_set(made, real), "fid", networks)


def test_evaluate_counts_images_before_reading_them(networks: FeatureNetworks) -> None:
    image_set = folder_set(*folders(3))
    image_set.images = pytest.fail
    with pytest.raises(ValueError, match=r"^pr: .*\b4\b.*\b3\b"):
        measure(image_set, "pr", networks)


def test_folder_set_refuses_two_images_of_one_name_as_pairs() -> None:
    made, real = folders(3)
    write(made / "01.bmp", drawn_pair(0, 32, 32)[0])
    with pytest.raises(ValueError, match=r"^made: .*\b01\b"):
        folder_set(made, real, pairs=True)
    assert folder_set(made, real).count == 4


def test_psnr_limits_equal_images_in_the_mean(networks: FeatureNetworks) -> None:
    made, real = folders(4)
    others = measure(folder_set(made, real, pairs=True), "psnr", networks).per_image["psnr"]
    write(made / "02.png", read_image(real / "02.bmp", 3))
    scores = measure(folder_set(made, real, pairs=True), "psnr", networks)
    assert scores.per_image["psnr"][2] == np.inf
    assert scores.scores["psnr"] == pytest.approx(np.mean([*others[:2], 100, others[3]]))
    assert scores.best[0].name == "02.png"


def test_write_report_removes_files_of_an_older_report(networks: FeatureNetworks) -> None:
    made, real = folders(4)
    for metrics in ("l1", "fid"):
        image_set = folder_set(made, real, pairs=True)
        write_report(measure(image_set, metrics, networks), image_set, networks, Path("report"))
    assert {path.name for path in Path("report").iterdir()} == {"summary.json", "table.md"}


def test_report_folder_must_be_outside_the_images(networks: FeatureNetworks) -> None:
    made, real = folders(4)
    image_set = folder_set(made, real, pairs=True)
    image_set.images = pytest.fail
    for folder in (made, made / "sub", real / "sub"):
        with pytest.raises(ValueError, match=f"--output {folder}: .*\\b{folder.parts[0]}\\b"):
            report(image_set, choose_metrics("l1"), networks, folder)


def test_report_folder_must_be_writable(networks: FeatureNetworks) -> None:
    Path("file").write_text("")
    image_set = folder_set(*folders(4), pairs=True)
    image_set.images = pytest.fail
    with pytest.raises(ValueError, match=r"--output file: .*\(File exists\)"):
        report(image_set, choose_metrics("l1"), networks, Path("file"))


def test_report_of_file_names_that_are_not_utf8(networks: FeatureNetworks, capsys: pytest.CaptureFixture[str]) -> None:
    made, real = folders(2)
    for folder, suffix in ((made, "png"), (real, "bmp")):
        (folder / f"00.{suffix}").rename(folder / os.fsdecode(b"caf\xe9|." + suffix.encode()))
    report(folder_set(made, real, pairs=True), choose_metrics("l1"), networks, Path("report"))
    assert "\ncaf\\udce9|.png," in Path("report/pictures.csv").read_text(encoding="utf-8")
    assert capsys.readouterr().out.splitlines()[-1].split() == ["report", "report"]


def test_folder_set_ignores_grids() -> None:
    made, real = folders(3)
    write(made / "grids" / "sheet.png", drawn_pair(0)[0])
    assert folder_set(made, real).count == 3
    assert is_image_folder("made")
    assert not is_image_folder("nothing")


@pytest.mark.parametrize(("names", "key"), [("l1,fdi", r"\bfdi\b.* l1,psnr,ssim,"), (",", " l1,psnr")])
def test_choose_metrics_refuses_unknown_names(names: str, key: str) -> None:
    with pytest.raises(ValueError, match=f"^metrics {names}: .*{key}"):
        choose_metrics(names)


def test_choose_metrics_ignores_case_spaces_and_repetition() -> None:
    assert [metric.name for metric in choose_metrics("FID, kid,fid")] == ["fid", "kid"]


def test_evaluate_needs_real_images(networks: FeatureNetworks) -> None:
    with pytest.raises(ValueError, match=r"^fid: .*--reference"):
        measure(folder_set(folders(3)[0], None), "fid", networks)


def test_evaluate_needs_targets(networks: FeatureNetworks) -> None:
    made, real = folders(3)
    (real / "01.bmp").unlink()
    with pytest.raises(ValueError, match=r"^l1: .*\b01\.png"):
        measure(folder_set(made, real, pairs=True), "l1", networks)


def test_folder_set_reference_must_exist() -> None:
    with pytest.raises(ValueError, match="--reference nowhere: no such folder"):
        folder_set(folders(3)[0], Path("nowhere"))


def test_folder_set_refuses_pairs_of_two_sizes() -> None:
    made, real = folders(3)
    write(real / "01.bmp", drawn_pair(0, 8, 8)[0])
    with pytest.raises(ValueError, match=r"^made/01\.png is 32x32, and real/01\.bmp 8x8"):
        folder_set(made, real, pairs=True)


@pytest.mark.parametrize(("metric", "side"), [("ssim", 11), ("lpips", 31)])
def test_evaluate_refuses_small_images(networks: FeatureNetworks, metric: str, side: int) -> None:
    made, real = folders(3)
    for path in (made / "01.png", real / "01.bmp"):
        write(path, drawn_pair(0, 8, 8)[0])
    with pytest.raises(ValueError, match=rf"^{metric}: .*\b{side}\b.*01\.png is 8x8"):
        measure(folder_set(made, real, pairs=True), metric, networks)


def test_evaluate_refuses_batch_size_zero(networks: FeatureNetworks) -> None:
    with pytest.raises(ValueError, match=r"^batch size 0: "):
        measure(folder_set(*folders(3)), "fid", networks, 0)


def test_load_networks_inception_score_needs_inception() -> None:
    with pytest.raises(ValueError, match=r"^features vgg16: "):
        load_networks(choose_metrics("is"), features="vgg16")


def test_load_networks_refuses_weights_without_use() -> None:
    with pytest.raises(ValueError, match=r"^weights x: .*\bl1\b"):
        load_networks(choose_metrics("l1"), weights="x")
