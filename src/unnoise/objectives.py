r"""An objective says what the network predicts and what the loss compares; both convert to `Prediction`.

    noise:     x_0 = (x_t - sigma out) / alpha                           (DDPM, 2006.11239, eq. 9)
    image:     eps = (x_t - alpha out) / sigma
    velocity:  v = alpha eps - sigma x_0,   x_0 = alpha x_t - sigma out,   eps = sigma x_t + alpha out
                                                  (Progressive Distillation, 2202.00512, section 4)

Only the velocity divides by nothing, so only it is defined at both ends of every schedule.
"""

from dataclasses import dataclass
from typing import Literal

from torch.nn import functional

from unnoise.errors import require
from unnoise.tensors import Images, Prediction, Rates, Scalar

Target = Literal["noise", "image", "velocity"]
Loss = Literal["l1", "l2", "huber"]

_SMALLEST_DIVISOR = 1e-4
"""Keeps a division by a rate finite at the very ends; above it the conversions are exact."""


def velocity(prediction: Prediction, noise_rates: Rates, signal_rates: Rates) -> Images:
    """V = signal_rate * noise - noise_rate * image: the direction in which x_t turns as its angle grows."""
    return signal_rates * prediction.noises - noise_rates * prediction.images


def distance(loss: Loss, left: Images, right: Images) -> Scalar:
    """The mean over all elements of |d| (l1), d^2 (l2) or Huber's d^2 / 2 up to |d| = 1, then |d| - 1 / 2."""
    match loss:
        case "l1":
            return functional.l1_loss(left, right)
        case "l2":
            return functional.mse_loss(left, right)
        case "huber":
            return functional.smooth_l1_loss(left, right)


@dataclass(frozen=True)
class Objective:
    """What the network `predicts`, what the loss `compares`, and by which `loss`: any with any.

    The same network output can be judged as noise, as image or as velocity, since each is a linear
    function of the others at a given noise level: comparing another one only reweights the noise levels.

    Raises:
        UnnoiseError: for a name that is not one of the above.
    """

    predicts: Target = "noise"
    compares: Target = "noise"
    loss: Loss = "l1"

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("predicts", self.predicts, ("noise", "image", "velocity")),
            ("compares", self.compares, ("noise", "image", "velocity")),
            ("loss", self.loss, ("l1", "l2", "huber")),
        ):
            require(value in allowed, f"Objective's {name} is one of {', '.join(allowed)}, but got {value!r}.")

    def separate(
        self, output: Images, noisy_images: Images, noise_rates: Rates, signal_rates: Rates
    ) -> Prediction:
        """Turns the network's output into the noises and images that mix to `noisy_images`.

        Both returned tensors are (B, C, H, W), and signal_rates * images + noise_rates * noises gives
        noisy_images back to rounding.
        """
        match self.predicts:
            case "noise":
                remainder = noisy_images - noise_rates * output
                return Prediction(output, remainder / signal_rates.clamp(min=_SMALLEST_DIVISOR))
            case "image":
                remainder = noisy_images - signal_rates * output
                return Prediction(remainder / noise_rates.clamp(min=_SMALLEST_DIVISOR), output)
            case "velocity":
                return Prediction(
                    noise_rates * noisy_images + signal_rates * output,
                    signal_rates * noisy_images - noise_rates * output,
                )

    def target(self, truth: Prediction, noise_rates: Rates, signal_rates: Rates) -> Images:
        """What a perfect network would output for the true noises and images."""
        return _component(self.predicts, truth, noise_rates, signal_rates)

    def compare(
        self, prediction: Prediction, truth: Prediction, noise_rates: Rates, signal_rates: Rates
    ) -> Scalar:
        """The loss between what was predicted and what was mixed, a scalar in float32."""
        left, right = (
            _component(self.compares, pair, noise_rates, signal_rates).float() for pair in (prediction, truth)
        )
        return distance(self.loss, left, right)


def _component(target: Target, pair: Prediction, noise_rates: Rates, signal_rates: Rates) -> Images:
    match target:
        case "noise":
            return pair.noises
        case "image":
            return pair.images
        case "velocity":
            return velocity(pair, noise_rates, signal_rates)
