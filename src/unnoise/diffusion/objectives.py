r"""Training objectives: noise, image, velocity and flow prediction, and the loss.

Each network output converts to a `Prediction` of noises and images:

    noise:     x_0 = (x_t - sigma out) / alpha                           (DDPM, 2006.11239, eq. 15)
    image:     eps = (x_t - alpha out) / sigma
    velocity:  v = alpha eps - sigma x_0,   x_0 = alpha x_t - sigma out,   eps = sigma x_t + alpha out
                                                  (Progressive Distillation, 2202.00512, section 4)

    flow:      u = eps - x_0,   x_0 = (x_t - sigma out) / w,   eps = (x_t + alpha out) / w,   w = alpha + sigma
                                                  (Rectified Flow, 2209.03003, eq. 1; Flow Matching, 2210.02747)

The first two divide by a rate, which may be 0; velocity and flow are defined on the whole of every schedule.

At a given noise level each is a linear function of x_t and of any other. EDM's network
(2206.00364, eq. 7) with c_skip, c_out and c_in for data of unit variance is minus the velocity: with
sigma = noise / signal and y = x_t / signal, c_in y = x_t, and c_skip y + c_out F = alpha x_t + sigma_t F = x_0.
Flow matching's x_t = (1 - t) x_0 + t eps is `RectifiedFlow` without the division by its length r, and its
target u = eps - x_0 is (sigma - alpha) x_t + (alpha + sigma) v.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch.nn import functional

from unnoise.diffusion.tensors import Images, PerImage, Prediction, Rates, Scalar
from unnoise.diffusion.weightings import AnyWeighting, Unweighted
from unnoise.utils.errors import require

Target = Literal["noise", "image", "velocity", "flow"]
TARGETS: tuple[Target, ...] = ("noise", "image", "velocity", "flow")
Loss = Literal["l1", "l2", "huber"]

_SMALLEST_DIVISOR = 1e-5
"""The smallest divisor: keeps divisions by a rate finite at the ends of a schedule."""


class Losses(NamedTuple):
    """Training loss of each image, (B,), and two mean absolute errors without gradient."""

    losses: PerImage
    noise_loss: Scalar
    """mean |noises - predicted noises|."""
    image_loss: Scalar
    """mean |images - predicted images|, of normalised images."""

    @classmethod
    def of(cls, losses: PerImage, prediction: Prediction, truth: Prediction) -> "Losses":
        """The losses of images, (B,), with the errors of their prediction."""
        with torch.no_grad():
            errors = (
                abs(found - wanted).mean() for found, wanted in zip(prediction[:2], truth[:2], strict=True)
            )
            return cls(losses, *errors)


def velocity(prediction: Prediction, noise_rates: Rates, signal_rates: Rates) -> Images:
    """Velocity v = signal_rate * noises - noise_rate * images, the derivative of x_t by its angle."""
    return signal_rates * prediction.noises - noise_rates * prediction.images


def of_velocity(
    velocities: Images, noisy_images: Images, noise_rates: Rates, signal_rates: Rates
) -> Prediction:
    """The noises and images that have this velocity, and mix to the noisy images."""
    return Prediction(
        noise_rates * noisy_images + signal_rates * velocities,
        signal_rates * noisy_images - noise_rates * velocities,
    )


def distance(loss: Loss, left: Images, right: Images) -> PerImage:
    """Loss of each image, (B,): the mean of |d| (l1), d^2 (l2) or Huber's d^2 / 2, |d| - 1/2 above 1."""
    match loss:
        case "l1":
            elements = functional.l1_loss(left, right, reduction="none")
        case "l2":
            elements = functional.mse_loss(left, right, reduction="none")
        case "huber":
            elements = functional.smooth_l1_loss(left, right, reduction="none")
    return elements.flatten(1).mean(1)


@dataclass(frozen=True)
class Objective:
    """Training objective: prediction target, compared quantity, loss and weighting.

    Args:
        predicts: the quantity that the network outputs.
        compares: the quantity that the loss compares. As each is a linear function of the others at a given
            noise level, comparing another one only changes the weight of each noise level (with l1 and l2).
        loss: l1, l2 or huber; see `distance`.
        weighting: of the noise levels; see `weightings`.

    Raises:
        UnnoiseError: for a name that is not one of the above.
    """

    predicts: Target = "noise"
    compares: Target = "noise"
    loss: Loss = "l1"
    weighting: AnyWeighting = Unweighted()

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("predicts", self.predicts, TARGETS),
            ("compares", self.compares, TARGETS),
            ("loss", self.loss, ("l1", "l2", "huber")),
        ):
            require(value in allowed, f"Objective's {name} is one of {', '.join(allowed)}, but got {value!r}.")

    def separate(
        self, output: Images, noisy_images: Images, noise_rates: Rates, signal_rates: Rates
    ) -> Prediction:
        """The noises and images that follow from the network's output, and mix to `noisy_images`.

        All are (B, C, H, W). signal_rates * images + noise_rates * noises = noisy_images, except for rounding.
        """
        match self.predicts:
            case "noise":
                remainder = noisy_images - noise_rates * output
                return Prediction(output, remainder / signal_rates.clamp(min=_SMALLEST_DIVISOR))
            case "image":
                remainder = noisy_images - signal_rates * output
                return Prediction(remainder / noise_rates.clamp(min=_SMALLEST_DIVISOR), output)
            case "velocity":
                return of_velocity(output, noisy_images, noise_rates, signal_rates)
            case "flow":
                whole = signal_rates + noise_rates
                images = (noisy_images - noise_rates * output) / whole
                return Prediction((noisy_images + signal_rates * output) / whole, images)

    def target(self, truth: Prediction, noise_rates: Rates, signal_rates: Rates) -> Images:
        """The training target: the output of a perfect network for the true noises and images, (B, C, H, W)."""
        return _component(self.predicts, truth, noise_rates, signal_rates)

    def compare(
        self, prediction: Prediction, truth: Prediction, noise_rates: Rates, signal_rates: Rates
    ) -> PerImage:
        """Weighted loss of each image, (B,), in float32, between predicted and true noises and images."""
        left, right = (
            _component(self.compares, pair, noise_rates, signal_rates).float() for pair in (prediction, truth)
        )
        losses = distance(self.loss, left, right)
        if isinstance(self.weighting, Unweighted):
            return losses
        snr = (signal_rates / noise_rates.clamp(min=_SMALLEST_DIVISOR)).square()
        return losses * (self.weighting(snr) / self._units(noise_rates, signal_rates, snr)).flatten()

    def _units(self, noise_rates: Rates, signal_rates: Rates, snr: Rates) -> Rates:
        """The squared error of the compared quantity, in units of |x_0 - x_0_hat|^2."""
        match self.compares:
            case "noise":
                return snr.clamp(min=_SMALLEST_DIVISOR**2)
            case "image":
                return snr.new_ones(snr.shape)
            case "velocity":
                return 1 + snr
            case "flow":  # u - u_hat = (alpha + sigma) (v - v_hat)
                return (1 + snr) * (signal_rates + noise_rates).square()


def _component(target: Target, pair: Prediction, noise_rates: Rates, signal_rates: Rates) -> Images:
    match target:
        case "noise":
            return pair.noises
        case "image":
            return pair.images
        case "velocity":
            return velocity(pair, noise_rates, signal_rates)
        case "flow":
            return pair.noises - pair.images
