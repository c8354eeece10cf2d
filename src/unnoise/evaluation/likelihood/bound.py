r"""Variational bound of a discrete chain of noise levels (DDPM, 2006.11239, eq. 5).

    -log p(x_0) <= KL(q(x_T | x_0) || N(0, 1))  +  sum_{t > s} KL(q(x_s | x_t, x_0) || p(x_s | x_t))
                   - log p(x_0 | x_1)

The three parts are called prior, steps and decoder. The model's p(x_s | x_t) is the posterior of the image that
`denoise` predicts from x_t. Its variance can be chosen; with the posterior's own variance, the KL of a step is

    (SNR_s - SNR_t) |x_0 - x_0_hat|^2 / 2                                           (VDM, 2107.00630, eq. 13)

In DDPM's own symbols (alpha = 1 - beta, and sigma^2 for that variance) it is the simple loss times a weight,

    beta^2 / (2 sigma^2 alpha (1 - alpha_bar)) |eps - eps_hat|^2                       (2006.11239, eq. 12)
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

from unnoise.diffusion.posteriors import Nats, PosteriorWeights, gaussian_kl, like, posterior_weights
from unnoise.diffusion.schedules import RatePair, Schedule, log_snr
from unnoise.diffusion.tensors import Denoise, Images, Prediction, Rates, mix
from unnoise.evaluation.likelihood.decoders import Decoder, bits_per_dim
from unnoise.utils.errors import require

LearnedVariance: TypeAlias = Callable[[Prediction, PosteriorWeights], Tensor]
"""The log-variance of p(x_s | x_t) from the prediction and the posterior's two variances; broadcastable."""

Variance: TypeAlias = Literal["small", "large"] | LearnedVariance

Times: TypeAlias = int | Sequence[float]
"""Number of steps K, for the times 0, 1/K ... 1, or the times themselves."""


class Term(NamedTuple):
    """Term of a bound in nats, (B,); the terms of an iterator add up to the bound, or to an estimate of it."""

    kind: Literal["prior", "steps", "decoder"]
    nats: Nats


class Bound(NamedTuple):
    """Upper bound on the negative log-likelihood in bits per dimension; each part is (B,) in float64."""

    prior: Nats
    steps: Nats
    decoder: Nats

    @property
    def total(self) -> Nats:
        """The sum of prior, steps and decoder."""
        return self.prior + self.steps + self.decoder


class NoiseChain(NamedTuple):
    """Noise levels of a discrete chain, least noise first, in float64, each (levels, 1, 1, 1)."""

    times: Rates
    rates: RatePair

    def at(self, indices: Tensor) -> RatePair:
        """Rates at these indices, (B,) -> (B, 1, 1, 1)."""
        return RatePair(*(rates[indices] for rates in self.rates))


def noise_chain(schedule: Schedule, times: Times = 1000) -> NoiseChain:
    """Chain of the distinct noise levels at these times.

    Times without noise are left out: there the image itself is left, which is the part of the decoder. A
    discrete schedule with fewer levels than times gives each of its levels once.

    Raises:
        UnnoiseError: for times outside [0, 1], or none with noise.
    """
    even = isinstance(times, int)
    values = [k / max(times, 1) for k in range(times + 1)] if isinstance(times, int) else sorted(times)
    require(
        len(values) > even and values[0] >= 0 and values[-1] <= 1,
        f"The variational bound needs at least 1 step, and times from 0 to 1, but got {times}: try 1000 steps.",
    )
    column = torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)
    rates = RatePair(*(values.double() for values in schedule(column)))
    log_snrs = log_snr(*rates).flatten()
    kept = rates.noise_rates.flatten() > 0
    kept[1:] &= log_snrs.diff() < 0
    require(bool(kept.any()), f"The variational bound needs a time with noise, but got {times}: try 1000.")
    return NoiseChain(column[kept], RatePair(rates.noise_rates[kept], rates.signal_rates[kept]))


def step_kl(
    denoise: Denoise,
    images: Images,
    noises: Images,
    now: RatePair,
    before: RatePair,
    variance: Variance = "large",
) -> Nats:
    r"""KL divergence of one step, KL(q(x_s | x_t, x_0) || p(x_s | x_t)), in nats, (B,).

        m = w (x_0 - x_0_hat),   w = alpha_s sigma_ts^2 / sigma_t^2,   KL(N(m, small) || N(0, variance))

    Args:
        denoise: separates noisy images into noises and images.
        images, noises: x_0 and eps, (B, C, H, W), which are mixed to x_t.
        now, before: the rates of t and s, (B, 1, 1, 1), in float64.
        variance: variance of p(x_s | x_t): that of the posterior (small), of the forward step (large), or a
            function.
    """
    noise_rates, signal_rates = (like(rates, images) for rates in now)
    noisy_images = mix(images, noises, noise_rates, signal_rates)
    prediction = denoise(noisy_images, noise_rates, signal_rates)
    weights = posterior_weights(now, before)
    small = like(weights.small_variance.log(), images)
    match variance:
        case "small":
            chosen = small
        case "large":
            chosen = like(weights.large_variance.log(), images)
        case learned:
            chosen = learned(prediction, weights)
    # The difference of the means is computed directly, because x_t, by far the largest part of both, cancels.
    means = like(weights.images, images) * (images - prediction.images)
    return sum_per_image(gaussian_kl(means, small, torch.zeros_like(means), chosen))


def sum_per_image(values: Tensor) -> Nats:
    """Sum over each image, (B, ...) -> (B,), in float64 on the CPU."""
    return values.flatten(1).sum(1).cpu().double()


def prior_kl(images: Images, last: RatePair) -> Nats:
    """KL divergence of the last noise level from pure noise, KL(q(x_T | x_0) || N(0, 1)), in nats, (B,)."""
    noise_rates, signal_rates = (like(rates, images) for rates in last)
    zeros = torch.zeros_like(images)
    return sum_per_image(gaussian_kl(signal_rates * images, 2 * noise_rates.log(), zeros, zeros))


def decoder_nll(denoise: Denoise, images: Images, noises: Images, first: RatePair, decoder: Decoder) -> Nats:
    """Negative log-likelihood of the decoder, -log p(x_0 | x at the smallest noise level), in nats, (B,)."""
    noise_rates, signal_rates = (like(rates, images).expand(len(images), 1, 1, 1) for rates in first)
    noisy_images = mix(images, noises, noise_rates, signal_rates)
    return -decoder(images, denoise(noisy_images, noise_rates, signal_rates).images, noise_rates)


def bound_terms(
    denoise: Denoise,
    images: Images,
    schedule: Schedule,
    times: Times = 1000,
    *,
    decoder: Decoder,
    variance: Variance = "large",
    num_terms: int | None = None,
    draw_noises: Callable[[], Images] | None = None,
    draw_uniforms: Callable[[], Rates] | None = None,
) -> Iterator[Term]:
    """Terms of the variational bound, one at a time: prior, steps from the noisiest, decoder.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        schedule: gives the rates at each time.
        times: number of steps, or the times of the chain.
        decoder: `PixelDecoder(normalizer)` for bytes, `DensityDecoder()` for real numbers.
        variance: variance of each step; see `step_kl`.
        num_terms: number of random steps from which the sum of all steps is estimated, stratified and drawn for
            each image separately; unbiased. None sums all steps.
        draw_noises: returns the next noises, (B, C, H, W); the default uses PyTorch's global generator.
        draw_uniforms: returns the next numbers in [0, 1), (B, 1, 1, 1), which choose the steps.

    Yields:
        `Term(kind, nats)`; without gradient.
    """
    chain, count = noise_chain(schedule, times), len(images)
    draw = draw_noises or (lambda: torch.randn_like(images))
    with torch.no_grad():
        prior = prior_kl(images, chain.at(torch.tensor([-1])))
    yield Term("prior", prior)
    for indices, weight in _step_indices(len(chain.times) - 1, count, num_terms, draw_uniforms):
        with torch.no_grad():
            now, before = chain.at(indices + 1), chain.at(indices)
            cost = weight * step_kl(denoise, images, draw(), now, before, variance)
        yield Term("steps", cost)
    with torch.no_grad():
        last = decoder_nll(denoise, images, draw(), chain.at(torch.tensor([0])), decoder)
    yield Term("decoder", last)


def _step_indices(
    steps: int, count: int, num_terms: int | None, draw_uniforms: Callable[[], Rates] | None
) -> Iterator[tuple[Tensor, float]]:
    """Indices of the lower level of each step, (B,), and the number of steps that it stands for."""
    if num_terms is None or num_terms >= steps:
        for index in reversed(range(steps)):
            yield torch.full((count,), index), 1.0
        return
    for uniforms in stratified_uniforms(num_terms, count, draw_uniforms):
        yield (uniforms.flatten() * steps).long().clamp(max=steps - 1), steps / num_terms


def stratified_uniforms(
    num_terms: int, count: int, draw_uniforms: Callable[[], Rates] | None
) -> Iterator[Rates]:
    """Stratified random numbers in [0, 1): one in each of `num_terms` slices.

    The highest slice comes first; float64 (B, 1, 1, 1).

    Raises:
        UnnoiseError: for fewer than 1.
    """
    require(num_terms >= 1, f"The bound is estimated from at least 1 term, but got {num_terms}: try 64.")
    draw = draw_uniforms or (lambda: torch.rand(count, 1, 1, 1))
    for stratum in reversed(range(num_terms)):
        yield (stratum + draw().cpu().double()) / num_terms


def variational_bound(
    denoise: Denoise,
    images: Images,
    schedule: Schedule,
    times: Times = 1000,
    *,
    decoder: Decoder,
    variance: Variance = "large",
    num_terms: int | None = None,
    draw_noises: Callable[[], Images] | None = None,
    draw_uniforms: Callable[[], Rates] | None = None,
) -> Bound:
    """Variational bound in bits per dimension: the sum of `bound_terms`, with the same arguments."""
    terms = bound_terms(
        denoise,
        images,
        schedule,
        times,
        decoder=decoder,
        variance=variance,
        num_terms=num_terms,
        draw_noises=draw_noises,
        draw_uniforms=draw_uniforms,
    )
    return sum_terms(terms, images[0].numel())


def sum_terms(terms: Iterable[Term], dimensions: int) -> Bound:
    """Bound in bits per dimension from terms in nats."""
    sums: dict[str, Tensor | float] = dict.fromkeys(Bound._fields, 0.0)
    for term in terms:
        sums[term.kind] = sums[term.kind] + term.nats
        shape = term.nats
    return Bound(*(bits_per_dim(-(torch.zeros_like(shape) + value), dimensions) for value in sums.values()))
