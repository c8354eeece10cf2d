r"""The one denoise: a network, and what it takes to separate a noisy image into its noises and its image.

noisy_images = signal_rates * images + noise_rates * noises          signal_rates^2 + noise_rates^2 = 1
"""

from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import nn

from unnoise.diffusion.conditioning import Abilities, Condition, conditions, require_condition
from unnoise.diffusion.learned_variance import variance_loss
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule
from unnoise.diffusion.tensors import Classes, Images, PerImage, Prediction, Rates, Scalar, mix
from unnoise.utils.errors import require

Precision = Literal["float32", "bfloat16"]


class StepResult(NamedTuple):
    """What one step measured; scalars on the device, so that reading them is what waits for it."""

    loss: Scalar
    noise_loss: Scalar
    image_loss: Scalar
    gradient_norm: Scalar | None = None
    """Of a training step, before clipping; not finite where the loss or the gradient of any process is not."""


class ImageLosses(NamedTuple):
    """The loss of each image, (B,), and the mean errors that `StepResult` tells of."""

    losses: PerImage
    noise_loss: Scalar
    image_loss: Scalar


class Denoiser:
    """A network with its normalizer, schedule and objective: it can look at noisy images, and be judged.

    Args as for `Diffusion`, which can also learn and generate.
    """

    def __init__(
        self,
        network: nn.Module,
        image_shape: tuple[int, int, int],
        *,
        normalizer: Normalizer,
        schedule: Schedule,
        objective: Objective,
        condition: Condition,
        device: torch.device | str,
        precision: Precision,
    ) -> None:
        self.device = torch.device(device)
        # Convolutions are faster with the channels last, on CPUs as on GPUs.
        self.network: nn.Module = network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.abilities = Abilities(network)
        self.image_shape = image_shape
        self.normalizer = normalizer
        self.schedule = schedule
        self.objective = objective
        self.condition = condition
        self.precision = precision
        self._refuse_contradictions()

    def _refuse_contradictions(self) -> None:
        kind = type(self.schedule).__name__
        require_condition(self.condition, self.schedule)
        require(
            not self.abilities.learned_variance or isinstance(self.schedule, DiscreteSchedule),
            f"A learned variance is of the steps of a chain, and {kind} has none: take LinearBeta or another "
            "discrete schedule.",
        )
        _, last_signal = self.schedule(torch.ones(1, 1, 1, 1))
        require(
            self.objective.predicts != "noise" or float(last_signal) > 1e-5,
            f"A network that predicts the noise can't start where there is almost no signal, as {kind} does: "
            "predict the velocity, or take OffsetCosine.",
        )

    def denoise(
        self,
        noisy_images: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        *,
        classes: Classes | None = None,
        previous_images: Images | None = None,
    ) -> Prediction:
        """Separates noisy images into their noises and their images, by one call of the network.

        Args:
            noisy_images: (B, C, H, W), normalised.
            noise_rates, signal_rates: (B, 1, 1, 1).
            classes: (B,), for a network that knows classes; None is no class.
            previous_images: what was predicted the step before, for a network that looks at it.

        Returns:
            `Prediction(noises, images)` with signal_rates * images + noise_rates * noises = noisy_images.
        """
        told = conditions(self.condition, noise_rates, signal_rates, self.schedule)
        more = {"classes": classes, "previous_images": previous_images}
        given = {name: value for name, value in more.items() if value is not None}
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            output = self.network(noisy_images, told, **given).float()
        uncertainties = variances = None
        if self.abilities.uncertainty:
            output, uncertainties = output[:, :-1], output[:, -1, 0, 0]
        if self.abilities.learned_variance:
            output, raw = output.chunk(2, dim=1)
            variances = (raw + 1) / 2
        prediction = self.objective.separate(output, noisy_images, noise_rates, signal_rates)
        return prediction._replace(variances=variances, uncertainties=uncertainties)

    def image_losses(
        self,
        images: Images,
        noises: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        *,
        classes: Classes | None = None,
        self_condition: bool = False,
    ) -> ImageLosses:
        """Mixes normalised images with noises, denoises, and compares: the body of both steps below.

        All of (B, C, H, W) and (B, 1, 1, 1). Besides the objective's loss, the mean absolute errors of the
        noises and of the images, without gradient. With `self_condition` the network looks twice, and the
        second time at what it saw first (2208.04202, section 3.2).
        """
        noisy_images = mix(images, noises, noise_rates, signal_rates)
        denoise = partial(self.denoise, noisy_images, noise_rates, signal_rates, classes=classes)
        previous = None
        if self_condition:
            with torch.no_grad():
                previous = denoise().images
        prediction = denoise(previous_images=previous)
        losses = self.objective.compare(prediction, Prediction(noises, images), noise_rates, signal_rates)
        if prediction.variances is not None and isinstance(self.schedule, DiscreteSchedule):
            losses = losses + variance_loss(prediction, images, noise_rates, signal_rates, self.schedule)
        if prediction.uncertainties is not None:  # EDM2, 2312.02696, eq. 21
            losses = losses * (-prediction.uncertainties).exp() + prediction.uncertainties
        with torch.no_grad():
            noise_loss, image_loss = (
                (left - right).abs().mean()
                for left, right in ((prediction.noises, noises), (prediction.images, images))
            )
        return ImageLosses(losses, noise_loss, image_loss)

    def losses(
        self,
        images: Images,
        noises: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        *,
        classes: Classes | None = None,
        self_condition: bool = False,
    ) -> StepResult:
        """The means of `image_losses`."""
        losses, *errors = self.image_losses(
            images, noises, noise_rates, signal_rates, classes=classes, self_condition=self_condition
        )
        return StepResult(losses.mean(), *errors)
