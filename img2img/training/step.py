"""``GANStep``: one training step of any model, on one or many devices (``models.base`` is the contract).

Accelerate handles devices, processes and precision. Its ``accumulate`` isn't used: with it, the second side's gradients
of the first micro-batches would come from the first side's old weights. Here one side finishes all its micro-batches
and its update before the other side begins.
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
from img2img.training.ema import freeze_statistics
from img2img.training.networks import Networks

if TYPE_CHECKING:
    from img2img.networks.regularization import FeatureNoise


class GANStep:
    """Runs training steps: D step and G step in the model's order, then the update of the EMAs.

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
            from img2img.networks.regularization import FeatureNoise  # imported only by runs that use it

            self.noise_layers = [module for module in self.model.modules() if isinstance(module, FeatureNoise)]
        self.diagnostics = Diagnostics(self.model, self.seed, self.accelerator)

    def run(
        self, batches: list[Batch], step: int, rate_factor: float, *, measure: bool = False, frozen: bool = False
    ) -> dict[str, Tensor]:
        """Runs one step: for each side, the losses of all micro-batches, their gradients, and the update.

        Args:
            batches: the micro-batches, with images (B, C, H, W) in [-1, 1] on the device.
            step: number of this step; all random draws are seeded by it.
            rate_factor: share of the full learning rates, in [0, 1].
            measure: also measures gradient norms and diagnostics of the images.
            frozen: leaves the modules that the model names in ``frozen_first`` as they are.

        Returns:
            Scalars to log, by tag: loss terms and statistics of this process, each the mean over the micro-batches;
            detached, on the device.
        """
        sides = self._begin(step, rate_factor, frozen=frozen)
        images: list[Images | None] = [None] * len(batches)
        logged: dict[str, Tensor] = {}
        for side in sides:
            self._freeze_discriminators(side == "generator")
            losses = self._backward(side, batches, images, step=step)
            if measure:
                logged |= self._gradient_norms(side)
            if side == "generator":  # before the update: a second output must come from the weights that made the first
                logged |= self._diagnose(batches[-1], images[-1], step, measure=measure)
            if frozen:
                self._drop_frozen_gradients()
            if side == "discriminator" and self.balance.skip_above < 1:
                losses["discriminator/skipped"] = self._is_too_accurate(losses).float()
            if not losses.get("discriminator/skipped"):
                self._clip_gradients(side)
                self.networks.optimizers[side].step()
                self._clip_weights(side)
            self.networks.optimizers[side].zero_grad()
            logged |= losses
        if "generator" in sides:
            self.networks.update_emas()
        return logged

    def is_last_before_log(self, step: int, total: int) -> bool:
        """Whether ``step`` is the last G step before the next log: its diagnostics and gradient norms are logged.

        Args:
            step: number of the step.
            total: steps of the run, which also logs after its last one.
        """
        end = min(self._next_log(step), total)
        return self._count_generator_steps(step, end) == 1 and self._count_generator_steps(step + 1, end) == 0

    def _next_log(self, step: int) -> int:
        """The number of finished steps at the next regular log."""
        return (step // self.log_every + 1) * self.log_every

    def _count_generator_steps(self, first: int, end: int) -> int:
        """The number of G steps in [first, end), counted up to KEPT."""
        return sum(1 for _ in islice(filter(self.balance.has_generator_step, range(first, end)), KEPT))

    def _begin(self, step: int, rate_factor: float, *, frozen: bool) -> list[Side]:
        """Sets learning rates, noise and what is frozen in this step; returns the sides to update, in order."""
        self.networks.set_rates(rate_factor)
        noise_share = self.balance.noise_share(step)
        if self.model.discriminators:
            self.model.gan.noise_share = noise_share
        for layer in self.noise_layers:
            layer.sigma.fill_(self.balance.feature_noise * noise_share)

        generators = [self.networks.bare[name] for name in self.networks.names["generator"]]
        if step == self.balance.warmup_d:
            freeze_statistics(generators, frozen=False)
        for module in self.networks.frozen_modules():
            module.train(not frozen)  # eval mode keeps batch norm's running statistics; inference() resets it
        if step < self.balance.warmup_d:
            freeze_statistics(generators, frozen=True)

        sides = self.model.update_order if self.balance.has_generator_step(step) else ("discriminator",)
        return [side for side in sides if side in self.networks.names]

    def _freeze_discriminators(self, frozen: bool) -> None:
        """Freezes D in the G step, which saves the gradients of its weights, or unfreezes it.

        The D step needs no frozen G: D's input is detached images.
        """
        for name in self.model.discriminators:
            self.networks.bare[name].requires_grad_(not frozen)

    def _backward(
        self, side: Side, batches: list[Batch], images: list[Images | None], *, step: int
    ) -> dict[str, Tensor]:
        """Accumulates a side's gradients over all micro-batches; returns its mean loss terms and statistics.

        ``images`` has one entry a micro-batch: its images, or None until they are made; new ones are stored there.
        """
        accumulate = len(batches) > 1
        logged: dict[str, Tensor] = {}
        for i, batch in enumerate(batches):
            with self._synchronised(side, is_last=i == len(batches) - 1):
                batch_images = images[i]
                if batch_images is None or (accumulate and side == "generator"):
                    # One forward serves both sides. With several micro-batches the graphs of all of them would be in
                    # memory at once: then the D step makes the images without a graph, and the G step repeats them.
                    batch_images = self._forward(batch, step=step, index=i, graph=side == "generator" or not accumulate)
                terms, statistics = self._losses(side, batch, batch_images, step=step, index=i)
                self.accelerator.backward(sum(terms.values()) / len(batches))
            images[i] = detached(batch_images) if accumulate else batch_images
            values = {f"loss/{side}/{name}": term for name, term in terms.items()}
            values |= {f"{side}/{name}": value for name, value in statistics.items()}
            for name, value in values.items():
                share = value.detach() / len(batches)
                logged[name] = logged[name] + share if name in logged else share
        return logged

    def _forward(self, batch: Batch, *, step: int, index: int, graph: bool) -> Images:
        """Makes a micro-batch's images: all of them, or those that a step without a G step needs.

        Seeded by step, process and micro-batch, so that a second call makes the same images.
        """
        generators_learn = self.balance.has_generator_step(step)
        torch.manual_seed(keyed_seed(self.seed, step, self.accelerator.process_index, index))
        with torch.set_grad_enabled(graph and generators_learn):
            return self.model(batch) if generators_learn else self.model.discriminator_images(batch)

    def _losses(self, side: Side, batch: Batch, images: Images, *, step: int, index: int) -> tuple[Terms, Terms]:
        """The loss terms of a side for a micro-batch, already weighted, and statistics to log.

        Raises:
            ValueError: the options set a gradient penalty and the model's discriminator loss has none.
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
        """The mean ``diversity_loss`` between a micro-batch's fakes and fakes made with different noise."""
        torch.manual_seed(keyed_seed(self.seed, step, self.accelerator.process_index, index, "other noise"))
        other_images = self.model(batch)
        return torch.stack([diversity_loss(images[name], other_images[name]) for name in self.model.fakes]).mean()

    @contextmanager
    def _synchronised(self, side: Side, *, is_last: bool) -> Iterator[None]:
        """Lets processes exchange a side's gradients once a step, at its last micro-batch."""
        with ExitStack() as stack:
            for name in () if is_last else self.networks.names[side]:
                stack.enter_context(self.accelerator.no_sync(getattr(self.model, name)))
            yield

    def _gradient_norms(self, side: Side) -> dict[str, Tensor]:
        """The L2 norm of each network's gradient."""
        scale = self.accelerator.scaler.get_scale() if self.accelerator.scaler else 1.0  # fp16 scales its losses
        norms = {}
        for name in self.networks.names[side]:
            gradients = (p.grad for p in self.networks.bare[name].parameters() if p.grad is not None)
            norms[f"gradient_norm/{name}"] = torch.nn.utils.get_total_norm(gradients) / scale
        return norms

    def _diagnose(self, batch: Batch, images: Images | None, step: int, *, measure: bool) -> dict[str, Tensor]:
        """Diagnostics of the last micro-batch's images, if ``measure``; keeps its thumbnails in any case."""
        assert images is not None
        steps_to_log = self._count_generator_steps(step + 1, self._next_log(step))
        return self.diagnostics.observe(batch, images, step, steps_to_log=steps_to_log, measure=measure)

    def _drop_frozen_gradients(self) -> None:
        """Drops gradients of frozen modules. With requires_grad False instead, DDP would wait for them."""
        for module in self.networks.frozen_modules():
            for parameter in module.parameters():
                parameter.grad = None

    def _is_too_accurate(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Whether D's accuracy is above ``balance.skip_above``, as a scalar on the device.

        The accuracy is the mean over all processes, so that all of them skip the update or none.
        """
        accuracies = [value for name, value in losses.items() if name.startswith("discriminator/accuracy")]
        accuracy = self.accelerator.reduce(torch.stack(accuracies).mean(), "mean")
        return accuracy > self.balance.skip_above

    def _clip_gradients(self, side: Side) -> None:
        """Clips a side's gradients: each network's norm, or every element."""
        norm, value = self.optim.of("clip_grad_norm", side), self.optim.of("clip_grad_value", side)
        if not (norm or value):
            return
        self.accelerator.unscale_gradients(self.networks.optimizers[side])  # the other side's must stay scaled
        for name in self.networks.names[side]:
            if norm:
                torch.nn.utils.clip_grad_norm_(self.networks.bare[name].parameters(), norm)
            if value:
                torch.nn.utils.clip_grad_value_(self.networks.bare[name].parameters(), value)

    @torch.no_grad()
    def _clip_weights(self, side: Side) -> None:
        """Clamps the discriminators' weights to [-clip_d, clip_d] (WGAN, arXiv 1701.07875, Algorithm 1)."""
        bound = self.optim.clip_d
        if side == "generator" or not bound:
            return
        weights: list[Tensor] = [p for name in self.networks.names[side] for p in self.networks.bare[name].parameters()]
        torch._foreach_clamp_min_(weights, -bound)
        torch._foreach_clamp_max_(weights, bound)


def detached(images: Mapping[str, Tensor]) -> Images:
    """The images, detached from their graph."""
    return {name: image.detach() for name, image in images.items()}
