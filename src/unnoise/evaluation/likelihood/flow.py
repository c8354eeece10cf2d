r"""The probability flow carries an image to noise without chance, and counts how much room it takes on the way.

On the circle signal = cos(phi), noise = sin(phi), the ODE of Score SDE (2011.13456, eq. 13 and 39) is

    dx / dphi = v(x, phi),      log p_0(x_0) = log N(x_1; 0, 1) + \int tr(dv / dx) dphi

with v the velocity that `denoise` sees. It is integrated over the log-SNR l, where no scale of the data is
passed over too fast: dphi / dl = -signal noise / 2.
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
from unnoise.evaluation.likelihood.bound import Times, total
from unnoise.evaluation.likelihood.continuous import ends
from unnoise.utils.errors import require


class Flow(NamedTuple):
    """Where the images are, (B, C, H, W), and log p of where they came from, (B,) in nats.

    The log-likelihood is right at the end, where the noisy images are N(0, 1).
    """

    noisy_images: Images
    log_likelihoods: Nats


def probability_flow(
    denoise: Denoise,
    images: Images,
    schedule: Schedule,
    num_steps: int = 50,
    *,
    num_probes: int | None = 1,
    times: Times = 1000,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Flow]:
    r"""From images to noise in steps of the classical Runge-Kutta method of order 4, equal in log-SNR.

    Where the schedule starts with some noise, x_0 is signal times the image; the density is that of the images
    with this noise on them. The trace is Hutchinson's estimate z^T (dv / dx) z with z = +1 or -1 (Rademacher),
    the same z all the way: unbiased, and exact for a diagonal Jacobian.

    Args:
        denoise: separates noisy images into noises and images, and can be differentiated.
        images: (B, C, H, W), normalised numbers with a density (see `dequantize` for bytes).
        schedule: only its ends matter.
        num_steps: each has 4 calls of `denoise`.
        num_probes: how many z are averaged; None computes the exact trace, one dimension after the other.
        times: of which the first and the last with both noise and signal are the ends.
        draw_noises: returns numbers (B, C, H, W) of which z takes the signs.

    Yields:
        `Flow`, num_steps times.

    Raises:
        UnnoiseError: for num_steps or num_probes below 1.
    """
    require(num_steps >= 1, f"The flow takes at least 1 step, but got {num_steps}: try 50.")
    edge = ends(schedule, times)
    high, low = log_snr(*edge.rates).flatten().tolist()
    draw = draw_noises or (lambda: torch.randn_like(images))
    probes = _probes(images, num_probes, draw)
    signal_rate = float(edge.rates.signal_rates[0])
    noisy_images = signal_rate * images.detach()
    volume = torch.full((len(images),), images[0].numel() * math.log(signal_rate), dtype=torch.float64)
    step = (low - high) / num_steps
    for k in range(num_steps):
        moved, grown = _runge_kutta(denoise, noisy_images, high + k * step, step, probes)
        noisy_images, volume = noisy_images + moved, volume + grown
        prior = total(
            gaussian_log_density(noisy_images, torch.zeros_like(noisy_images), noisy_images.new_ones(1))
        )
        yield Flow(noisy_images, prior + volume)


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
    """Log p(images) in nats, (B,), in the units of the images: the end of `probability_flow`, which see."""
    for state in probability_flow(
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
    """The vectors that are sent through the Jacobian: their forms z^T J z add up to its trace."""
    if num_probes is None:
        basis = torch.eye(images[0].numel(), dtype=images.dtype, device=images.device)
        return [one.view(1, *images.shape[1:]).expand_as(images) for one in basis]
    require(num_probes >= 1, f"The trace is estimated from at least 1 probe, but got {num_probes}.")
    signs = [torch.where(draw() >= 0, 1.0, -1.0).to(images.dtype) for _ in range(num_probes)]
    return [sign / math.sqrt(num_probes) for sign in signs]


def _runge_kutta(
    denoise: Denoise, noisy_images: Images, start: float, step: float, probes: list[Tensor]
) -> tuple[Images, Nats]:
    """How far one step moves the images, and how much their log-volume grows."""
    first = _slope(denoise, noisy_images, start, probes)
    second = _slope(denoise, noisy_images + step / 2 * first[0], start + step / 2, probes)
    third = _slope(denoise, noisy_images + step / 2 * second[0], start + step / 2, probes)
    fourth = _slope(denoise, noisy_images + step * third[0], start + step, probes)
    moved, grown = (
        step / 6 * (a + 2 * b + 2 * c + d) for a, b, c, d in zip(first, second, third, fourth, strict=True)
    )
    return moved, grown


def _slope(denoise: Denoise, noisy_images: Images, clarity: float, probes: list[Tensor]) -> tuple[Images, Nats]:
    """Dx / dl and its divergence, at the log-SNR l."""
    column = torch.full((len(noisy_images), 1, 1, 1), clarity, dtype=torch.float64)
    exact = rates_of_log_snr(column)
    noise_rates, signal_rates = (like(rates, noisy_images) for rates in exact)
    with torch.enable_grad():
        moving = noisy_images.detach().requires_grad_()
        direction = velocity(denoise(moving, noise_rates, signal_rates), noise_rates, signal_rates)
        trace = torch.zeros(len(noisy_images), dtype=torch.float64)
        for place, probe in enumerate(probes):
            kept = place + 1 < len(probes)
            (seen,) = torch.autograd.grad(direction, moving, probe, retain_graph=kept)
            trace += total(seen * probe)
    turn = -exact.noise_rates * exact.signal_rates / 2
    return like(turn, noisy_images) * direction.detach(), turn.flatten() * trace
