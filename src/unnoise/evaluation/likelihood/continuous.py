r"""With endless steps the bound is an integral over the log-SNR, the same along every schedule.

    prior + 1/2 \int E |eps - eps_hat|^2 d(log-SNR) + decoder                    (VDM, 2107.00630, eq. 14-18)
          = prior + 1/2 E_t [-(d log-SNR / dt) |eps - eps_hat|^2] + decoder,     t ~ U(0, 1)

where |eps - eps_hat|^2 d(log-SNR) = |x_0 - x_0_hat|^2 d(SNR). Only the ends of a schedule matter for its value.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch

from unnoise.diffusion.posteriors import like
from unnoise.diffusion.schedules import RatePair, Schedule, log_snr, rates_of_log_snr
from unnoise.diffusion.tensors import Denoise, Images, Rates, mix
from unnoise.evaluation.likelihood.bound import (
    Bound,
    Ladder,
    Term,
    Times,
    decoder_nll,
    gather,
    noise_ladder,
    prior_kl,
    strata,
    total,
)
from unnoise.evaluation.likelihood.decoders import Decoder
from unnoise.utils.errors import require

Over = Literal["log_snr", "time"]


def ends(schedule: Schedule, times: Times = 1000) -> Ladder:
    """The first and the last of these times where there are both noise and signal: two levels."""
    ladder = noise_ladder(schedule, times)
    finite = (ladder.rates.signal_rates.flatten() > 0).nonzero().flatten()
    require(
        len(finite) >= 2,
        f"Between two noise levels there is something to integrate, but {times} give fewer: try 1000.",
    )
    both = finite[[0, -1]]
    return Ladder(ladder.times[both], ladder.at(both))


def log_snr_slope(schedule: Schedule, times: Rates) -> Rates:
    """D log-SNR / dt at each time, (B, 1, 1, 1), by automatic differentiation in float64.

    Raises:
        UnnoiseError: for a schedule that has no slope, such as a table.
    """
    with torch.enable_grad():
        moving = times.detach().double().requires_grad_()
        values = log_snr(*schedule(moving))
        require(
            values.requires_grad,
            "A table of noise levels has no slope in time: integrate over the log-SNR (over='log_snr').",
        )
        (slope,) = torch.autograd.grad(values.sum(), moving)
    return slope


def continuous_terms(
    denoise: Denoise,
    images: Images,
    schedule: Schedule,
    num_terms: int = 64,
    *,
    decoder: Decoder,
    over: Over = "log_snr",
    times: Times = 1000,
    draw_noises: Callable[[], Images] | None = None,
    draw_uniforms: Callable[[], Rates] | None = None,
) -> Iterator[Term]:
    """The terms of the continuous-time bound: prior, `num_terms` parts of the integral, decoder.

    The integral is estimated without bias from levels drawn for each image on its own, one in each of
    `num_terms` equal slices.

    Args:
        denoise, images, decoder, draw_noises, draw_uniforms: as for `bound_terms`.
        schedule: only its ends matter, and where over="time" spends its terms.
        over: "log_snr" draws levels uniform in the log-SNR: the time in which every level counts the same, and
            so the importance sampling of times. "time" draws them uniform in time.
        times: of which the first and the last with both noise and signal are the ends.

    Yields:
        `Term(kind, nats)`; without gradient.
    """
    edge, count = ends(schedule, times), len(images)
    first, last = (RatePair(*(rates[k : k + 1] for rates in edge.rates)) for k in (0, 1))
    draw = draw_noises or (lambda: torch.randn_like(images))
    with torch.no_grad():
        prior = prior_kl(images, last)
    yield Term("prior", prior)
    for uniforms in strata(num_terms, count, draw_uniforms):
        rates, weights = _level(uniforms, schedule, edge, over)
        with torch.no_grad():
            noise_rates, signal_rates = (like(values, images) for values in rates)
            noises = draw()
            noisy_images = mix(images, noises, noise_rates, signal_rates)
            seen = denoise(noisy_images, noise_rates, signal_rates).noises
            cost = weights.flatten() * total((noises - seen).square()) / (2 * num_terms)
        yield Term("steps", cost)
    with torch.no_grad():
        decoded = decoder_nll(denoise, images, draw(), first, decoder)
    yield Term("decoder", decoded)


def _level(uniforms: Rates, schedule: Schedule, edge: Ladder, over: Over) -> tuple[RatePair, Rates]:
    """The rates, and how much log-SNR the level stands for: both (B, 1, 1, 1)."""
    high, low = log_snr(*edge.rates).flatten().tolist()
    if over == "log_snr":
        return rates_of_log_snr(high + uniforms * (low - high)), torch.full_like(uniforms, high - low)
    start, end = edge.times.flatten().tolist()
    times = start + uniforms * (end - start)
    return RatePair(*schedule(times)), -log_snr_slope(schedule, times) * (end - start)


def continuous_bound(
    denoise: Denoise,
    images: Images,
    schedule: Schedule,
    num_terms: int = 64,
    *,
    decoder: Decoder,
    over: Over = "log_snr",
    times: Times = 1000,
    draw_noises: Callable[[], Images] | None = None,
    draw_uniforms: Callable[[], Rates] | None = None,
) -> Bound:
    """The sum of `continuous_terms`, which see, in bits per dimension."""
    terms = continuous_terms(
        denoise,
        images,
        schedule,
        num_terms,
        decoder=decoder,
        over=over,
        times=times,
        draw_noises=draw_noises,
        draw_uniforms=draw_uniforms,
    )
    return gather(terms, images[0].numel())
