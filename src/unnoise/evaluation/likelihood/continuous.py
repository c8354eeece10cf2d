r"""Variational bound in continuous time: an integral over the log-SNR (VDM, 2107.00630).

    prior + 1/2 \int E |eps - eps_hat|^2 d(log-SNR) + decoder                    (VDM, 2107.00630, eq. 14-18)
          = prior + 1/2 E_t [-(d log-SNR / dt) |eps - eps_hat|^2] + decoder,     t ~ U(0, 1)

where |eps - eps_hat|^2 d(log-SNR) = |x_0 - x_0_hat|^2 d(SNR). It is the limit of the discrete bound for
infinitely many steps, and depends on the two ends of the schedule only.
"""

from collections.abc import Callable, Iterator
from typing import Literal

import torch

from unnoise.diffusion.posteriors import like
from unnoise.diffusion.schedules import RatePair, Schedule, log_snr, rates_of_log_snr
from unnoise.diffusion.tensors import Denoise, Images, Rates, mix
from unnoise.evaluation.likelihood.bound import (
    Bound,
    NoiseChain,
    Term,
    Times,
    decoder_nll,
    noise_chain,
    prior_kl,
    stratified_uniforms,
    sum_per_image,
    sum_terms,
)
from unnoise.evaluation.likelihood.decoders import Decoder
from unnoise.utils.errors import require

Over = Literal["log_snr", "time"]
"""Variable of integration."""


def integration_ends(schedule: Schedule, times: Times = 1000) -> NoiseChain:
    """First and last noise level at these times with both noise and signal."""
    chain = noise_chain(schedule, times)
    finite = (chain.rates.signal_rates.flatten() > 0).nonzero().flatten()
    require(
        len(finite) >= 2,
        f"The integral needs two levels with both noise and signal, but got times {times}: try 1000.",
    )
    both = finite[[0, -1]]
    return NoiseChain(chain.times[both], chain.at(both))


def log_snr_slope(schedule: Schedule, times: Rates) -> Rates:
    """Derivative of the log-SNR in time, (B, 1, 1, 1), by automatic differentiation in float64.

    Raises:
        UnnoiseError: for a discrete schedule.
    """
    with torch.enable_grad():
        inputs = times.detach().double().requires_grad_()
        values = log_snr(*schedule(inputs))
        require(
            values.requires_grad,
            "A discrete schedule has no derivative in time: integrate over the log-SNR (over='log_snr').",
        )
        (slope,) = torch.autograd.grad(values.sum(), inputs)
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
    """Terms of the continuous-time bound, one at a time: prior, `num_terms` parts of the integral, decoder.

    The estimate of the integral is unbiased; its noise levels are drawn for each image separately, one in each
    of `num_terms` equal slices.

    Args:
        denoise, images, decoder, draw_noises, draw_uniforms: as for `bound_terms`.
        schedule: sets the two ends, and for over="time" the distribution of noise levels.
        over: "log_snr" draws levels uniformly in the log-SNR, where all have the same weight; "time" draws them
            uniformly in time, with the derivative of the log-SNR as weight.
        times: the first and last of these with both noise and signal are the ends.

    Yields:
        `Term(kind, nats)`; without gradient.
    """
    ends, count = integration_ends(schedule, times), len(images)
    first, last = (RatePair(*(rates[k : k + 1] for rates in ends.rates)) for k in (0, 1))
    draw = draw_noises or (lambda: torch.randn_like(images))
    with torch.no_grad():
        prior = prior_kl(images, last)
    yield Term("prior", prior)
    for uniforms in stratified_uniforms(num_terms, count, draw_uniforms):
        rates, weights = _level(uniforms, schedule, ends, over)
        with torch.no_grad():
            noise_rates, signal_rates = (like(values, images) for values in rates)
            noises = draw()
            noisy_images = mix(images, noises, noise_rates, signal_rates)
            predicted = denoise(noisy_images, noise_rates, signal_rates).noises
            cost = weights.flatten() * sum_per_image((noises - predicted).square()) / (2 * num_terms)
        yield Term("steps", cost)
    with torch.no_grad():
        decoded = decoder_nll(denoise, images, draw(), first, decoder)
    yield Term("decoder", decoded)


def _level(uniforms: Rates, schedule: Schedule, ends: NoiseChain, over: Over) -> tuple[RatePair, Rates]:
    """Rates, and weights of the noise levels in the integral: both (B, 1, 1, 1)."""
    high, low = log_snr(*ends.rates).flatten().tolist()
    if over == "log_snr":
        return rates_of_log_snr(high + uniforms * (low - high)), torch.full_like(uniforms, high - low)
    start, end = ends.times.flatten().tolist()
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
    """Continuous-time bound in bits per dimension: the sum of `continuous_terms`, with the same arguments."""
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
    return sum_terms(terms, images[0].numel())
