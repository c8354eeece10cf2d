r"""Likelihood of the probability-flow ODE (Score SDE, 2011.13456, eq. 13 and 39).

With signal = cos(phi) and noise = sin(phi) the ODE and the instantaneous change of variables are

    dx / dphi = v(x, phi),      log p_0(x_0) = log N(x_1; 0, 1) + \int tr(dv / dx) dphi

with v the velocity that `denoise` predicts. They are integrated over the log-SNR l, with
dphi / dl = -signal noise / 2, so that all scales of the data are resolved equally well.
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from unnoise.diffusion.objectives import velocity
from unnoise.diffusion.posteriors import Nats, gaussian_log_density, like
from unnoise.diffusion.schedules import Schedule, log_snr, rates_of_log_snr
from unnoise.diffusion.tensors import Denoise, Images
from unnoise.evaluation.likelihood.bound import Times, sum_per_image
from unnoise.evaluation.likelihood.continuous import integration_ends
from unnoise.utils.errors import require


class FlowState(NamedTuple):
    """State of the ODE: noisy images, (B, C, H, W), and the log-likelihood of the clean ones, (B,) in nats.

    The log-likelihood is valid after the last step, where the noisy images are N(0, 1).
    """

    noisy_images: Images
    log_likelihoods: Nats


def flow_states(
    denoise: Denoise,
    images: Images,
    schedule: Schedule,
    num_steps: int = 50,
    *,
    num_probes: int | None = 1,
    times: Times = 1000,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[FlowState]:
    r"""States of the probability-flow ODE from images to noise.

    The solver is the Runge-Kutta method of order 4, with equal steps in the log-SNR.

    If the schedule starts with some noise, x_0 is signal times the image, and the density is that of images
    with this noise. The trace is Hutchinson's estimate z^T (dv / dx) z with z = +1 or -1 (Rademacher), with the
    same z in all steps: unbiased, and exact for a diagonal Jacobian.

    Args:
        denoise: separates noisy images into noises and images; must be differentiable.
        images: (B, C, H, W), normalised values with a density (see `dequantize` for bytes).
        schedule: sets the two ends.
        num_steps: number of steps, of 4 calls of `denoise` each.
        num_probes: number of z that are averaged; None computes the exact trace, one dimension at a time.
        times: the first and last of these with both noise and signal are the ends.
        draw_noises: returns numbers (B, C, H, W); their signs are z.

    Yields:
        `FlowState` after each step.

    Raises:
        UnnoiseError: for num_steps or num_probes below 1.
    """
    require(num_steps >= 1, f"The probability flow needs at least 1 step, but got {num_steps}: try 50.")
    ends = integration_ends(schedule, times)
    high, low = log_snr(*ends.rates).flatten().tolist()
    draw = draw_noises or (lambda: torch.randn_like(images))
    probes = _probes(images, num_probes, draw)
    signal_rate = float(ends.rates.signal_rates[0])
    noisy_images = signal_rate * images.detach()
    volume = torch.full((len(images),), images[0].numel() * math.log(signal_rate), dtype=torch.float64)
    step = (low - high) / num_steps
    for k in range(num_steps):
        change, volume_change = _runge_kutta(denoise, noisy_images, high + k * step, step, probes)
        noisy_images, volume = noisy_images + change, volume + volume_change
        prior = sum_per_image(
            gaussian_log_density(noisy_images, torch.zeros_like(noisy_images), noisy_images.new_ones(1))
        )
        yield FlowState(noisy_images, prior + volume)


def flow_log_likelihood(
    denoise: Denoise,
    images: Images,
    schedule: Schedule,
    num_steps: int = 50,
    *,
    num_probes: int | None = 1,
    times: Times = 1000,
    draw_noises: Callable[[], Images] | None = None,
) -> Nats:
    """Log-likelihood of the probability flow in nats, (B,); the arguments are those of `flow_states`."""
    for state in flow_states(
        denoise,
        images,
        schedule,
        num_steps,
        num_probes=num_probes,
        times=times,
        draw_noises=draw_noises,
    ):
        result = state.log_likelihoods
    return result


def _probes(images: Images, num_probes: int | None, draw: Callable[[], Images]) -> list[Tensor]:
    """Vectors z whose z^T J z add up to (an estimate of) the trace of the Jacobian J."""
    if num_probes is None:
        basis = torch.eye(images[0].numel(), dtype=images.dtype, device=images.device)
        return [one.view(1, *images.shape[1:]).expand_as(images) for one in basis]
    require(num_probes >= 1, f"The trace is estimated from at least 1 probe, but got {num_probes}.")
    signs = [torch.where(draw() >= 0, 1.0, -1.0).to(images.dtype) for _ in range(num_probes)]
    return [sign / math.sqrt(num_probes) for sign in signs]


def _runge_kutta(
    denoise: Denoise, noisy_images: Images, start: float, step: float, probes: list[Tensor]
) -> tuple[Images, Nats]:
    """Change of the images and of their log-volume in one step."""
    first = _slope(denoise, noisy_images, start, probes)
    second = _slope(denoise, noisy_images + step / 2 * first[0], start + step / 2, probes)
    third = _slope(denoise, noisy_images + step / 2 * second[0], start + step / 2, probes)
    fourth = _slope(denoise, noisy_images + step * third[0], start + step, probes)
    change, volume_change = (
        step / 6 * (a + 2 * b + 2 * c + d) for a, b, c, d in zip(first, second, third, fourth, strict=True)
    )
    return change, volume_change


def _slope(
    denoise: Denoise, noisy_images: Images, log_snr_value: float, probes: list[Tensor]
) -> tuple[Images, Nats]:
    """The derivative dx / dl and its divergence at the log-SNR l."""
    column = torch.full((len(noisy_images), 1, 1, 1), log_snr_value, dtype=torch.float64)
    exact = rates_of_log_snr(column)
    noise_rates, signal_rates = (like(rates, noisy_images) for rates in exact)
    with torch.enable_grad():
        inputs = noisy_images.detach().requires_grad_()
        direction = velocity(denoise(inputs, noise_rates, signal_rates), noise_rates, signal_rates)
        trace = torch.zeros(len(noisy_images), dtype=torch.float64)
        for place, probe in enumerate(probes):
            kept = place + 1 < len(probes)
            (product,) = torch.autograd.grad(direction, inputs, probe, retain_graph=kept)
            trace += sum_per_image(product * probe)
    slope = -exact.noise_rates * exact.signal_rates / 2
    return like(slope, noisy_images) * direction.detach(), slope.flatten() * trace
