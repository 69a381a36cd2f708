"""The game: one step of any model, on one or many devices. It knows no model's name (see ``models.base``).

Accelerate brings the devices, the processes and the precision, and nothing else. Its ``accumulate`` would let the
generator's first micro-batches meet an old discriminator; here a step is all of one side's micro-batches and its
update, then all of the other's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from img2img.checkpoint import has_network, load_network, newest_checkpoint
from img2img.config import CONFIG_FILE, Config, load_config
from img2img.data.options import DataConfig
from img2img.data.transforms import keyed_seed
from img2img.losses.gan import diversity_loss
from img2img.losses.image_pool import ImagePool
from img2img.models import build_model
from img2img.models.base import Batch, Images, Model, Side
from img2img.networks.regularization import FeatureNoise
from img2img.runs import find_run
from img2img.training.diagnostics import KEPT, Signs
from img2img.training.ema import Average, keep_statistics
from img2img.training.pools import gather_pools, restore_pools


class Game:
    """Both sides of a model with their optimizers and averages.

    Args:
        config: the resolved options.
        accelerator: whose device, processes and precision it is played with.

    Raises:
        ValueError: the networks can't take pictures of the sizes that the options make, or what they learn from can't
            be loaded.
    """

    def __init__(self, config: Config, accelerator: Accelerator) -> None:
        self.accelerator, self.seed, self.model_name = accelerator, config.train.seed, config.model.name
        device = accelerator.device
        self.memory_format = torch.channels_last if config.train.channels_last else torch.contiguous_format

        torch.manual_seed(keyed_seed(self.seed, "weights"))
        self.model = build_model(config.model, config.data.channels, config.balance)
        _check_sizes(self.model, config.data)
        if config.balance.diversity and not self.model.random:
            raise ValueError(
                f"balance.diversity {config.balance.diversity}: these generators have no noise that could make two "
                "outputs of one input differ; set model.dropout true where there is one, or balance.diversity 0"
            )
        self.smallest_side = self.model.smallest_side
        self.model.load_pretrained()
        self.pools: dict[str, ImagePool] = {name: getattr(self.model, name) for name in self.model.pools}
        self.options, self.balance, self.width = config.optim, config.balance, config.data.width
        if config.balance.gradient_penalty != "none" and accelerator.mixed_precision == "fp16":
            raise ValueError("balance.gradient_penalty: its slopes underflow in fp16; set train.precision bf16")
        self.model.to(device=device, memory_format=self.memory_format)  # type: ignore[call-overload]
        self.names: dict[Side, tuple[str, ...]] = {
            "discriminator": self.model.discriminators,
            "generator": self.model.generators,
        }
        # Saved, averaged and sampled from are the bare networks; prepared for device and processes, they play.
        self.networks: dict[str, nn.Module] = {
            name: getattr(self.model, name) for names in self.names.values() for name in names
        }
        if config.train.freeze_global_epochs and not self.model.frozen_first:
            raise ValueError(
                f"train.freeze_global_epochs {config.train.freeze_global_epochs}: there is nothing to freeze in this "
                "model or stage; set it to 0"
            )
        self.averages = {
            name: Average(self.networks[name], config.train.ema_decay)
            for name in (self.model.generators if config.train.ema_decay else ())
        }
        self.noises = [module for module in self.model.modules() if isinstance(module, FeatureNoise)]
        self.rates: dict[Side, float] = {side: config.optim.of("lr", side) for side in self.names}
        self.optimizers: dict[Side, Any] = {
            side: accelerator.prepare(self._optimizer(side, device.type in ("cpu", "cuda"))) for side in self.names
        }
        for name, network in self.networks.items():
            if config.train.compile:
                network.compile()
            setattr(self.model, name, accelerator.prepare(network))
        self.log_every = config.train.log_every
        self.signs = Signs(self.model, self.seed, accelerator)

    def begin_with(self, run: str) -> None:
        """Takes the networks' first weights from another run's newest checkpoint, and says what is new.

        What the checkpoint has no network for, as an imported one, stays as it was drawn.

        Raises:
            ValueError: there is no such run, or it is of another model, or its networks are other ones.
        """
        path, notes = newest_checkpoint(find_run(run))
        theirs = load_config(path / CONFIG_FILE).model
        if theirs.name != self.model_name:
            raise ValueError(f"train.init_from {run}: a run of {theirs.name}, not of {self.model_name}")
        for name, network in self.networks.items():
            if not has_network(path, name):
                notes.append(f"{name}: new; {path} has none")
                continue
            mine = network.state_dict()
            try:
                given = self.model.adopt(name, load_network(path, name), theirs)
            except ValueError as error:
                raise ValueError(f"train.init_from {run}: {error}") from error
            # What is new is told; what is there twice must fit, and so must all that will be frozen
            wrong = sorted(key for key in given if key not in mine or given[key].shape != mine[key].shape)
            frozen = tuple(f"{place}." for place in self.model.frozen_first)
            wrong += sorted(key for key in mine.keys() - given.keys() if f"{name}.{key}".startswith(frozen))
            if wrong:
                raise ValueError(
                    f"train.init_from {run}: {name}.{wrong[0]} is not the same there and here (of {len(wrong)} such "
                    "tensors): keep that run's model options, data.label_nc, data.instances, channels, "
                    "balance.spectral_norm and balance.minibatch_std"
                )
            network.load_state_dict(given, strict=False)
            if name in self.averages:
                self.averages[name].module.load_state_dict(given, strict=False)
            new = sorted({".".join(key.split(".")[:2]) for key in mine.keys() - given.keys()})
            notes.append(
                f"{name}: {len(given)} of {len(mine)} tensors of {path}" + (f"; new: {', '.join(new)}" if new else "")
            )
        for note in notes:
            self.accelerator.print(note)

    def play(
        self, batches: list[Batch], step: int, rate_factor: float, measure: bool = False, frozen: bool = False
    ) -> dict[str, Tensor]:
        """One step: each side in its turn pays for all micro-batches and is updated.

        Args:
            batches: the micro-batches, with pictures (B, C, H, W) in [-1, 1] on the device.
            step: number of this step; it keys the dropout.
            rate_factor: share of the full learning rates.
            measure: whether to measure each network's gradient and the pictures too.
            frozen: whether what the model names as ``frozen_first`` stays as it is.

        Returns:
            The loss terms and statistics of this process, means over the micro-batches, detached, on the device.
        """
        for side, rate in self.rates.items():
            for group in self.optimizers[side].param_groups:
                group["lr"] = rate * rate_factor
        share = self.model.adversary.share = self.balance.noise_share(step)
        for noise in self.noises:
            noise.sigma.fill_(self.balance.feature_noise * share)
        both = self.balance.plays_generator(step)
        sides: tuple[Side, ...] = self.model.update_order if both else ("discriminator",)
        generators = [self.networks[name] for name in self.names["generator"]]
        if step == self.balance.warmup_d:
            keep_statistics(generators, False)
        still = self._frozen_modules()
        for module in still:  # or batch norm's running statistics would move; inference() puts all of them back
            module.train(not frozen)
        if step < self.balance.warmup_d:
            keep_statistics(generators, True)
        made: list[Images | None] = [None] * len(batches)
        told: dict[str, Tensor] = {}
        for side in sides:
            turn = self._turn(side, batches, made, step, graph=both)
            if measure:
                told |= self._gradient_norms(side)
            if side == "generator":  # before its update, which would make other pictures
                assert made[-1] is not None
                turns = self.turns(step + 1, (step // self.log_every + 1) * self.log_every)
                told |= self.signs.look(batches[-1], made[-1], step, turns=turns, measure=measure)
            if frozen:  # not by requires_grad: processes would wait for the gradients' exchange
                for module in still:
                    for parameter in module.parameters():
                        parameter.grad = None
            if side == "generator" or not self._skips(turn):
                self._clip_gradients(side)
                self.optimizers[side].step()
                if side == "discriminator" and self.options.clip_d:
                    self._clip_weights()
            self.optimizers[side].zero_grad()
            told |= turn
        if not both:
            return told
        for name, average in self.averages.items():
            average.update(self.networks[name])
        return told

    def turns(self, first: int, end: int) -> int:
        """How many turns the generators have from step ``first`` on and before step ``end``; no more than KEPT."""
        return sum(1 for _ in islice(filter(self.balance.plays_generator, range(first, end)), KEPT))

    def _turn(
        self, side: Side, batches: list[Batch], made: list[Images | None], step: int, graph: bool
    ) -> dict[str, Tensor]:
        """A side's gradients of all micro-batches, whose pictures are kept in ``made``; and what it pays, in the mean.

        ``graph`` tells whether the generators have a turn in this step, too.
        """
        # Frozen in the generator's turn, D computes no gradients of its own weights, which nobody wants. The other
        # way round nothing needs freezing: D is shown detached pictures.
        for name in self.model.discriminators:
            self.networks[name].requires_grad_(side == "discriminator")
        accumulate = len(batches) > 1
        turn: dict[str, Tensor] = {}
        for i, batch in enumerate(batches):
            with self._synchronised(side, i == len(batches) - 1):
                images = made[i]
                if images is None or (accumulate and side == "generator"):
                    # One forward serves both turns. With several micro-batches its graph would be kept for all of
                    # them at once: then D's turn makes the pictures without a graph, and G's the same ones again.
                    with torch.set_grad_enabled(graph and (side == "generator" or not accumulate)):
                        torch.manual_seed(keyed_seed(self.seed, step, self.accelerator.process_index, i))
                        images = self.model(batch)
                if side == "discriminator":
                    shown = {name: picture.detach() for name, picture in images.items()}
                    terms, statistics = self.model.discriminator_loss(batch, shown)
                else:
                    terms, statistics = self.model.generator_loss(batch, images)
                    if self.balance.diversity:
                        terms["diversity"] = self.balance.diversity * self._alike(batch, images, step, i)
                self.accelerator.backward(sum(terms.values()) / len(batches))
            made[i] = {name: picture.detach() for name, picture in images.items()} if accumulate else images
            named = {f"loss/{side}/{name}": term for name, term in terms.items()}
            named |= {f"{side}/{name}": value for name, value in statistics.items()}
            for name, value in named.items():
                share = value.detach() / len(batches)
                turn[name] = turn[name] + share if name in turn else share
        return turn

    def _frozen_modules(self) -> list[nn.Module]:
        """What the model names as ``frozen_first``, of the bare networks."""
        places = [place.partition(".") for place in self.model.frozen_first]
        return [self.networks[name].get_submodule(below) for name, _, below in places]

    @torch.no_grad()
    def _clip_weights(self) -> None:
        """Clamps the discriminators' weights, and so their slope (Arjovsky et al., arXiv 1701.07875, Algorithm 1)."""
        weights: list[Tensor] = [p for name in self.names["discriminator"] for p in self.networks[name].parameters()]
        torch._foreach_clamp_min_(weights, -self.options.clip_d)
        torch._foreach_clamp_max_(weights, self.options.clip_d)

    def _optimizer(self, side: Side, fused: bool) -> torch.optim.Optimizer:
        parameters = [p for name in self.names[side] for p in self.networks[name].parameters()]
        if self.options.of("optimizer", side) == "rmsprop":
            return torch.optim.RMSprop(parameters, self.rates[side])
        return torch.optim.Adam(parameters, self.rates[side], self.options.of("betas", side), fused=fused)

    def _clip_gradients(self, side: Side) -> None:
        """Bounds the gradients of a side: each network's length, or every element."""
        norm, value = self.options.of("clip_grad_norm", side), self.options.of("clip_grad_value", side)
        if not (norm or value):
            return
        self.accelerator.unscale_gradients(self.optimizers[side])  # of this side alone
        for name in self.names[side]:
            if norm:
                torch.nn.utils.clip_grad_norm_(self.networks[name].parameters(), norm)
            if value:
                torch.nn.utils.clip_grad_value_(self.networks[name].parameters(), value)

    def _alike(self, batch: Batch, images: Images, step: int, index: int) -> Tensor:
        """How alike a micro-batch's pictures are to those of other noise: the mean ``diversity_loss`` of all fakes."""
        torch.manual_seed(keyed_seed(self.seed, step, self.accelerator.process_index, index, "other noise"))
        others = self.model(batch)
        return torch.stack([diversity_loss(images[name], others[name]) for name in self.model.fakes]).mean()

    def _skips(self, turn: dict[str, Tensor]) -> bool:
        """Whether the discriminators judge so many of a step's pictures rightly that they wait; noted in ``turn``.

        Of all processes' pictures, so that they agree. Waits for the device.
        """
        if self.balance.skip_above >= 1:
            return False
        accuracies = [value for name, value in turn.items() if name.startswith("discriminator/accuracy")]
        accuracy = self.accelerator.reduce(torch.stack(accuracies).mean(), "mean")
        turn["discriminator/skipped"] = (accuracy > self.balance.skip_above).float()
        return bool(turn["discriminator/skipped"])

    def _gradient_norms(self, side: Side) -> dict[str, Tensor]:
        """The L2 norm of the gradient of each network of a side."""
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler else 1.0  # fp16 alone scales
        return {
            f"gradient_norm/{name}": torch.nn.utils.get_total_norm(
                p.grad for p in self.networks[name].parameters() if p.grad is not None
            )
            / scale
            for name in self.names[side]
        }

    @contextmanager
    def _synchronised(self, side: Side, last: bool) -> Iterator[None]:
        """Processes exchange a side's gradients once a step, with its last micro-batch."""
        with ExitStack() as stack:
            for name in () if last else self.names[side]:
                stack.enter_context(self.accelerator.no_sync(getattr(self.model, name)))
            yield

    @contextmanager
    def inference(self) -> Iterator[None]:
        """The model as inference has it: bare networks, averages in place of what they average, no dropout."""
        prepared = {name: getattr(self.model, name) for name in self.networks}
        for name, network in self.networks.items():
            setattr(self.model, name, self.averages[name].module if name in self.averages else network)
        self.model.eval()
        try:
            with torch.no_grad(), torch.compiler.set_stance("force_eager"):  # a few pictures don't pay a compilation
                yield
        finally:
            self.model.train()
            for name, network in prepared.items():
                setattr(self.model, name, network)

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Every network's state dict by name; an average is its network's name with ``_ema``."""
        averaged = {f"{name}_ema": average.module.state_dict() for name, average in self.averages.items()}
        return {name: network.state_dict() for name, network in self.networks.items()} | averaged

    def is_finite(self) -> bool:
        """Whether no weight of any network is NaN or infinite. Waits for the device."""
        found = [torch.stack([p.isfinite().all() for p in network.parameters()]) for network in self.networks.values()]
        return bool(torch.cat(found).all())

    def state(self) -> dict[str, Any]:
        """What, beside the weights, the next step depends on. All processes call it; the first one's has all pools."""
        return {
            "pools": gather_pools(self.accelerator, self.pools),
            "optimizers": {side: optimizer.state_dict() for side, optimizer in self.optimizers.items()},
            "frozen_first": list(self.model.frozen_first),
            "updates": {name: average.updates for name, average in self.averages.items()},
            "signs": self.signs.state(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
        }

    def restore(self, path: Path, state: dict[str, Any]) -> None:
        """Takes the weights of a checkpoint and the state that ``state`` returned back.

        Raises:
            ValueError: the weights are of other networks.
        """
        # The run that this one began with told it; a checkpoint of before it was saved has the model's own
        self.model.frozen_first = tuple(state.get("frozen_first", self.model.frozen_first))
        for name, network in self.networks.items():
            _load(network, path, name)
        for name, average in self.averages.items():
            if name in state["updates"]:  # an average that begins only now begins with the weights of now
                _load(average.module, path, f"{name}_ema")
                average.updates = state["updates"][name]
        for side, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][side])
            for group in optimizer.param_groups:  # which it took back, too, though the options may have changed
                group |= {"betas": self.options.of("betas", side)} if "betas" in group else {}
        if self.accelerator.scaler and state["scaler"]:
            self.accelerator.scaler.load_state_dict(state["scaler"])
        self.signs.restore(state.get("signs", {}))  # as one of before there were signs has none
        pools = state.get("pools", [])  # a checkpoint of before there were pools has none
        restore_pools(self.accelerator, self.pools, pools, self.width)


def _check_sizes(model: Model, data: DataConfig) -> None:
    """Raises ValueError if the model can't train on pictures of the sizes that the options make."""
    many = 101 * data.stride  # where an odd and large multiple of the stride fits, all do that are large enough
    if data.preprocess not in ("scale_width", "none"):
        model.check_size(data.crop_size)
    elif model.padded(many) != many:
        raise ValueError(
            f"data.stride {data.stride}: the generator takes sides of {model.padded(1)}, "
            f"{model.padded(model.padded(1) + 1)}, ...: set a multiple of their difference"
        )


def _load(network: nn.Module, path: Path, name: str) -> None:
    try:
        network.load_state_dict(load_network(path, name))
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ValueError(f"{path}/{name}.safetensors doesn't fit the run's options: {reason}") from error
