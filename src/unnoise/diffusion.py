r"""Training, testing and generating are one act: separate a noisy image into its noises and its image.

    noisy_images = signal_rates * images + noise_rates * noises          signal_rates^2 + noise_rates^2 = 1

Only where the noisy images come from differs: noise mixed into data, or the step before.
"""

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from unnoise import interpolation, samplers
from unnoise.ema import EMAConfig, MovingAverage
from unnoise.errors import require
from unnoise.noise_levels import NoiseLevels, UniformTimes
from unnoise.normalizer import Normalizer
from unnoise.objectives import Objective
from unnoise.optimizers import OptimizerConfig
from unnoise.schedules import OffsetCosine, Schedule, log_snr
from unnoise.seeds import SeededNoises
from unnoise.tensors import Frames, Images, Pixels, Prediction, Rates, Scalar, Trajectory, mix

Condition = Literal["variance", "rate", "log_snr"]
Precision = Literal["float32", "bfloat16"]


class StepResult(NamedTuple):
    """What one step measured; scalars on the device, so that reading them is what waits for it."""

    loss: Scalar
    noise_loss: Scalar
    image_loss: Scalar


class Diffusion:
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
        condition: what the network is told of the noise level: its variance noise_rate^2 (the book), its
            rate, or the log-SNR, scaled from [-20, 20] to [0, 1].
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
        optimizer: OptimizerConfig = OptimizerConfig(),  # noqa: B008
        ema: EMAConfig = EMAConfig(),  # noqa: B008
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self.device = torch.device(device)
        # Convolutions are faster with the channels last, on CPUs as on GPUs.
        self.network: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.image_shape = image_shape
        self.normalizer = normalizer
        self.schedule = schedule
        self.objective = objective
        self.noise_levels = noise_levels
        self.condition = condition
        self.precision = precision
        self.average = MovingAverage(network, ema)
        self.optimizer_config = optimizer
        self.optimizer: torch.optim.Optimizer | None = optimizer.build(network.parameters())
        self.backward: Callable[[Tensor], None] = torch.Tensor.backward  # many processes put theirs here
        self.generator = torch.Generator(self.device)
        self._refuse_division_by_zero()

    def _refuse_division_by_zero(self) -> None:
        _, last_signal = self.schedule(torch.ones(1, 1, 1, 1))
        require(
            self.objective.predicts != "noise" or float(last_signal) > 1e-4,
            "A network that predicts the noise can't start where there is almost no signal, as "
            f"{type(self.schedule).__name__} does: predict the velocity, or take OffsetCosine.",
        )

    @property
    def ema(self) -> "Diffusion":
        """The same diffusion over the averaged network: what to test and to generate with. It can't train."""
        averaged = copy.copy(self)
        averaged.network, averaged.optimizer = self.average.network, None
        return averaged

    def set_learning_rate(self, learning_rate: float) -> None:
        """Of the next `train_step`s."""
        for group in self.optimizer.param_groups if self.optimizer else ():
            group["lr"] = learning_rate

    # --- the one denoise -----------------------------------------------------------------------------------

    def denoise(self, noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        """Separates noisy images into their noises and their images, by one call of the network.

        Args:
            noisy_images: (B, C, H, W), normalised.
            noise_rates, signal_rates: (B, 1, 1, 1).

        Returns:
            `Prediction(noises, images)` with signal_rates * images + noise_rates * noises = noisy_images.
        """
        conditions = self._conditions(noise_rates, signal_rates)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = self.network(noisy_images, conditions)
        return self.objective.separate(output.float(), noisy_images, noise_rates, signal_rates)

    def _conditions(self, noise_rates: Rates, signal_rates: Rates) -> Rates:
        match self.condition:
            case "variance":
                return noise_rates.square()
            case "rate":
                return noise_rates
            case "log_snr":
                return (0.5 - log_snr(noise_rates, signal_rates) / 40).clamp(0, 1)

    # --- training and testing ------------------------------------------------------------------------------

    def losses(self, images: Images, noises: Images, noise_rates: Rates, signal_rates: Rates) -> StepResult:
        """Mixes normalised images with noises, denoises, and compares: the body of both steps below.

        All of (B, C, H, W) and (B, 1, 1, 1). Besides the objective's loss, the mean absolute errors of the
        noises and of the images, without gradient.
        """
        noisy_images = mix(images, noises, noise_rates, signal_rates)
        prediction = self.denoise(noisy_images, noise_rates, signal_rates)
        truth = Prediction(noises, images)
        loss = self.objective.compare(prediction, truth, noise_rates, signal_rates)
        with torch.no_grad():
            errors = [(left - right).abs().mean() for left, right in zip(prediction, truth, strict=True)]
        return StepResult(loss, *errors)

    def _random_losses(self, images: Images | Pixels, generator: torch.Generator | None) -> StepResult:
        generator = self.generator if generator is None else generator
        normalized = self.normalizer.normalize(images.to(self.device, non_blocking=True))
        rates = self.noise_levels.draw(len(images), self.schedule, generator)
        noises = torch.randn(normalized.shape, generator=generator, device=generator.device)
        return self.losses(normalized, *(tensor.to(self.device) for tensor in (noises, *rates)))

    def train_step(self, images: Images | Pixels, *, generator: torch.Generator | None = None) -> StepResult:
        """Draws noise levels, adds noise, denoises, and moves the network and its average by one step.

        Args:
            images: (B, C, H, W), floats in [0, 1] or uint8.
            generator: of noises and noise levels; `self.generator` if left out.
        """
        if self.optimizer is None:
            raise RuntimeError("The averaged network follows the trained one: call train_step on that.")
        self.network.train()
        result = self._random_losses(images, generator)
        self.optimizer.zero_grad(set_to_none=True)
        self.backward(result.loss)
        if self.optimizer_config.max_gradient_norm is not None:
            parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
            nn.utils.clip_grad_norm_(parameters, self.optimizer_config.max_gradient_norm)
        self.optimizer.step()
        self.average.update()
        return StepResult(*(value.detach() for value in result))

    @torch.no_grad()
    def test_step(self, images: Images | Pixels, *, generator: torch.Generator | None = None) -> StepResult:
        """The same through the averaged network, and nothing moves."""
        return self.ema._random_losses(images, generator)

    # --- generating ----------------------------------------------------------------------------------------

    def noises(self, seeds: Sequence[int]) -> SeededNoises:
        """The random numbers of the pictures with these seeds."""
        return SeededNoises(seeds, self.image_shape, self.device)

    def reverse_diffusion(
        self,
        noises: Images,
        num_steps: int = 20,
        *,
        eta: float = 0.0,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Iterator[Prediction]:
        """From noises (B, C, H, W) to images, one `Prediction` (normalised) a step; see `samplers.ddim`.

        Through the averaged network, as everything but training.
        """
        return samplers.ddim(
            self.ema.denoise, noises, num_steps, self.schedule, eta=eta, draw_noises=draw_noises
        )

    def generate(
        self,
        num_images: int | None = None,
        num_steps: int = 20,
        seed: int = 0,
        *,
        initial_noises: Images | None = None,
        eta: float = 0.0,
        batch_size: int = 64,
    ) -> Images:
        """Generates images in [0, 1] with the averaged network: (num_images, C, H, W).

        Image i has the seed `seed + i`, whatever the batch size. `initial_noises`, where given, are used as
        they are instead.

        Raises:
            UnnoiseError: for fewer than 1 image, or initial_noises that are not num_images of the right shape.
        """
        if initial_noises is not None:
            self._check_noises(initial_noises, num_images)
            num_images = len(initial_noises)
        num_images = 1 if num_images is None else num_images
        require(num_images >= 1, f"At least 1 image can be generated, but {num_images} were asked for.")
        pictures = []
        for first in range(0, num_images, batch_size):
            draw = self.noises(range(seed + first, seed + min(first + batch_size, num_images)))
            start = draw()  # drawn in any case, so that no later draw can repeat the start
            if initial_noises is not None:
                start = initial_noises[first : first + batch_size].to(self.device)
            for prediction in self.reverse_diffusion(start, num_steps, eta=eta, draw_noises=draw):
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
        draw_noises: Callable[[], Images] | None = None,
    ) -> Trajectory:
        """The noisy images at every step and the result, in [0, 1]: (num_steps + 1, B, C, H, W).

        Step k shows x at t = 1 - k / num_steps, put together again from what was seen in it.
        """
        grid = samplers.time_grid(num_steps, self.schedule)
        steps = []
        chain = self.reverse_diffusion(noises, num_steps, eta=eta, draw_noises=draw_noises)
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
