"""Official weights, imported and exported: the same outputs as the official networks, rebuilt independently."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from img2img.interop import import_official
from img2img.interop.architecture import recognise
from img2img.interop.layouts import NETWORKS
from img2img.interop.official import to_official, to_ours
from img2img.networks.unet import UNet
from tests.interop.official import (
    Chain,
    Level,
    Local,
    Nested,
    Pixels,
    Scales,
    chain,
    patches,
    randomised,
    refuses,
    saved,
)

NORMS = ("batch", "instance", "none")
JUNYANZ = [
    *((f"unet-{n}", lambda n=n: Nested(3, 1, 6, 2, n, dropout=True), (3, 64, 128)) for n in NORMS),
    ("unet-5", lambda: Nested(1, 3, 5, 3, "batch", dropout=False), (1, 32, 32)),
    ("unet-256", lambda: Nested(3, 3, 8, 1, "batch", dropout=True), (3, 256, 256)),
    *(
        (f"resnet-{n}-{d}", lambda n=n, d=d: Chain(chain(3, 1, 3, 2, 2, n, d, bias=n == "instance")), (3, 20, 24))
        for n in NORMS
        for d in (False, True)
    ),
    ("resnet-9", lambda: Chain(chain(4, 3, 2, 2, 9, "instance")), (4, 32, 32)),
    *((f"patches-{n}-{k}", lambda n=n, k=k: _patchgan(6, 3, k, n), (6, 128, 128)) for n in NORMS for k in (1, 3, 5)),
    *((f"pixels-{n}", lambda n=n: Pixels(6, 4, n), (6, 8, 8)) for n in NORMS),
    ("pixels-batch-biased", lambda: Pixels(6, 4, "batch", bias=True), (6, 8, 8)),
]
HD = [
    *((f"global-{n}", lambda n=n: Chain(chain(7, 3, 2, 3, 2, n)), (7, 16, 32)) for n in NORMS[:2]),
    ("global-twice-batch", lambda: Chain(chain(7, 3, 2, 2, 2, "batch")), (7, 16, 32)),
    *((f"local-{n}-{k}", lambda n=n, k=k: Local(7, 3, 2, 2, 2, k, n), (7, 32, 64)) for n in NORMS[:2] for k in (1, 2)),
    ("encoder", lambda: Chain(chain(3, 2, 2, 4, 0, "instance")), (3, 32, 64)),
    *(
        (f"scales-{n}-{k}-{f}", lambda n=n, k=k, f=f: Scales(5, 3, 2, k, n, f), (5, 32, 48))
        for n in NORMS[:2]
        for k in (2, 3)
        for f in (True, False)
    ),
]


def _patchgan(c_in: int, ndf: int, n_layers: int, norm: str) -> nn.Module:
    return Chain([layer for stage in patches(c_in, ndf, n_layers, norm, norm == "instance") for layer in stage])


def flat(output: Any) -> list[Tensor]:
    return [output] if isinstance(output, Tensor) else [tensor for part in output for tensor in flat(part)]


def outputs(network: nn.Module, shape: tuple[int, ...], last: bool = False) -> list[Tensor]:
    torch.manual_seed(1)
    x = torch.rand(2, *shape) * 2 - 1
    with torch.no_grad():
        output = network.network(x) if hasattr(network, "network") else network(x)
    return [scale[-1] for scale in output] if last else flat(output)


@pytest.mark.parametrize(("make", "shape"), [case[1:] for case in JUNYANZ + HD], ids=[c[0] for c in JUNYANZ + HD])
def test_import_official_gives_the_official_outputs_and_to_official_loads_strictly(
    make: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path
) -> None:
    official = randomised(make())
    network, spec = import_official(saved(official, tmp_path / "net.pth"))
    expected = outputs(official, shape)
    got = outputs(network, shape, last=spec.chain)
    assert len(expected) == len(got)
    assert min(tensor.std() for tensor in expected) > 1e-3
    for one, other in zip(expected, got, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)

    again = make().eval()
    again.load_state_dict(to_official(network.state_dict(), spec), strict=True)
    for one, other in zip(expected, outputs(again, shape), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=1e-5)


def test_import_official_with_many_instance_norms_adds_no_rounding(tmp_path: Path) -> None:
    """At pix2pixHD's own depth, with weights as they begin: as a group norm it would be off by 1e-5."""
    official = Chain(chain(36, 3, 16, 4, 9, "instance")).eval()
    torch.manual_seed(3)
    for weight in official.parameters():
        torch.nn.init.normal_(weight, 0, 0.02)
    network, _ = import_official(saved(official, tmp_path / "net.pth"))
    (expected,), (got,) = outputs(official, (36, 64, 128)), outputs(network, (36, 64, 128))
    assert (expected - got).abs().max() < 1e-6


def test_import_official_puts_dropout_where_the_official_u_net_has_it(tmp_path: Path) -> None:
    official = randomised(Nested(3, 3, 8, 1, "batch", dropout=True))
    network, spec = import_official(saved(official, tmp_path / "net.pth"))
    assert isinstance(network, UNet)
    assert spec.options["num_downs"] == 8
    # The official levels from the outside in; of ours the decoder from the inside out, without the outermost
    levels = [m for m in official.modules() if isinstance(m, Level)][1:]
    official_dropout = [any(isinstance(layer, nn.Dropout) for layer in level.model) for level in levels]
    own_dropout = [isinstance(level[2], nn.Dropout) for level in network.decoder]  # type: ignore[index]
    assert sum(own_dropout) == 3
    assert official_dropout[::-1] == own_dropout


def test_import_official_reads_files_of_old_versions(tmp_path: Path) -> None:
    """``module.`` before every key, statistics of instance norm, no counts of batches, half precision."""
    official = randomised(Chain(chain(3, 3, 4, 2, 2, "instance", dropout=True)))
    old = {f"module.{key}": value for key, value in official.state_dict().items()}
    old |= {"module.model.2.running_mean": torch.ones(4), "module.model.2.running_var": torch.ones(4)}
    old |= {"module.model.10.conv_block.7.running_mean": torch.ones(16)}
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    network, spec = import_official(tmp_path / "old.pth")
    assert spec.options["dropout"]
    assert set(spec.dropped) == {key.removeprefix("module.") for key in old if "running" in key}
    torch.testing.assert_close(outputs(network, (3, 16, 16)), outputs(official, (3, 16, 16)), rtol=1e-5, atol=1e-5)

    official = randomised(_patchgan(6, 2, 2, "batch"))
    torch.save({k: v for k, v in official.state_dict().items() if "tracked" not in k}, tmp_path / "old.pth")
    network, _ = import_official(tmp_path / "old.pth")
    torch.testing.assert_close(outputs(network, (6, 32, 32)), outputs(official, (6, 32, 32)), rtol=1e-5, atol=1e-5)

    saved(randomised(Pixels(3, 2, "none")).half(), tmp_path / "half.pth")
    network, _ = import_official(tmp_path / "half.pth")
    assert {p.dtype for p in network.parameters()} == {torch.float32}


class Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("harm",))


RESNET = Chain(chain(3, 3, 4, 2, 2, "batch", bias=False)).state_dict()
REFUSED = {
    "code": ({"model.0.weight": Harmful()}, "state_dict"),
    "module": (nn.Conv2d(3, 3, 1), "state_dict"),
    "list": ([torch.ones(2)], "state_dict"),
    "empty": ({}, "state_dict"),
    "wrapped": ({"state_dict": {"model.0.weight": torch.ones(2)}, "epoch": 3}, "'state_dict'"),
    "unknown": ({"conv1.weight": torch.ones(2), "fc.bias": torch.ones(2)}, "conv1.weight"),
    "flat": ({"model.1.weight": torch.ones(2)}, "model.1.weight"),
    "more": ({**RESNET, "model.99.weight": torch.ones(2)}, "model.99.weight"),
    "less": ({k: v for k, v in RESNET.items() if k != "model.11.conv_block.5.weight"}, "model.11.conv_block.5.weight"),
    "no statistics": (
        {k: v for k, v in RESNET.items() if k != "model.5.running_var"},
        "model.5.running_var",
    ),
    "no head": ({k: v for k, v in RESNET.items() if k != "model.19.weight"}, "model.19.weight"),
    "shape": ({**RESNET, "model.5.weight": torch.ones(3)}, r"model.5.weight .*\(3,\).*\(8,\)"),
    "bias": ({**RESNET, "model.4.bias": torch.ones(8)}, "model.4.bias"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_import_official_refuses_files_that_do_not_fit_completely(case: str, tmp_path: Path) -> None:
    refuses(*REFUSED[case], tmp_path / "net.pth")
    assert not Path("harm").exists()


# Large ones; without its one inner bias a PatchGAN of one layer is that of norm "none", and without its last one that
# of single pixels is another old one
ELSEWHERE = ("unet-256", "resnet-9", "patches-instance-1", "pixels-batch-biased")


@pytest.mark.parametrize("make", [case[1] for case in JUNYANZ + HD if case[0] not in ELSEWHERE])
def test_to_ours_refuses_missing_and_misshapen_keys(make: Callable[[], nn.Module]) -> None:
    whole = make().state_dict()
    for key in [*whole][:: max(1, len(whole) // 12)]:  # all of them take a minute
        if key.endswith("num_batches_tracked"):
            continue
        for changed in ({k: v for k, v in whole.items() if k != key}, {**whole, key: torch.ones(())}):
            with pytest.raises(ValueError, match=r"\w") as raised:
                translated(changed)
            assert "\n" not in str(raised.value)


def translated(weights: dict[str, Tensor]) -> None:
    spec = recognise(weights)
    with torch.device("meta"):
        network = NETWORKS[spec.kind](**spec.options)
    to_ours(weights, spec, network)


def test_import_official_refuses_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"none\.pth: "):
        import_official(tmp_path / "none.pth")
    whole = saved(Pixels(3, 2, "none"), tmp_path / "cut.pth").read_bytes()
    for content in (b"", b"hello", whole[: len(whole) // 2]):
        (tmp_path / "cut.pth").write_bytes(content)
        with pytest.raises(ValueError, match=r"cut\.pth: ") as raised:
            import_official(tmp_path / "cut.pth")
        assert "\n" not in str(raised.value)
