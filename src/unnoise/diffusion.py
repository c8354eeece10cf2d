r"""Training, testing and generating are one act: separate a noisy image into its noises and its image.

    noisy_images = signal_rates * images + noise_rates * noises          signal_rates^2 + noise_rates^2 = 1

Only where the noisy images come from differs: noise mixed into data, or the step before.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from unnoise import interpolation
from unnoise.conditioning import Condition
from unnoise.corruption import Corruption
from unnoise.denoiser import Denoiser, Precision, StepResult
from unnoise.ema import EMAConfig, MovingAverage
from unnoise.errors import require
from unnoise.guidance import Weaker
from unnoise.loss_history import LossHistory
from unnoise.noise_levels import LossAware, NoiseLevels, UniformTimes
from unnoise.normalizer import Normalizer
from unnoise.objectives import Objective
from unnoise.optimizers import OptimizerConfig
from unnoise.power_ema import PowerAverages
from unnoise.sampling import Sampling, remembering
from unnoise.schedules import OffsetCosine, Schedule
from unnoise.seeds import SeededNoises, global_numbers_from
from unnoise.tensors import Classes, Denoise, Frames, Images, Pixels, Prediction, Trajectory


class Diffusion(Denoiser):
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
        self.backward: Callable[[Tensor], None] = torch.Tensor.backward  # many processes put theirs here
        self.generator = torch.Generator(self.device)
        self.weaker: Weaker | None = None  # see `autoguidance.guided_by`

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

    def _random_losses(
        self,
        images: Images | Pixels,
        classes: Classes | None,
        generator: torch.Generator | None,
        *,
        training: bool,
    ) -> StepResult:
        generator = generator or self.generator
        normalized = self.normalizer.normalize(images.to(self.device, non_blocking=True))
        noises, noise_rates, signal_rates, told, twice = self.corruption.draw(
            normalized, classes, self.schedule, self.abilities, generator, training=training
        )
        times = weights = None
        if training and self.loss_history is not None:
            times, weights = self.loss_history.draw(len(images), generator)
            noise_rates, signal_rates = (rate.to(self.device) for rate in self.schedule(times))
        with global_numbers_from(generator) if self.abilities.dropout else nullcontext():
            losses, *errors = self.image_losses(
                normalized, noises, noise_rates, signal_rates, classes=told, self_condition=twice
            )
        if self.loss_history is not None and times is not None and weights is not None:
            self.loss_history.record(times, losses)
            losses = losses * weights.to(losses)
        return StepResult(losses.mean(), *errors)

    def train_step(
        self,
        images: Images | Pixels,
        classes: Classes | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> StepResult:
        """Draws noise levels, adds noise, denoises, and moves the network and its average by one step.

        Args:
            images: (B, C, H, W), floats in [0, 1] or uint8.
            classes: (B,), for a network that knows classes.
            generator: of noises and noise levels; `self.generator` if left out.
        """
        if self.optimizer is None:
            raise RuntimeError("The averaged network follows the trained one: call train_step on that.")
        self.network.train()
        result = self._random_losses(images, classes, generator, training=True)
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(result.loss)
        if self.optimizer_config.max_gradient_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.optimizer_config.max_gradient_norm)
        self.optimizer.step()
        self.average.update()
        self.profiles.update()
        return StepResult(*(value.detach() for value in result))

    @torch.no_grad()
    def test_step(
        self,
        images: Images | Pixels,
        classes: Classes | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> StepResult:
        """The same through the averaged network, and nothing moves."""
        return self.ema._random_losses(images, classes, generator, training=False)

    # --- generating ----------------------------------------------------------------------------------------

    def noises(self, seeds: Sequence[int]) -> SeededNoises:
        """The random numbers of the pictures with these seeds."""
        return SeededNoises(seeds, self.image_shape, self.device)

    def ask(self, classes: Classes | None, *, memory: bool = True) -> Denoise:
        """`denoise` of the averaged network, told these classes, with a memory of one walk where it has one."""
        told = partial(self.ema.denoise, classes=classes)
        return remembering(told) if memory and self.abilities.self_conditioning else told

    def denoiser(self, sampling: Sampling, classes: Classes | None = None, *, memory: bool = True) -> Denoise:
        """`denoise` of the averaged network as samplers take it: guided, clipped, with a memory.

        Without `memory` the same noisy images are always seen alike, also by a network that looks at what it
        saw before: what goes back and forth needs that.
        """
        require(
            classes is None or self.abilities.num_classes > 0,
            "This network knows no classes: train it with labels, or leave the classes out.",
        )
        black = torch.zeros(1, self.image_shape[0], 1, 1)
        bounds = (self.normalizer.normalize(black), self.normalizer.normalize(black + 1))
        return sampling.dress(partial(self.ask, memory=memory), classes, bounds, self.weaker)

    def reverse_diffusion(
        self,
        noises: Images,
        num_steps: int = 20,
        *,
        eta: float = 0.0,
        sampling: Sampling | None = None,
        classes: Classes | None = None,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Iterator[Prediction]:
        """From noises (B, C, H, W) to images, one `Prediction` (normalised) a step.

        DDIM of `num_steps` and `eta`, or whatever `sampling` says instead. Through the averaged network, as
        everything but training.
        """
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)
        return sampling.walk(self.denoiser(sampling, classes), noises, self.schedule, draw_noises)

    def generate(
        self,
        num_images: int | None = None,
        num_steps: int = 20,
        seed: int = 0,
        *,
        initial_noises: Images | None = None,
        eta: float = 0.0,
        sampling: Sampling | None = None,
        classes: Classes | None = None,
        batch_size: int = 64,
    ) -> Images:
        """Generates images in [0, 1] with the averaged network: (num_images, C, H, W).

        Image i has the seed `seed + i`, whatever the batch size. `initial_noises`, where given, are used as
        they are instead. `sampling`, where given, stands for num_steps and eta.

        Raises:
            UnnoiseError: for fewer than 1 image, or initial_noises that are not num_images of the right shape.
        """
        if initial_noises is not None:
            self._check_noises(initial_noises, num_images)
            num_images = len(initial_noises)
        num_images = 1 if num_images is None else num_images
        require(num_images >= 1, f"At least 1 image can be generated, but {num_images} were asked for.")
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)
        pictures = []
        for first in range(0, num_images, batch_size):
            draw = self.noises(range(seed + first, seed + min(first + batch_size, num_images)))
            start = draw()  # drawn in any case, so that no later draw can repeat the start
            if initial_noises is not None:
                start = initial_noises[first : first + batch_size].to(self.device)
            some = None if classes is None else classes[first : first + batch_size].to(self.device)
            walk = self.reverse_diffusion(start, sampling=sampling, classes=some, draw_noises=draw)
            for prediction in walk:
                images = prediction.images
            pictures.append(self.normalizer.denormalize(images))
        return torch.cat(pictures)

    def _check_noises(self, noises: Images, num_images: int | None) -> None:
        require(
            num_images is None or num_images == len(noises),
            f"{num_images} images were asked for, but there are {len(noises)} initial noises: leave one out.",
        )
        require(
            tuple(noises.shape[1:]) == tuple(self.image_shape),
            f"Initial noises are {self.image_shape} each, but got {tuple(noises.shape[1:])}.",
        )

    def trajectory(
        self,
        noises: Images,
        num_steps: int = 20,
        *,
        eta: float = 0.0,
        sampling: Sampling | None = None,
        classes: Classes | None = None,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Trajectory:
        """The noisy images at every step and the result, in [0, 1]: (num_steps + 1, B, C, H, W).

        Each is put together again from what was seen in it, at the times of `sampling`.
        """
        sampling = sampling or Sampling(num_steps=num_steps, eta=eta)
        grid = sampling.grid(self.schedule)
        steps = []
        chain = self.reverse_diffusion(noises, sampling=sampling, classes=classes, draw_noises=draw_noises)
        for step, prediction in enumerate(chain):
            noise_rates, signal_rates = (rates[step].to(noises.dtype).to(noises.device) for rates in grid)
            steps.append(signal_rates * prediction.images + noise_rates * prediction.noises)
        return self.normalizer.denormalize(torch.stack([*steps, prediction.images]))

    def interpolate(
        self, noises: Images, frames: int = 11, num_steps: int = 20, *, closed: bool = False
    ) -> Frames:
        """Pictures on the way between noises, in [0, 1]: (frames, C, H, W); see `interpolation.path`."""
        return self.generate(
            initial_noises=interpolation.path(noises, frames, closed=closed), num_steps=num_steps
        )
