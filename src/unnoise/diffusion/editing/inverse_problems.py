r"""Moment matching posterior sampling (MMPS) for linear inverse problems (Rozet et al., 2405.13712).

For a measurement y = A x_0 + noise, the noise N(0, measured_std^2), and x_0 given x_t with mean m and
covariance V (eq. 13-16):

    E[x_0 | x_t, y] = m + V A^T (measured_std^2 + A V A^T)^{-1} (y - A m)
    m = x_0(x_t),      V = sigma^2 / alpha  dm / dx_t         (Tweedie, and its second order)

Exact for Gaussian data. V is not computed as a matrix: V u is one backward pass through `denoise`, and the
linear system is solved by a few steps of conjugate residuals.
"""

from collections.abc import Callable

import torch

from unnoise.diffusion.editing.operators import Measured, Operator
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates
from unnoise.utils.errors import require

_LEAST_SIGNAL = 1e-4
"""The smallest divisor alpha in sigma^2 / alpha. Below it x_t holds almost no information on x_0."""


def conditioned(
    denoise: Denoise, operator: Operator, measured: Measured, *, measured_std: float = 0.01, num_solves: int = 3
) -> Denoise:
    """The denoiser given a measurement y: any sampler with it draws images that agree with y.

    Args:
        denoise: separates noisy images into noises and images; it is differentiated.
        operator: A.
        measured: y, of normalised images.
        measured_std: the standard deviation of the measurement's noise, in normalised units.
        num_solves: steps of conjugate residuals, each with one backward pass through `denoise`. The solution is
            exact after as many steps as A V A^T has distinct eigenvalues.

    Raises:
        UnnoiseError: for a measured_std that is not above 0, or num_solves < 1.
    """
    require(
        0 < measured_std < torch.inf,
        f"measured_std must be above 0 and finite, but got {measured_std:g}: try 0.01.",
    )
    require(num_solves >= 1, f"num_solves must be at least 1, but got {num_solves}: try 3.")

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        # Gradients are needed here even if the caller has switched them off, or is in inference mode.
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
    """Generalised conjugate residuals (GCR; Eisenstat, Elman and Schultz 1983) for system(u) = wanted.

    It starts from u = 0. Each image is solved separately. Each step has the smallest residual in the space of
    all directions so far. Unlike conjugate gradients, GCR does not need a symmetric system: the derivative of a
    network is only nearly symmetric, and conjugate gradients would diverge. Where the system is not positive
    definite along a direction, the solution of that image is not moved.

    Args:
        system: a linear, positive definite map, one for each image: (B, C, h, w) -> (B, C, h, w).
        wanted: the right-hand side, (B, C, h, w).
        num_solves: the number of steps; each calls `system` once.
    """
    solution, residual = torch.zeros_like(wanted), wanted
    past: list[tuple[Measured, Measured]] = []
    for _ in range(num_solves):
        direction, mapped = residual, system(residual)
        positive = _dot(direction, mapped) > 0
        for past_direction, past_mapped in past:
            share = _ratio(_dot(mapped, past_mapped), _dot(past_mapped, past_mapped))
            direction, mapped = direction - share * past_direction, mapped - share * past_mapped
        length = torch.where(positive, _ratio(_dot(residual, mapped), _dot(mapped, mapped)), 0)
        solution, residual = solution + length * direction, residual - length * mapped
        past.append((direction, mapped))
    return solution


def _ratio(above: Rates, below: Rates) -> Rates:
    """Above / below, and 0 where below is not above 0."""
    return torch.where(below > 0, above / torch.where(below > 0, below, 1), 0)


def _dot(left: Measured, right: Measured) -> Rates:
    return (left * right).sum(dim=(1, 2, 3), keepdim=True)
