"""``GANStep``: one training step of any model, on one or many devices. It knows no model's name (see ``models.base``).

Accelerate brings the devices, the processes and the precision, and nothing else. Its ``accumulate`` would let the
generators' first micro-batches meet an old discriminator; here a step is all of one side's micro-batches and its
update, then all of the other's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from img2img.config import Config
from img2img.data.transforms import keyed_seed
from img2img.losses.gan import diversity_loss
from img2img.models.base import Batch, Images, Side, Terms
from img2img.training.diagnostics import KEPT, Diagnostics
from img2img.training.ema import keep_statistics
from img2img.training.networks import Networks

if TYPE_CHECKING:
    from img2img.networks.regularization import FeatureNoise


class GANStep:
    """Runs steps: the D step and the G step, in the model's order, and the EMA.

    Args:
        config: the resolved options.
        networks: the model, its networks and optimizers.
    """

    def __init__(self, config: Config, networks: Networks) -> None:
        self.networks, self.model, self.accelerator = networks, networks.model, networks.accelerator
        self.balance, self.optim = config.balance, config.optim
        self.model_name, self.seed, self.log_every = config.model.name, config.train.seed, config.train.log_every
        self.noise_layers: list[FeatureNoise] = []
        if self.balance.feature_noise:
            from img2img.networks.regularization import FeatureNoise  # most runs do without

            self.noise_layers = [module for module in self.model.modules() if isinstance(module, FeatureNoise)]
        self.diagnostics = Diagnostics(self.model, self.seed, self.accelerator)

    def run(
        self, batches: list[Batch], step: int, rate_factor: float, *, measure: bool = False, frozen: bool = False
    ) -> dict[str, Tensor]:
        """One step: each side's losses of all micro-batches, and its update.

        Args:
            batches: the micro-batches, with images (B, C, H, W) in [-1, 1] on the device.
            step: number of this step; it keys all that is drawn at random.
            rate_factor: share of the full learning rates.
            measure: whether to measure each network's gradient and the images, too.
            frozen: whether what the model names as ``frozen_first`` stays as it is.

        Returns:
            What is logged: loss terms and statistics of this process, means over the micro-batches, detached, on the
            device.
        """
        sides = self._begin(step, rate_factor, frozen=frozen)
        images: list[Images | None] = [None] * len(batches)
        logged: dict[str, Tensor] = {}
        for side in sides:
            self._freeze_discriminators(side == "generator")
            losses = self._backward(side, batches, images, step=step)
            if measure:
                logged |= self._gradient_norms(side)
            if side == "generator":  # before its update, after which the images would be others
                logged |= self._diagnose(batches[-1], images[-1], step, measure=measure)
            if frozen:
                self._drop_frozen_gradients()
            if side == "generator" or not self._skips_update(losses):
                self._clip_gradients(side)
                self.networks.optimizers[side].step()
                self._clip_weights(side)
            self.networks.optimizers[side].zero_grad()
            logged |= losses
        if "generator" in sides:
            self.networks.update_emas()
        return logged

    def is_last_before_log(self, step: int, total: int) -> bool:
        """Whether this is the last G step before the next log, whose images and gradients are logged.

        Args:
            step: number of the step.
            total: that of the run's last one, which is logged in any case.
        """
        end = min(self._next_log(step), total)
        return self._count_generator_steps(step, end) == 1 and self._count_generator_steps(step + 1, end) == 0

    def _next_log(self, step: int) -> int:
        """How many steps are done at the next regular log."""
        return (step // self.log_every + 1) * self.log_every

    def _count_generator_steps(self, first: int, end: int) -> int:
        """How many G steps there are from step ``first`` on and before step ``end``; no more than KEPT."""
        return sum(1 for _ in islice(filter(self.balance.has_generator_step, range(first, end)), KEPT))

    def _begin(self, step: int, rate_factor: float, *, frozen: bool) -> list[Side]:
        """Sets rates, noise and what stands still in this step; returns the sides that learn in it, in order."""
        self.networks.set_rates(rate_factor)
        noise_share = self.balance.noise_share(step)
        if self.model.discriminators:
            self.model.gan.noise_share = noise_share
        for layer in self.noise_layers:
            layer.sigma.fill_(self.balance.feature_noise * noise_share)

        generators = [self.networks.bare[name] for name in self.networks.names["generator"]]
        if step == self.balance.warmup_d:
            keep_statistics(generators, False)
        for module in self.networks.frozen_modules():
            module.train(not frozen)  # or batch norm's running statistics would move; inference() resets it
        if step < self.balance.warmup_d:
            keep_statistics(generators, True)

        learning = self.model.update_order if self.balance.has_generator_step(step) else ("discriminator",)
        return [side for side in learning if side in self.networks.names]

    def _freeze_discriminators(self, frozen: bool) -> None:
        """Frozen in the G step, D computes no gradients of its own weights, which nobody wants. In the D step nothing
        needs freezing: D sees detached images.
        """
        for name in self.model.discriminators:
            self.networks.bare[name].requires_grad_(not frozen)

    def _backward(
        self, side: Side, batches: list[Batch], images: list[Images | None], *, step: int
    ) -> dict[str, Tensor]:
        """A side's gradients of all micro-batches; returns the means of its loss terms and statistics.

        ``images`` has those of each micro-batch that are made already, and takes the others.
        """
        accumulate = len(batches) > 1
        logged: dict[str, Tensor] = {}
        for i, batch in enumerate(batches):
            with self._synchronised(side, is_last=i == len(batches) - 1):
                made = images[i]
                if made is None or (accumulate and side == "generator"):
                    # One forward serves both sides. With several micro-batches its graph would be kept for all of
                    # them at once: then the D step makes the images without a graph, and the G step the same again.
                    made = self._forward(batch, step=step, index=i, graph=side == "generator" or not accumulate)
                terms, statistics = self._losses(side, batch, made, step=step, index=i)
                self.accelerator.backward(sum(terms.values()) / len(batches))
            images[i] = detached(made) if accumulate else made
            values = {f"loss/{side}/{name}": term for name, term in terms.items()}
            values |= {f"{side}/{name}": value for name, value in statistics.items()}
            for name, value in values.items():
                share = value.detach() / len(batches)
                logged[name] = logged[name] + share if name in logged else share
        return logged

    def _forward(self, batch: Batch, *, step: int, index: int, graph: bool) -> Images:
        """A micro-batch's images, all of them or those of a step without the generators'; its draws are keyed."""
        generators_learn = self.balance.has_generator_step(step)
        torch.manual_seed(keyed_seed(self.seed, step, self.accelerator.process_index, index))
        with torch.set_grad_enabled(graph and generators_learn):
            return self.model(batch) if generators_learn else self.model.discriminator_images(batch)

    def _losses(self, side: Side, batch: Batch, images: Images, *, step: int, index: int) -> tuple[Terms, Terms]:
        """The loss terms of a side for a micro-batch, and its statistics.

        Raises:
            ValueError: the gradient penalty that the options ask for is not among them.
        """
        if side == "generator":
            terms, statistics = self.model.generator_loss(batch, images)
            if self.balance.diversity:
                terms["diversity"] = self.balance.diversity * self._diversity(batch, images, step=step, index=index)
            return terms, statistics
        terms, statistics = self.model.discriminator_loss(batch, detached(images))
        if self.balance.gradient_penalty != "none" and not any(name.startswith("penalty") for name in terms):
            raise ValueError(
                f"balance.gradient_penalty {self.balance.gradient_penalty}: model {self.model_name} has no gradient "
                "penalty; set it to none, or add gan.penalty to the model's discriminator_loss"
            )
        return terms, statistics

    def _diversity(self, batch: Batch, images: Images, *, step: int, index: int) -> Tensor:
        """The mean ``diversity_loss`` of a micro-batch's fakes and those of other noise."""
        torch.manual_seed(keyed_seed(self.seed, step, self.accelerator.process_index, index, "other noise"))
        others = self.model(batch)
        return torch.stack([diversity_loss(images[name], others[name]) for name in self.model.fakes]).mean()

    @contextmanager
    def _synchronised(self, side: Side, *, is_last: bool) -> Iterator[None]:
        """Processes exchange a side's gradients once a step, with its last micro-batch."""
        with ExitStack() as stack:
            for name in () if is_last else self.networks.names[side]:
                stack.enter_context(self.accelerator.no_sync(getattr(self.model, name)))
            yield

    def _gradient_norms(self, side: Side) -> dict[str, Tensor]:
        """The L2 norm of the gradient of each network of a side."""
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler else 1.0  # fp16 alone scales
        norms = {}
        for name in self.networks.names[side]:
            gradients = (p.grad for p in self.networks.bare[name].parameters() if p.grad is not None)
            norms[f"gradient_norm/{name}"] = torch.nn.utils.get_total_norm(gradients) / scale
        return norms

    def _diagnose(self, batch: Batch, images: Images | None, step: int, *, measure: bool) -> dict[str, Tensor]:
        """Diagnostics of the last micro-batch's images; thumbnails are kept also where they are not wanted."""
        assert images is not None
        steps_to_log = self._count_generator_steps(step + 1, self._next_log(step))
        return self.diagnostics.measure(batch, images, step, steps_to_log=steps_to_log, wanted=measure)

    def _drop_frozen_gradients(self) -> None:
        """Not by requires_grad: processes would wait for the gradients' exchange."""
        for module in self.networks.frozen_modules():
            for parameter in module.parameters():
                parameter.grad = None

    def _skips_update(self, losses: dict[str, Tensor]) -> bool:
        """Whether the discriminators are so accurate that they skip this update, which is noted in ``losses``.

        By the accuracy on all processes' images, so that they agree. Waits for the device.
        """
        if self.balance.skip_above >= 1:
            return False
        accuracies = [value for name, value in losses.items() if name.startswith("discriminator/accuracy")]
        accuracy = self.accelerator.reduce(torch.stack(accuracies).mean(), "mean")
        losses["discriminator/skipped"] = (accuracy > self.balance.skip_above).float()
        return bool(losses["discriminator/skipped"])

    def _clip_gradients(self, side: Side) -> None:
        """Bounds the gradients of a side: each network's length, or every element."""
        norm, value = self.optim.of("clip_grad_norm", side), self.optim.of("clip_grad_value", side)
        if not (norm or value):
            return
        self.accelerator.unscale_gradients(self.networks.optimizers[side])  # of this side alone
        for name in self.networks.names[side]:
            if norm:
                torch.nn.utils.clip_grad_norm_(self.networks.bare[name].parameters(), norm)
            if value:
                torch.nn.utils.clip_grad_value_(self.networks.bare[name].parameters(), value)

    @torch.no_grad()
    def _clip_weights(self, side: Side) -> None:
        """Clamps the discriminators' weights, and so their slope (Arjovsky et al., arXiv 1701.07875, Algorithm 1)."""
        bound = self.optim.clip_d
        if side == "generator" or not bound:
            return
        weights: list[Tensor] = [p for name in self.networks.names[side] for p in self.networks.bare[name].parameters()]
        torch._foreach_clamp_min_(weights, -bound)
        torch._foreach_clamp_max_(weights, bound)


def detached(images: Mapping[str, Tensor]) -> Images:
    """The images without their graph."""
    return {name: image.detach() for name, image in images.items()}
