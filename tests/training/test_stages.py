"""Stages of pix2pixHD: a run starts from another run's weights, freezes them for a while, and resumes."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from img2img.checkpoint import find_checkpoint, newest_checkpoint
from img2img.config import Config
from img2img.training.trainer import train

Tiny = Callable[..., Config]
LOCAL = {"stage": "local", "ngf": 2, "n_scales": 3}
BEGIN = {"init_from": "first"}


def generator(run: Path, which: str = "latest") -> dict[str, torch.Tensor]:
    return load_file(find_checkpoint(run, which)[0] / "generator.safetensors")


def local(tiny_hd: Tiny, name: str = "local", **train_options: object) -> Config:
    options = {"init_from": "first", "save_every": 2, "keep_checkpoints": 0, **train_options}
    return tiny_hd(name, model=LOCAL, train=options)


def test_local_stage_loads_and_freezes_and_then_trains_the_global_part(
    tiny_hd: Tiny, capsys: pytest.CaptureFixture[str]
) -> None:
    """400 scenes in batches of two: 0.01 of an epoch are two steps."""
    first = generator(train(tiny_hd("first", train={"ema_decay": 0.9})))
    config = local(tiny_hd, max_steps=6, ema_decay=0.9, freeze_global_epochs=0.01)
    capsys.readouterr()
    run = train(config)
    assert "new: enhancers.0, head.0" in capsys.readouterr().out
    frozen, final = generator(run, "2"), generator(run, "6")
    for key, value in first.items():
        if key.startswith("coarse.") and not key.startswith("coarse.head."):
            assert torch.equal(frozen[key], value), key
    assert not torch.equal(final["coarse.encoder.0.weight"], first["coarse.encoder.0.weight"])
    assert not torch.equal(frozen["head.0.weight"], final["head.0.weight"])


def test_local_stage_resumes_bit_for_bit_and_unfreezes_at_the_same_step(tiny_hd: Tiny) -> None:
    train(tiny_hd("first"))
    results = []
    for name, stops in (("whole", [6]), ("parts", [1, 3, 6])):
        for i, stop in enumerate(stops):
            train(local(tiny_hd, name, max_steps=stop, freeze_global_epochs=0.01), resume=i > 0)
        results.append(generator(Path("runs") / name))
    whole, parts = results
    assert all(torch.equal(whole[key], parts[key]) for key in whole)


def test_init_from_refuses_unsuitable_runs_in_one_line(tiny_hd: Tiny, tiny: Tiny) -> None:
    train(tiny_hd("first"))
    train(tiny("other"))
    train(tiny_hd("wide", model={"ngf": 8}))
    for name, named in {
        "nowhere": r"\bnowhere\b",
        "other": r"train\.init_from other: .*pix2pix\b.*pix2pixhd\b",
        "wide": r"model\.ngf .*\b8\b.*\b4\b",
    }.items():
        with pytest.raises(ValueError, match=named) as raised:
            train(local(tiny_hd, "bad", init_from=name))
        assert "\n" not in str(raised.value)
        assert not Path("runs/bad").exists()
    with pytest.raises(ValueError, match=r"model\.stage local: .*init_from"):
        local(tiny_hd, init_from=None)
    with pytest.raises(ValueError, match=r"train\.freeze_global_epochs 3: "):
        train(tiny_hd("bad", train={"freeze_global_epochs": 3}))
    train(local(tiny_hd))
    with pytest.raises(ValueError, match=r"train\.init_from local: .*\bglobal\b"):
        train(tiny_hd("bad", train={"init_from": "local"}))


def test_local_stage_trains_two_enhancers(tiny_hd: Tiny) -> None:
    train(tiny_hd("first"))
    model = {"stage": "local", "ngf": 1, "n_enhancers": 2}
    run = train(tiny_hd("two", model=model, train={"init_from": "first"}))
    assert newest_checkpoint(run)[0].name == "step-000004"


def test_init_from_refuses_other_networks_before_overwriting(tiny_hd: Tiny) -> None:
    train(tiny_hd("first", model={"instance_features": True}))
    with pytest.raises(ValueError, match=r"init_from first: .*model\.instance_features .*true"):
        train(local(tiny_hd))
    with pytest.raises(ValueError, match=r"init_from first: .*generator\.coarse\.encoder\.0\.weight"):
        train(tiny_hd("other", model={**LOCAL, "instance_features": True, "n_features": 2}, train=BEGIN))
    train(tiny_hd("plain"))
    with pytest.raises(ValueError, match=r"init_from plain: .*model\.instance_features .*false"):
        train(tiny_hd("other", model={**LOCAL, "instance_features": True}, train={"init_from": "plain"}))
    assert not Path("runs/other").exists()
    with pytest.raises(ValueError, match=r"train\.init_from first: .*--name"):
        train(tiny_hd("first", train={"init_from": "first"}), overwrite=True)
    assert newest_checkpoint(Path("runs/first"))[0].name == "step-000004"


def test_resume_refuses_changes_of_the_label_options(tiny_hd: Tiny) -> None:
    train(tiny_hd())
    for key, value in {"label_nc": 10, "ignore_id": 0, "instances": False}.items():
        with pytest.raises(ValueError, match=rf"data\.{key} {value}: "):
            train(tiny_hd(data={key: value}, train={"max_steps": 5}), resume=True)
    train(tiny_hd(model={"vgg_weights": "elsewhere.pth"}, train={"max_steps": 5}), resume=True)


def test_local_stage_adds_a_second_enhancer_above_the_first(tiny_hd: Tiny, capsys: pytest.CaptureFixture[str]) -> None:
    train(tiny_hd("first"))
    train(local(tiny_hd))
    capsys.readouterr()
    model = {"stage": "local", "ngf": 1, "n_enhancers": 2, "n_scales": 4}
    train(tiny_hd("finer", model=model, train={"init_from": "local"}))
    printed = capsys.readouterr().out
    assert "new: enhancers.1, head.0" in printed
    assert "new: scales.0" in printed


def test_local_stage_freezes_what_is_below_a_second_enhancer_also_after_a_resume(tiny_hd: Tiny) -> None:
    """Weights and batch norm's running statistics. 400 scenes in batches of two: 0.02 of an epoch are four steps; the
    run is stopped after the first and the third.
    """
    norm = {"norm": "batch"}
    train(tiny_hd("first", model=norm))
    initial = generator(train(tiny_hd("local", model={**LOCAL, **norm}, train=BEGIN)))
    model = {"stage": "local", "ngf": 1, "n_enhancers": 2, **norm}
    options = {"init_from": "local", "freeze_global_epochs": 0.02, "save_every": 1, "keep_checkpoints": 0}
    results = []
    for name, stops in (("whole", [6]), ("parts", [1, 3, 6])):
        for i, stop in enumerate(stops):
            train(tiny_hd(name, model=model, train={**options, "max_steps": stop, "sample_every": 1}), resume=i > 0)
        results.append(generator(Path("runs") / name))
        loaded = [key for key in initial if key.startswith(("coarse.", "enhancers.0."))]
        assert any("running_mean" in key for key in loaded)
        at_four = generator(Path("runs") / name, "4")
        assert all(torch.equal(at_four[key], initial[key]) for key in loaded)
        assert not all(torch.equal(results[-1][key], initial[key]) for key in loaded if "running_mean" in key)
        assert not torch.equal(at_four["enhancers.1.front.0.weight"], results[-1]["enhancers.1.front.0.weight"])
    assert all(torch.equal(results[0][key], results[1][key]) for key in results[0])
