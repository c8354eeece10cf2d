r"""Training, testing and generating are one act: separate a noisy image into its noises and its image.

    noisy_images = signal_rates * images + noise_rates * noises          signal_rates^2 + noise_rates^2 = 1

Only where the noisy images come from differs: noise mixed into data, or the step before.
"""

import copy
from contextlib import nullcontext

import torch
from torch import nn
from torch.profiler import record_function

from unnoise.diffusion.conditioning import Condition
from unnoise.diffusion.denoiser import Precision, StepResult
from unnoise.diffusion.generation import Generating
from unnoise.diffusion.loss_history import LossHistory
from unnoise.diffusion.noise_levels import LossAware, NoiseLevels, UniformTimes
from unnoise.diffusion.noising import Corrupted, Corruption
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.processes import Alone, Part, Processes
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.seeds import global_numbers_from
from unnoise.diffusion.tensors import Classes, Images, PerImage, Pixels
from unnoise.optim.ema import EMAConfig, MovingAverage
from unnoise.optim.gradient_guard import Shield
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.power_ema import PowerAverages
from unnoise.utils.kernels import RANGES


class Diffusion(Generating):
    """Holds what diffusion needs: network, EMA network, normalizer, schedule, objective.

    A plain class: only the network learns, and `forward` would mean nothing here. The optimiser holds the
    parameters of `network` alone; the average follows it.

    Args:
        network: (noisy_images, conditions) -> images.
        image_shape: (channels, height, width) of what it generates.
        normalizer: between [0, 1] and what the network sees; fitted to the data set, best of all.
        schedule: diffusion time -> (noise_rates, signal_rates).
        objective: what the network predicts, what the loss compares.
        noise_levels: how the noise levels of training are spread.
        condition: what the network is told of the noise level; see `conditioning.conditions`.
        class_dropout, offset_noise: see `Corruption`.
        optimizer, ema: how `train_step` moves the network, and the average after it.
        device: where everything is put.
        precision: of the network's arithmetic (autocast); weights and losses stay in float32.

    Raises:
        UnnoiseError: if the network predicts the noise, and the schedule starts sampling without any signal.
    """

    def __init__(
        self,
        network: nn.Module,
        image_shape: tuple[int, int, int],
        *,
        normalizer: Normalizer = Normalizer(),  # noqa: B008 (frozen, as are those below)
        schedule: Schedule = OffsetCosine(),  # noqa: B008
        objective: Objective = Objective(),  # noqa: B008
        noise_levels: NoiseLevels = UniformTimes(),  # noqa: B008
        condition: Condition = "variance",
        class_dropout: float = 0.1,
        offset_noise: float = 0.0,
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        ema: EMAConfig = EMAConfig(),  # noqa: B008
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        super().__init__(
            network,
            image_shape,
            normalizer=normalizer,
            schedule=schedule,
            objective=objective,
            condition=condition,
            device=device,
            precision=precision,
        )
        self.corruption = Corruption(
            noise_levels=noise_levels, offset_noise=offset_noise, class_dropout=class_dropout
        )
        self.loss_history = LossHistory(noise_levels) if isinstance(noise_levels, LossAware) else None
        self.average = MovingAverage(network, ema)
        self.profiles = PowerAverages(network, ema.profiles, ema.profile_every)
        self.optimizer_config = optimizer
        self.optimizer: torch.optim.Optimizer | None = optimizer.build(network.parameters())
        self.shield = Shield(network, self.optimizer)
        self.processes: Processes = Alone()
        self.generator = torch.Generator(self.device)

    @property
    def ema(self) -> "Diffusion":
        """The same diffusion over the averaged network: what to test and to generate with. It can't train."""
        if self.optimizer is None:
            return self
        averaged = copy.copy(self)
        averaged.network, averaged.optimizer = self.average.network, None
        return averaged

    def set_learning_rate(self, learning_rate: float) -> None:
        """Of the next `train_step`s."""
        for group in self.optimizer.param_groups if self.optimizer else ():
            group["lr"] = learning_rate

    # --- training and testing ------------------------------------------------------------------------------

    def train_step(
        self,
        images: Images | Pixels,
        classes: Classes | None = None,
        *,
        generator: torch.Generator | None = None,
        part: Part | None = None,
        accumulate: int = 1,
    ) -> StepResult:
        """Draws noise levels, adds noise, denoises, and moves the network and its average by one step.

        Args:
            images: (B, C, H, W), floats in [0, 1] or uint8.
            classes: (B,), for a network that knows classes.
            generator: of noises and noise levels; `self.generator` if left out.
            part: which part of the step's batch the images are, where several processes share it.
            accumulate: the gradients of so many pieces of the images are added up one after the other: the
                same step in less memory.
        """
        if self.optimizer is None:
            raise RuntimeError("The averaged network follows the trained one: call train_step on that.")
        self.network.train()
        self.shield.keep()
        self.optimizer.zero_grad(set_to_none=True)
        generator = generator or self.generator
        batch = self._corrupted(images, classes, generator, part, training=True)
        pieces, found = batch.split(accumulate), []
        for number, piece in enumerate(pieces, start=1):
            with nullcontext() if number == len(pieces) else self.processes.hold():
                losses, result = self._judged(piece, generator, part)
                share = len(piece.images) / len(images)
                self.processes.backward(result.loss * share)
            found.append((losses.detach(), torch.stack([value.detach() for value in result[:3]]) * share))
        loss, noise_loss, image_loss = self.processes.mean(torch.stack([values for _, values in found]).sum(0))
        with record_function(RANGES["guards"]):
            norm = self.shield.gradient_norm(loss, self.optimizer_config.max_gradient_norm)
            passes = self.shield.passes(norm)
        if passes:
            self._move(self.optimizer)
        if self.loss_history is not None and batch.times is not None:
            seen = batch.times.flatten(), torch.cat([losses for losses, _ in found])
            self.loss_history.record(*(self.processes.gather(values) for values in seen))
        return StepResult(loss, noise_loss, image_loss, norm)

    def _move(self, optimizer: torch.optim.Optimizer) -> None:
        """Moves the network along the gradients that were gathered, and its averages after it."""
        optimizer.step()
        for statistics in self.average.source.buffers():
            if statistics.is_floating_point():
                statistics.copy_(self.processes.mean(statistics))
        with record_function(RANGES["averages"]):
            self.average.update()
            self.profiles.update()

    def rehearse(
        self,
        images: Images | Pixels,
        classes: Classes | None = None,
        *,
        part: Part | None = None,
        accumulate: int = 1,
    ) -> None:
        """The way forward and back of a `train_step`, after which nothing has changed: what a compiler sees."""
        weights = [parameter for parameter in self.network.parameters() if parameter.requires_grad]
        kept = [buffer.clone() for buffer in self.network.buffers()]
        generator = torch.Generator(self.device).manual_seed(0)
        self.network.train()
        batch = self._corrupted(images, classes, generator, part, training=True)
        sizes = {len(piece.images): piece for piece in batch.split(accumulate)}
        try:
            for piece in sizes.values():
                _, result = self._judged(piece, generator, part)
                torch.autograd.grad(result.loss, weights, allow_unused=True)
        finally:
            for buffer, value in zip(self.network.buffers(), kept, strict=True):
                buffer.copy_(value)

    @torch.no_grad()
    def test_step(
        self,
        images: Images | Pixels,
        classes: Classes | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> StepResult:
        """The same through the averaged network, and nothing moves."""
        generator = generator or self.generator
        batch = self._corrupted(images, classes, generator, None, training=False)
        return self.ema._judged(batch, generator, None)[1]

    def _corrupted(
        self,
        images: Images | Pixels,
        classes: Classes | None,
        generator: torch.Generator,
        part: Part | None,
        *,
        training: bool,
    ) -> Corrupted:
        """All that is random in a step, but for dropout."""
        normalized = self.normalizer.normalize(images.to(self.device, non_blocking=True))
        drawn = self.corruption.draw(
            normalized, classes, self.schedule, self.abilities, generator, training=training, part=part
        )
        if not training or self.loss_history is None:
            return drawn
        part = part or Part(0, len(images))
        mine = part.places(len(images))
        times, weights = (values[mine] for values in self.loss_history.draw(part.whole, generator))
        noise_rates, signal_rates = (rate.to(self.device) for rate in self.schedule(times))
        return drawn._replace(
            noise_rates=noise_rates, signal_rates=signal_rates, times=times, weights=weights.to(self.device)
        )

    def _judged(
        self, batch: Corrupted, generator: torch.Generator, part: Part | None
    ) -> tuple[PerImage, StepResult]:
        """The loss of each image, and the means."""
        numbers = global_numbers_from(generator, part.first if part else 0)
        with numbers if self.abilities.dropout else nullcontext():
            losses, *errors = self.image_losses(
                batch.images,
                batch.noises,
                batch.noise_rates,
                batch.signal_rates,
                classes=batch.classes,
                self_condition=batch.self_condition,
            )
        weighted = losses if batch.weights is None else losses * batch.weights.to(losses)
        return losses, StepResult(weighted.mean(), *errors)
