"""Files of weights that are damaged, or have other values than finite numbers, are refused in one line."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from img2img.interop import import_official
from img2img.weights import read_weights
from tests.interop.official import Chain, Nested, chain, randomised, refuses, saved

RESNET = randomised(Chain(chain(3, 3, 4, 2, 2, "batch", bias=False))).state_dict()
UNET = randomised(Nested(3, 3, 5, 2, "batch", dropout=False)).state_dict()


def of_floats(change: Any) -> dict[str, torch.Tensor]:
    return {key: change(value) if value.is_floating_point() else value for key, value in RESNET.items()}


def without(weights: dict[str, torch.Tensor], *keys: str) -> dict[str, torch.Tensor]:
    return {key: value for key, value in weights.items() if key not in keys}


def changed(key: str, place: int, number: float) -> dict[str, torch.Tensor]:
    value = RESNET[key].clone()
    value.flatten()[place] = number
    return {**RESNET, key: value}


REFUSED: dict[str, tuple[Any, str]] = {
    "nan": (changed("model.4.weight", 7, float("nan")), "model.4.weight has NaN"),
    "inf": (changed("model.5.bias", 1, float("inf")), "model.5.bias has NaN"),
    "overflow": ({**RESNET, "model.5.bias": torch.full((8,), 1e300, dtype=torch.float64)}, "model.5.bias has NaN"),
    "variance": (changed("model.2.running_var", 0, -1e-3), "model.2.running_var has values below 0"),
    "int8": (of_floats(lambda x: x.to(torch.int8)), "model.1.weight is int8"),
    "complex": (of_floats(lambda x: x.to(torch.complex64)), "model.1.weight is complex64"),
    "bool": (of_floats(lambda x: x > 0), "model.1.weight is bool"),
    "sparse": ({**RESNET, "model.2.weight": RESNET["model.2.weight"].to_sparse()}, "model.2.weight is a sparse_coo"),
    "meta": ({key: value.to("meta") for key, value in RESNET.items()}, "model.1.weight is a meta tensor"),
    "count": ({**RESNET, "model.2.num_batches_tracked": torch.tensor(float("nan"))}, "model.2.num_batches_tracked "),
    "number": ({1: torch.ones(2)}, "key 1 "),
    "wrapped": ({"state_dict": RESNET}, "'state_dict' is an OrderedDict"),
    "no halving": (without(RESNET, "model.4.weight"), "model.4.weight"),
    "no beginning": (without(RESNET, "model.1.weight"), "model.1.weight"),
    "no block": ({k: v for k, v in RESNET.items() if "model.10." not in k}, r"model.10.conv_block.1.weight"),
    "no level": (without(UNET, "model.model.1.model.1.weight"), "model.model.1.model.1.weight"),
    "no levels": ({k: v for k, v in UNET.items() if ".model.1." not in k}, "model.model.1.model.1.weight"),
    "a far block": ({**RESNET, "model.999999999.conv_block.1.weight": RESNET["model.4.weight"]}, "model.12"),
    "zero padding": (
        {key.replace("conv_block.5", "conv_block.3").replace("conv_block.1", "conv_block.0"): value
         for key, value in RESNET.items()},
        "model.10.conv_block.0.weight: .*zero",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize("case", REFUSED)
def test_read_weights_refuses_with_a_reason(case: str, tmp_path: Path) -> None:
    refuses(*REFUSED[case], tmp_path / "net.pth")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_read_weights_converts_floats_to_fp32(kind: torch.dtype, tmp_path: Path) -> None:
    torch.save({key: value.to(kind) for key, value in RESNET.items()}, tmp_path / "net.pth")  # the counts, too
    network, _ = import_official(tmp_path / "net.pth")
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.int64}


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "_orig_mod.", "module._orig_mod."])
def test_read_weights_removes_prefixes_of_wrappers(prefix: str, tmp_path: Path) -> None:
    torch.save({prefix + key: value for key, value in RESNET.items()}, tmp_path / "net.pth")
    assert read_weights(tmp_path / "net.pth").keys() == RESNET.keys()


def test_read_weights_finds_a_flipped_byte(tmp_path: Path) -> None:
    """torch.load doesn't notice: it ignores checksums."""
    path = tmp_path / "net.pth"
    torch.save(RESNET, path)
    whole = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    begin = whole.index(RESNET["model.10.conv_block.1.weight"].numpy().tobytes())
    assert largest.file_size > 16
    path.write_bytes(whole[: begin + 5] + bytes([whole[begin + 5] ^ 1]) + whole[begin + 6 :])
    torch.load(path, weights_only=True)
    with pytest.raises(ValueError, match=r"net\.pth: damaged"):
        import_official(path)
    for cut in (10, len(whole) // 2, len(whole) - 10):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"net\.pth: damaged"):
            import_official(path)


def test_read_weights_refuses_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r": is a folder; .*latest_net_G\.pth"):
        import_official(tmp_path)
    saved(Chain([]), tmp_path / "100_net_G_A.pth")
    with pytest.raises(ValueError, match=r": is a folder; .*100_net_G_A\.pth"):
        import_official(tmp_path)
