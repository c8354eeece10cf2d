r"""Diffusion: a denoiser that learns, its moving average, and the training step.

    noisy_images = signal_rates * images + noise_rates * noises          signal_rates^2 + noise_rates^2 = 1

Training, testing and sampling call the same `denoise`. Only where the noisy images come from differs: noises
mixed into data, or the step before.
"""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn

from unnoise.diffusion.conditioning import Condition
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.mean_velocity import MeanVelocity, require_told
from unnoise.diffusion.noise_levels import LossAware, LossHistory, NoiseLevels, UniformTimes
from unnoise.diffusion.noising import NoisedBatch, Noising
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Losses, Objective
from unnoise.diffusion.schedules import OffsetCosine, Schedule
from unnoise.diffusion.seeds import seeded_global_generator
from unnoise.diffusion.tensors import Classes, Images, PerImage, Pixels, Scalar, moved
from unnoise.diffusion.walks import Walks
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.process_group import BatchPart
from unnoise.optim.weight_update import WeightUpdate
from unnoise.utils.precision import Precision


class StepResult(NamedTuple):
    """Measurements of a training or test step: scalars on the device, so that reading them waits for it."""

    loss: Scalar
    noise_loss: Scalar
    image_loss: Scalar
    gradient_norm: Scalar | None = None
    """Of a training step, before clipping; not finite where the loss or the gradient of any process is not."""


class Diffusion:
    """A diffusion model in training: network, moving average, normaliser, schedule, objective, optimiser.

    A plain class, not an `nn.Module`: only the network has weights, and `forward` would mean nothing here.
    `diffusion.denoiser` is the `Denoiser` over the network that learns; `diffusion.ema` the one over its moving
    average, which samples are drawn with: `diffusion.ema.generate(16)`.

    Args:
        network: (noisy_images, conditions) -> what the objective predicts, (B, C or more, H, W).
        image_shape: (channels, height, width) of what it generates.
        normalizer: between pixels in [0, 1] and what the network sees; best fitted to the data set.
        schedule: diffusion time -> (noise_rates, signal_rates).
        objective: what the network predicts, and what the loss compares.
        noise_levels: the distribution of noise levels in training.
        condition: how the network is told the noise level; see `conditioning.conditions`.
        class_dropout, offset_noise: see `Noising`.
        mean_velocity: learns the mean velocity of steps instead of the velocity, for networks that are told the
            length of a step; see `mean_velocity`.
        optimizer, ema: how `train_step` moves the network, and the average after it. By default the average
            remembers about the last sixteenth of the steps so far, so that a short training can draw, too.
        device: where everything is put.
        precision: of the network's arithmetic (autocast); weights and losses stay in float32.

    Raises:
        UnnoiseError: for choices that contradict each other; see `Denoiser`.
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
        mean_velocity: MeanVelocity | None = None,
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        ema: EMAConfig = EMAConfig(warmup=16.0),  # noqa: B008
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self.denoiser = Denoiser(
            network,
            image_shape,
            normalizer=normalizer,
            schedule=schedule,
            objective=objective,
            condition=condition,
            device=device,
            precision=precision,
        )
        self.weights = WeightUpdate(network, optimizer, ema)
        self.weights.set_precision(precision)
        self.ema = self.denoiser.over(self.weights.average.network)
        require_told(mean_velocity, self.denoiser.abilities.step_length)
        self.noising = Noising(offset_noise, class_dropout, mean_velocity)
        self.spent = 0.0  # the fraction of the training that is over, with which mean_velocity's target changes
        self.noise_levels = noise_levels
        self.loss_history = None
        if isinstance(noise_levels, LossAware):
            self.loss_history = LossHistory(noise_levels).to(self.denoiser.device)
        self.generator = torch.Generator(self.denoiser.device)
        self.walks: Walks | None = None  # of the run that is distilled, where the network learns from them

    @property
    def network(self) -> nn.Module:
        """The network that learns."""
        return self.denoiser.network

    @property
    def schedule(self) -> Schedule:
        """Diffusion time -> (noise_rates, signal_rates)."""
        return self.denoiser.schedule

    @property
    def normalizer(self) -> Normalizer:
        """Between pixels in [0, 1] and what the network sees."""
        return self.denoiser.normalizer

    def set_precision(self, precision: Precision) -> None:
        """Sets the precision of the next steps, and of what is drawn."""
        self.denoiser.precision = self.ema.precision = precision
        self.weights.set_precision(precision)

    def train_step(
        self,
        images: Images | Pixels,
        classes: Classes | None = None,
        *,
        generator: torch.Generator | None = None,
        part: BatchPart | None = None,
        accumulate: int = 1,
    ) -> StepResult:
        """Draws noise levels, adds noise, denoises, and moves the network and its average by one step.

        Args:
            images: (B, C, H, W), floats in [0, 1] or uint8.
            classes: (B,), for a class-conditional network; of one that knows clusters, those of the images.
            generator: of noises and noise levels; `self.generator` if left out.
            part: which part of the step's batch the images are, where several processes share it.
            accumulate: in how many pieces the batch goes through the network, one after the other: the same
                step in less memory.

        An error on the way, such as too little memory, leaves the weights and their statistics as they were.
        """
        generator = generator or self.generator
        learned = self.noising.mean_velocity
        if learned is not None:
            learned.require_walks(self.walks)
        self.denoiser.network.train()
        self.weights.begin()
        losses, means, group = list[PerImage](), list[torch.Tensor](), self.weights.group
        try:
            batch = self.noised(images, classes, generator, part=part)
            pieces = batch.split(accumulate) if accumulate > 1 else [batch]
            for piece in pieces:
                # Of several processes, only the last piece averages the gradients.
                with nullcontext() if group is None or piece is pieces[-1] else group.no_sync():
                    loss, found = self.losses(piece, generator, part)
                    share = len(piece.images) / len(images)
                    self.weights.backward(loss * share)
                losses.append(found.losses.detach())
                means.append(torch.stack([loss.detach(), found.noise_loss, found.image_loss]) * share)
            total = torch.stack(means).sum(0)
            loss, noise_loss, image_loss = total if group is None else group.mean(total)
            norm = self.weights.step(loss)
        except BaseException:
            self.weights.cancel()
            raise
        if self.loss_history is not None and batch.times is not None:
            seen = batch.times.flatten(), torch.cat(losses)
            self.loss_history.record(*(seen if group is None else map(group.gather, seen)))
        return StepResult(loss, noise_loss, image_loss, norm)

    @torch.no_grad()
    def test_step(
        self,
        images: Images | Pixels,
        classes: Classes | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> StepResult:
        """The loss of the averaged network on images (B, C, H, W); nothing changes."""
        generator = generator or self.generator
        batch = self.noised(images, classes, generator, training=False)
        loss, found = self.losses(batch, generator, denoiser=self.ema)
        return StepResult(loss, found.noise_loss, found.image_loss)

    def noised(
        self,
        images: Images | Pixels,
        classes: Classes | None,
        generator: torch.Generator,
        *,
        part: BatchPart | None = None,
        training: bool = True,
    ) -> NoisedBatch:
        """Normalises images (B, C, H, W), and draws all the random numbers of a step but those of dropout.

        Where the mean velocity is learned along walks, they take the place of the images.
        """
        if self.walks is not None:
            return self.walks.draw(len(images), generator, part, training=training)
        denoiser, device = self.denoiser, self.denoiser.device
        there = moved(images, device)
        normalized = denoiser.normalizer.normalize(there)
        if denoiser.abilities.clusters is not None:  # whatever labels the pictures have
            # Thumbnails for MPS are made on the CPU, where the pictures are still.
            classes = denoiser.abilities.classes_of(images if device.type == "mps" else there)
        levels = self.loss_history if training and self.loss_history is not None else self.noise_levels
        return self.noising.draw(
            normalized,
            classes,
            levels,
            denoiser.schedule,
            denoiser.abilities,
            generator,
            training=training,
            part=part,
        )

    def losses(
        self,
        batch: NoisedBatch,
        generator: torch.Generator,
        part: BatchPart | None = None,
        *,
        denoiser: Denoiser | None = None,
    ) -> tuple[Scalar, Losses]:
        """The mean loss of a batch with its importance weights, and the losses of its images without them.

        Args:
            generator: of dropout's random numbers.
            part: images of other parts of a batch get other numbers for dropout.
            denoiser: `self.denoiser` if left out.
        """
        spent, denoiser = 1.0 if denoiser else self.spent, denoiser or self.denoiser
        steps, learned = None, self.noising.mean_velocity
        if learned is not None and batch.lengths is not None:
            steps = learned.steps(batch.lengths, spent, None if self.walks is None else self.walks.look)
        dropout = (
            seeded_global_generator(generator, part.first if part else 0)
            if denoiser.abilities.dropout
            else None
        )
        with dropout or nullcontext():
            found = denoiser.losses(
                batch.images,
                batch.noises,
                batch.noise_rates,
                batch.signal_rates,
                classes=batch.classes,
                self_condition=batch.self_condition,
                steps=steps,
            )
        weighted = found.losses if batch.weights is None else found.losses * batch.weights.to(found.losses)
        return weighted.mean(), found
