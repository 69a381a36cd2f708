"""Mixed precision: bf16 on the CPU for every model, fp16's loss scaling with a CPU scaler, and train.precision."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from img2img.command_line import parse_train_arguments
from img2img.config import Config, load_config
from img2img.data.loader import collate, to_device
from img2img.data.paired import PairedDataset
from img2img.training.process import resolve_precision
from img2img.training.step import GANStep
from img2img.training.trainer import Trainer, train
from tests.conftest import make_step
from tests.helpers import equal, logged, weights

Tiny = Callable[..., Config]
SLOW = ("tiny_cyclegan", "tiny_hd", "tiny_dcgan", "tiny_infogan", "tiny_stargan", "tiny_restoration")
MODELS = ["tiny", "tiny_srgan", *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]


@pytest.fixture(autouse=True)
def _own_precision() -> Iterator[None]:
    """Accelerate keeps the first precision of a process for all later Accelerators."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


@pytest.mark.parametrize("model", MODELS)
def test_bf16_trains_and_resumes_bit_for_bit(model: str, request: pytest.FixtureRequest) -> None:
    """With an EMA and two micro-batches a step; losses differ from fp32's, but only a little."""
    tiny: Tiny = request.getfixturevalue(model)
    options = {"max_steps": 3, "log_every": 1, "ema_decay": 0.9, "gradient_accumulation": 2, "precision": "bf16"}
    whole = train(tiny("whole", train=options))
    train(tiny("parts", train={**options, "max_steps": 2}))
    parts = train(tiny("parts", train=options), resume=True)
    assert equal(weights(whole), weights(parts))
    assert logged(whole)["3"] == logged(parts)["3"]
    AcceleratorState._reset_state()
    single = train(tiny("single", train={**options, "precision": "no"}))
    assert not equal(weights(whole), weights(single))
    for name, value in logged(single)["1"].items():
        if name.startswith("loss/") and value:  # a D step has no loss of G
            assert float(logged(whole)["1"][name]) == pytest.approx(float(value), rel=0.05, abs=0.02), name


def test_bf16_networks_compute_in_bf16(tiny: Tiny) -> None:
    seen = []
    trainer = Trainer(tiny(train={"precision": "bf16"}), Path("runs/tiny"))
    convolution = next(m for m in trainer.networks.bare["generator"].modules() if isinstance(m, torch.nn.Conv2d))
    convolution.register_forward_hook(lambda _module, _inputs, output: seen.append(output.dtype))
    with trainer.networks.inference():
        pass
    trainer.fit()
    assert torch.bfloat16 in seen
    assert all(p.dtype == torch.float32 for net in trainer.networks.bare.values() for p in net.parameters())


def scaled(config: Config, scaler: torch.amp.GradScaler | None) -> GANStep:
    """A step whose losses are scaled as in fp16, and whose arithmetic stays fp32."""
    accelerator = Accelerator()
    accelerator.scaler = scaler
    gan_step = make_step(config, accelerator)
    if scaler:  # else accelerate would not unscale the gradients before clipping
        accelerator.native_amp, accelerator.state._mixed_precision = True, "fp16"
    return gan_step


def steps(gan_step: GANStep, config: Config, count: int = 3) -> list[dict[str, torch.Tensor]]:
    pairs = PairedDataset(config.data, "train")
    batch = to_device(collate([pairs[0, 0], pairs[0, 1]]), "cpu")
    return [gan_step.run([batch], step, 1.0, measure=True) for step in range(count)]


@pytest.mark.parametrize("clip", [{}, {"clip_grad_norm": 0.1, "clip_grad_value_d": 0.001}], ids=["free", "clipped"])
def test_fp16_scaler_changes_no_updates(tiny: Tiny, clip: dict) -> None:
    """A power of two changes no digit: losses, norms and weights are the same as without a scaler."""
    config = tiny(optim=clip)
    plain, with_scaler = scaled(config, None), scaled(config, torch.amp.GradScaler("cpu", init_scale=2.0**10))
    for unscaled, scaled_values in zip(steps(plain, config), steps(with_scaler, config), strict=True):
        assert unscaled.keys() == scaled_values.keys()
        for name in unscaled:
            assert torch.allclose(unscaled[name], scaled_values[name], rtol=1e-5, atol=1e-7), name
    for name, tensors in plain.networks.weights().items():
        for key, value in tensors.items():
            assert torch.allclose(value.float(), with_scaler.networks.weights()[name][key].float(), atol=1e-6), (
                name,
                key,
            )


def test_fp16_overflow_skips_the_update_and_lowers_the_scale(tiny: Tiny) -> None:
    config = tiny()
    gan_step = scaled(config, torch.amp.GradScaler("cpu", init_scale=2.0**126, growth_interval=10**6))
    before = {key: value.clone() for key, value in gan_step.networks.bare["generator"].named_parameters()}
    steps(gan_step, config, 1)
    assert all(torch.equal(value, before[key]) for key, value in gan_step.networks.bare["generator"].named_parameters())
    assert gan_step.accelerator.scaler.get_scale() < 2.0**126


def test_fp16_scaler_is_saved_and_restored(tiny: Tiny, tmp_path: Path) -> None:
    config = tiny()
    gan_step = scaled(config, torch.amp.GradScaler("cpu", init_scale=2.0**9, growth_interval=4))
    steps(gan_step, config)
    state = gan_step.networks.state()
    assert gan_step.accelerator.scaler.get_scale() > 2.0**9  # it grew, every second step
    other = torch.amp.GradScaler("cpu", init_scale=1.0, growth_interval=4)
    other.load_state_dict(state["scaler"])
    assert other.state_dict() == gan_step.accelerator.scaler.state_dict()


def test_fp16_is_refused_on_a_cpu(tiny: Tiny) -> None:
    with pytest.raises(ValueError, match=r"train\.precision fp16"):
        train(tiny(train={"precision": "fp16"}))
    assert not Path("runs/tiny").exists()


@pytest.mark.parametrize(
    ("option", "launcher", "precision"),
    [(None, None, "no"), (None, "no", "no"), (None, "bf16", "bf16"), ("bf16", "no", "bf16"), ("no", "no", "no")],
)
def test_precision_is_the_option_or_the_launchers(
    option: str | None, launcher: str | None, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if launcher:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launcher)
    else:
        monkeypatch.delenv("ACCELERATE_MIXED_PRECISION", raising=False)
    assert resolve_precision(option) == precision  # type: ignore[arg-type]


@pytest.mark.parametrize(("option", "launcher"), [("no", "bf16"), ("bf16", "fp16"), (None, "fp8")])
def test_precision_refuses_contradictions(option: str | None, launcher: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", launcher)
    with pytest.raises(ValueError, match=launcher):
        resolve_precision(option)  # type: ignore[arg-type]


def test_precision_of_the_launcher_is_kept_at_a_resume(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    config = tiny(train={"max_steps": 2})
    with monkeypatch.context() as patch:
        patch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
        run = train(config)
    assert load_config(run / "config.yaml").train.precision == "bf16"
    resumed = parse_train_arguments(["--name", "tiny", "--resume", "--train.max_steps", "4"], tmp_path).config
    AcceleratorState._reset_state()
    trainer = Trainer(resumed, run)
    assert trainer.accelerator.mixed_precision == "bf16"


def test_precision_accepts_an_unquoted_no_in_yaml(tmp_path: Path) -> None:
    file = tmp_path / "x.yaml"
    file.write_text("name: x\nmodel:\n  name: pix2pix\ndata:\n  toy: true\ntrain:\n  precision: no\n")
    assert load_config(file).train.precision == "no"
