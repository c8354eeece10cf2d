r"""What was measured of a picture goes into every prediction, as much as the prediction is unsure.

For y = A x_0 + noise of N(0, measured_std^2), and x_0 given x_t of mean m and covariance V (moment matching
posterior sampling, MMPS, 2405.13712, eq. 13-16):

    E[x_0 | x_t, y] = m + V A^T (measured_std^2 + A V A^T)^{-1} (y - A m)
    m = x_0(x_t),      V = sigma^2 / alpha  dm / dx_t         (Tweedie, and its second order)

Exact for Gaussian data. V is never written down: V u is one backward pass through `denoise`, and the system is
solved by a few steps of conjugate residuals.
"""

from collections.abc import Callable

import torch

from unnoise.diffusion.editing.operators import Measured, Operator
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates
from unnoise.utils.errors import require

_LEAST_SIGNAL = 1e-4
"""Below it sigma^2 / alpha would be endless; the denoiser knows next to nothing there, whatever it is told."""


def conditioned(
    denoise: Denoise, operator: Operator, measured: Measured, *, measured_std: float = 0.01, num_solves: int = 3
) -> Denoise:
    """A denoiser that knows what was measured: any sampler then draws pictures that agree with it.

    Args:
        denoise: separates noisy images into noises and images; it is differentiated.
        operator: A.
        measured: y, of normalised images.
        measured_std: how far y may be off, in normalised units.
        num_solves: steps of conjugate residuals, each with one backward pass through `denoise`. As many as
            A V A^T has different eigenvalues are exact.

    Raises:
        UnnoiseError: for a measured_std that is not above 0, or num_solves < 1.
    """
    require(
        0 < measured_std < torch.inf,
        f"What was measured is never exact: measured_std is above 0, but got {measured_std:g}: try 0.01.",
    )
    require(num_solves >= 1, f"At least 1 solve is needed, but got {num_solves}: try 3.")

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        # A sampler may have switched gradients off, or inference on: its tensors can't be differentiated.
        with torch.inference_mode(False), torch.enable_grad():
            place = noisy_images.detach().clone().requires_grad_()
            noise, signal = noise_rates.clone(), signal_rates.clone()
            prediction = denoise(place, noise, signal)
            scale = noise.square() / signal.clamp(min=_LEAST_SIGNAL)
            mean = prediction.images.detach()

            def covariance(images: Images) -> Images:
                (gradient,) = torch.autograd.grad(prediction.images, place, images, retain_graph=True)
                return scale * gradient

            def system(values: Measured) -> Measured:
                return measured_std**2 * values + operator(covariance(operator.adjoint(values)))

            solved = conjugate_residuals(system, measured.to(mean) - operator(mean), num_solves)
            images = (mean + covariance(operator.adjoint(solved))).detach()
            noises = (noisy_images - signal * images) / noise.clamp(min=_LEAST_SIGNAL)
        return Prediction(noises, images)

    return wrapped


def conjugate_residuals(system: Callable[[Measured], Measured], wanted: Measured, num_solves: int) -> Measured:
    """Solves system(u) = wanted for a linear, positive system, each image for itself, from u = 0.

    Generalised conjugate residuals (Eisenstat, Elman and Schultz 1983, GCR): among all combinations of what
    was tried, the one that misses least. Unlike conjugate gradients it needs no symmetry, which the derivative
    of a network has only nearly, and without which those run away. An image whose system is not positive on
    the way stays where it is.
    """
    solution, residual = torch.zeros_like(wanted), wanted
    tried: list[tuple[Measured, Measured]] = []
    for _ in range(num_solves):
        direction, turned = residual, system(residual)
        positive = _dot(direction, turned) > 0
        for old_direction, old_turned in tried:
            share = _ratio(_dot(turned, old_turned), _dot(old_turned, old_turned))
            direction, turned = direction - share * old_direction, turned - share * old_turned
        length = torch.where(positive, _ratio(_dot(residual, turned), _dot(turned, turned)), 0)
        solution, residual = solution + length * direction, residual - length * turned
        tried.append((direction, turned))
    return solution


def _ratio(above: Rates, below: Rates) -> Rates:
    """Their quotient, and 0 where there is nothing below."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1), 0)


def _dot(left: Measured, right: Measured) -> Rates:
    return (left * right).sum(dim=(1, 2, 3), keepdim=True)
