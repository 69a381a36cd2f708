"""``Networks``: the networks of a model in training, with optimizers and EMAs; saved and restored.

It works for any model (``models.base`` is the contract). Accelerate prepares each network by itself, for device,
processes and precision, and the result replaces the network on the model: a model that is wrapped as a whole could not
call its networks one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from img2img.checkpoint import load_network
from img2img.config import Config
from img2img.data.options import DataConfig
from img2img.data.transforms import keyed_seed
from img2img.models import build_model
from img2img.models.base import Model, Side
from img2img.training.ema import EMA

if TYPE_CHECKING:
    from img2img.losses.image_pool import ImagePool


class Networks:
    """A model with its optimizers and EMAs, on the device.

    ``model`` has the networks as Accelerate prepared them. ``bare`` has the same networks before that, by name: these
    are saved, averaged (EMA) and used for inference.

    Args:
        config: the resolved options.
        accelerator: gives device, processes and precision.

    Raises:
        ValueError: options that exclude each other or don't fit the model, image sizes that the networks don't accept,
            or pretrained networks that can't be loaded.
    """

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.config, self.accelerator = config, accelerator
        self.memory_format = torch.channels_last if config.train.channels_last else torch.contiguous_format
        torch.manual_seed(keyed_seed(config.train.seed, "weights"))
        self.model = build_model(config.model, config.data.channels, config.balance)
        _check_sizes(self.model, config.data)
        _check_options(self.model, config, accelerator.mixed_precision)
        self.smallest_side = self.model.smallest_side
        self.model.load_pretrained()
        self.model.to(device=accelerator.device, memory_format=self.memory_format)  # type: ignore[call-overload]

        # Names of the networks that a side's optimizer updates
        self.names: dict[Side, tuple[str, ...]] = {"generator": (*self.model.generators, *self.model.auxiliary)}
        if self.model.discriminators:
            self.names = {"discriminator": self.model.discriminators, **self.names}
        self.bare: dict[str, nn.Module] = {
            name: getattr(self.model, name) for names in self.names.values() for name in names
        }
        self.pools: dict[str, ImagePool] = {name: getattr(self.model, name) for name in self.model.pools}
        averaged = self.model.generators if config.train.ema_decay else ()
        self.emas = {name: EMA(self.bare[name], config.train.ema_decay) for name in averaged}

        # Parameter groups: a side's networks by their share of its learning rate, and the full rate of each group
        self.groups: dict[Side, dict[float, list[str]]] = {side: self._groups(side) for side in self.names}
        self.rates: dict[Side, list[float]] = {
            side: [config.optim.of("lr", side) * share for share in groups] for side, groups in self.groups.items()
        }
        self.optimizers: dict[Side, Any] = {side: accelerator.prepare(self._optimizer(side)) for side in self.names}
        for name, network in self.bare.items():
            if config.train.compile:
                network.compile()
            setattr(self.model, name, accelerator.prepare(network))

    def set_rates(self, factor: float) -> None:
        """Sets all learning rates to ``factor`` times their full values."""
        for side, optimizer in self.optimizers.items():
            for group, rate in zip(optimizer.param_groups, self.rates[side], strict=True):
                group["lr"] = rate * factor

    def current_rates(self) -> dict[str, float]:
        """Learning rates to log: ``rate/SIDE``, and ``rate/NETWORK`` for networks with a different one."""
        rates: dict[str, float] = {}
        for side, optimizer in self.optimizers.items():
            for i, (group, names) in enumerate(zip(optimizer.param_groups, self.groups[side].values(), strict=True)):
                rates |= {f"rate/{name}": group["lr"] for name in (names if i else [side])}
        return rates

    def update_emas(self) -> None:
        """Updates the generators' EMAs with their current weights."""
        for name, ema in self.emas.items():
            ema.update(self.bare[name])

    def frozen_modules(self) -> list[nn.Module]:
        """The modules that the model names in ``frozen_first``, of the bare networks."""
        paths = [path.partition(".") for path in self.model.frozen_first]
        return [self.bare[name].get_submodule(submodule) for name, _, submodule in paths]

    @contextmanager
    def inference(self) -> Iterator[None]:
        """Within it, the model is as in inference: bare networks or their EMAs, in eval mode, without gradients."""
        prepared = {name: getattr(self.model, name) for name in self.bare}
        for name, network in self.bare.items():
            setattr(self.model, name, self.emas[name].module if name in self.emas else network)
        self.model.eval()
        try:
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):  # compiling costs more than a few images
                yield
        finally:
            self.model.train()
            for name, network in prepared.items():
                setattr(self.model, name, network)

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """The state dicts of all networks by NAME, and of their EMAs by NAME_ema."""
        emas = {f"{name}_ema": ema.module.state_dict() for name, ema in self.emas.items()}
        return {name: network.state_dict() for name, network in self.bare.items()} | emas

    def is_finite(self) -> bool:
        """Whether all weights of all networks are finite. Waits for the device."""
        finite = [torch.stack([p.isfinite().all() for p in network.parameters()]) for network in self.bare.values()]
        return bool(torch.cat(finite).all())

    def state(self) -> dict[str, Any]:
        """What the next step depends on, besides the weights. All processes must call it; rank 0 gets all pools."""
        return {
            "pools": self._pools(),
            "optimizers": {side: optimizer.state_dict() for side, optimizer in self.optimizers.items()},
            "frozen_first": list(self.model.frozen_first),
            "updates": {name: ema.updates for name, ema in self.emas.items()},
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }

    def restore(self, path: Path, state: dict[str, Any]) -> None:
        """Restores the weights of the checkpoint at ``path``, and what ``state`` returned.

        Raises:
            ValueError: the weights don't fit the networks.
        """
        # train.init_from may have changed it; checkpoints of the first version don't have it
        self.model.frozen_first = tuple(state.get("frozen_first", self.model.frozen_first))
        for name, network in self.bare.items():
            _load(network, path, name)
        for name, ema in self.emas.items():
            if name in state["updates"]:  # else train.ema_decay is new: the EMA begins with the current weights
                _load(ema.module, path, f"{name}_ema")
                ema.updates = state["updates"][name]
        for side, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][side])
            for group in optimizer.param_groups:  # load_state_dict set the old betas, but the option may have changed
                if "betas" in group:
                    group["betas"] = self.config.optim.of("betas", side)
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.pools:
            from img2img.training.pools import restore_pools  # imported only by models with pools

            pools = state.get("pools", [])  # checkpoints of the first version may have none
            restore_pools(self.accelerator, self.pools, pools, width=self.config.data.width)

    def _pools(self) -> list[dict[str, Any]]:
        """The image pools of all processes, on rank 0."""
        if not self.pools:
            return []
        from img2img.training.pools import gather_pools  # imported only by models with pools

        return gather_pools(self.accelerator, self.pools)

    def _groups(self, side: Side) -> dict[float, list[str]]:
        """Share of the learning rate -> names of the side's networks that have it: one parameter group each."""
        groups: dict[float, list[str]] = {}
        for name in self.names[side]:
            groups.setdefault(self.model.rates.get(name, 1.0), []).append(name)
        return groups

    def _optimizer(self, side: Side) -> torch.optim.Optimizer:
        optim = self.config.optim
        groups = [
            {"params": [p for name in names for p in self.bare[name].parameters()], "lr": rate}
            for names, rate in zip(self.groups[side].values(), self.rates[side], strict=True)
        ]
        if optim.of("optimizer", side) == "rmsprop":
            return torch.optim.RMSprop(groups, lr=optim.of("lr", side))
        fused = self.accelerator.device.type in ("cpu", "cuda")
        return torch.optim.Adam(groups, lr=optim.of("lr", side), betas=optim.of("betas", side), fused=fused)


def _check_sizes(model: Model, data: DataConfig) -> None:
    """Raises ValueError if the model can't train on images of the sizes that the options give."""
    if data.scale not in (None, model.scale):
        raise ValueError(
            f"data.scale {data.scale}: targets are {data.scale} times as wide as inputs, but outputs of the model "
            f"{model.scale} times; change data.down (data.degrade), or choose another model"
        )
    large = 101 * data.stride  # if this odd multiple of the stride fits, all large enough multiples do
    if data.preprocess not in ("scale_width", "none"):
        if data.crop_size % model.scale:
            raise ValueError(f"data.crop_size {data.crop_size}: is the output's, must be a multiple of {model.scale}")
        model.check_size(data.crop_size // model.scale)
    elif model.padded(large) != large:
        raise ValueError(
            f"data.stride {data.stride}: the generator accepts sides of {model.padded(1)}, "
            f"{model.padded(model.padded(1) + 1)}, ...: set a multiple of their difference"
        )


def _check_options(model: Model, config: Config, precision: str) -> None:
    """Raises ValueError for options that this model doesn't support."""
    if not model.discriminators:
        _refuse_discriminator_options(config)
    if config.balance.diversity and not model.random:
        raise ValueError(
            f"balance.diversity {config.balance.diversity}: these generators have no noise, so that two outputs for "
            "one input don't differ; set model.dropout true if the model has it, or balance.diversity 0"
        )
    if config.balance.gradient_penalty != "none" and precision == "fp16":
        raise ValueError("balance.gradient_penalty: its gradients underflow in fp16; set train.precision bf16")
    if config.train.freeze_global_epochs and not model.frozen_first:
        raise ValueError(
            f"train.freeze_global_epochs {config.train.freeze_global_epochs}: this model or stage has nothing to "
            "freeze; set it to 0"
        )
    if unknown := sorted(set(model.rates) - {*model.generators, *model.auxiliary, *model.discriminators}):
        raise ValueError(f"model {config.model.name}: its rates name {unknown[0]}, but it has no such network")


def _refuse_discriminator_options(config: Config) -> None:
    """Raises ValueError if an option of discriminators or of the GAN loss is changed; for models without them."""
    changed = {f"balance.{key}": value for key, value in config.balance.changed.items() if key != "diversity"}
    if changed.get("balance.spectral_norm") == "g":
        del changed["balance.spectral_norm"]
    optim = config.optim
    discriminator_fields = [field for field in fields(optim) if field.name.endswith("_d")]
    changed |= {
        f"optim.{field.name}": getattr(optim, field.name)
        for field in discriminator_fields
        if getattr(optim, field.name) != field.default
    }
    if changed:
        key, value = next(iter(changed.items()))
        advice = "set it to g or none" if key == "balance.spectral_norm" else "leave it out"
        raise ValueError(f"{key} {value}: model {config.model.name} has no discriminator; {advice}")


def _load(network: nn.Module, path: Path, name: str) -> None:
    """Loads a network's weights from a checkpoint. Raises ValueError if they don't fit."""
    try:
        network.load_state_dict(load_network(path, name))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{path}/{name}.safetensors doesn't fit the run's options: {reason}") from error
