r"""The variational bound: what it costs to send an image by a chain of noise levels (DDPM, 2006.11239, eq. 5).

    -log p(x_0) <= KL(q(x_T | x_0) || N(0, 1))  +  sum_{t > s} KL(q(x_s | x_t, x_0) || p(x_s | x_t))
                   - log p(x_0 | x_1)

that is prior, steps and decoder. The model's p(x_s | x_t) is the posterior of the image that `denoise` sees in
x_t, with a variance of choice, so with the posterior's own variance a step costs

    (SNR_s - SNR_t) |x_0 - x_0_hat|^2 / 2                                           (VDM, 2107.00630, eq. 13)

which is beta^2 / (2 sigma^2 alpha (1 - alpha_bar)) |eps - eps_hat|^2: the simple loss, with its weight.
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
"""The log-variance of p(x_s | x_t) from what was predicted and the two natural variances; broadcastable."""

Variance: TypeAlias = Literal["small", "large"] | LearnedVariance

Times: TypeAlias = int | Sequence[float]
"""A number of steps K, for the times 0, 1/K ... 1; or the times themselves."""


class Term(NamedTuple):
    """One term of a bound, in nats, (B,); all terms of an iterator add up to (an estimate of) the bound."""

    kind: Literal["prior", "steps", "decoder"]
    nats: Nats


class Bound(NamedTuple):
    """A bound from above in bits per dimension, image by image, each (B,) in float64."""

    prior: Nats
    steps: Nats
    decoder: Nats

    @property
    def total(self) -> Nats:
        """The sum of the three."""
        return self.prior + self.steps + self.decoder


class Ladder(NamedTuple):
    """The noise levels of a chain from the least noise to the most, in float64, each (levels, 1, 1, 1)."""

    times: Rates
    rates: RatePair

    def at(self, places: Tensor) -> RatePair:
        """The rates at these places, (B,) -> (B, 1, 1, 1)."""
        return RatePair(*(rates[places] for rates in self.rates))


def noise_ladder(schedule: Schedule, times: Times = 1000) -> Ladder:
    """The distinct levels with noise at these times.

    A time without any noise is the image itself, which the decoder answers for; a table that is asked for more
    times than it has gives each of its levels once.

    Raises:
        UnnoiseError: for times outside [0, 1], or none that has noise.
    """
    even = isinstance(times, int)
    values = [k / max(times, 1) for k in range(times + 1)] if isinstance(times, int) else sorted(times)
    require(
        len(values) > even and values[0] >= 0 and values[-1] <= 1,
        f"The bound needs 1 step or more, and times from 0 to 1, but got {times}: try 1000.",
    )
    column = torch.tensor(values, dtype=torch.float64).view(-1, 1, 1, 1)
    rates = RatePair(*(values.double() for values in schedule(column)))
    clarity = log_snr(*rates).flatten()
    kept = rates.noise_rates.flatten() > 0
    kept[1:] &= clarity.diff() < 0
    require(bool(kept.any()), f"The bound needs a time with noise, but there is none among {times}.")
    return Ladder(column[kept], RatePair(rates.noise_rates[kept], rates.signal_rates[kept]))


def step_kl(
    denoise: Denoise,
    images: Images,
    noises: Images,
    now: RatePair,
    before: RatePair,
    variance: Variance = "large",
) -> Nats:
    r"""KL(q(x_s | x_t, x_0) || p(x_s | x_t)) of one step, in nats, (B,).

        m = w (x_0 - x_0_hat),   w = alpha_s sigma_ts^2 / sigma_t^2,   KL(N(m, small) || N(0, variance))

    Args:
        denoise: separates noisy images into noises and images.
        images, noises: x_0 and eps, (B, C, H, W), mixed to x_t here.
        now, before: the rates of t and s, (B, 1, 1, 1), in float64.
        variance: of p(x_s | x_t): the posterior's own (small), the forward step's (large), or a function.
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
    # The difference of the means, and not two means to subtract: x_t, by far their largest part, cancels.
    means = like(weights.images, images) * (images - prediction.images)
    return total(gaussian_kl(means, small, torch.zeros_like(means), chosen))


def total(values: Tensor) -> Nats:
    """The sum over each image, (B, ...) -> (B,), in float64 on the CPU."""
    return values.flatten(1).sum(1).cpu().double()


def prior_kl(images: Images, last: RatePair) -> Nats:
    """KL(q(x_T | x_0) || N(0, 1)): what is left of the images at the last level, in nats, (B,)."""
    noise_rates, signal_rates = (like(rates, images) for rates in last)
    zeros = torch.zeros_like(images)
    return total(gaussian_kl(signal_rates * images, 2 * noise_rates.log(), zeros, zeros))


def decoder_nll(denoise: Denoise, images: Images, noises: Images, first: RatePair, decoder: Decoder) -> Nats:
    """-log p(x_0 | x at the smallest noise level), in nats, (B,)."""
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
    """The terms of the bound, one by one: the prior, the steps from the noisiest, and the decoder.

    Args:
        denoise: separates noisy images into noises and images.
        images: (B, C, H, W), normalised.
        schedule: gives the rates at each time.
        times: the number of steps, or the times of the chain.
        decoder: `PixelDecoder(normalizer)` for bytes, `DensityDecoder()` for other numbers.
        variance: of each step; see `step_kl`.
        num_terms: estimates the sum of all steps by that many, drawn for each image on its own and stratified;
            unbiased, and exact where left out.
        draw_noises: returns the next noises, (B, C, H, W); PyTorch's global generator if left out.
        draw_uniforms: returns the next numbers in [0, 1), (B, 1, 1, 1), that choose the steps.

    Yields:
        `Term(kind, nats)`; without gradient.
    """
    ladder, count = noise_ladder(schedule, times), len(images)
    draw = draw_noises or (lambda: torch.randn_like(images))
    with torch.no_grad():
        prior = prior_kl(images, ladder.at(torch.tensor([-1])))
    yield Term("prior", prior)
    for places, weight in _places(len(ladder.times) - 1, count, num_terms, draw_uniforms):
        with torch.no_grad():
            now, before = ladder.at(places + 1), ladder.at(places)
            cost = weight * step_kl(denoise, images, draw(), now, before, variance)
        yield Term("steps", cost)
    with torch.no_grad():
        last = decoder_nll(denoise, images, draw(), ladder.at(torch.tensor([0])), decoder)
    yield Term("decoder", last)


def _places(
    steps: int, count: int, num_terms: int | None, draw_uniforms: Callable[[], Rates] | None
) -> Iterator[tuple[Tensor, float]]:
    """The lower level of each step, (B,), and how many steps it stands for."""
    if num_terms is None or num_terms >= steps:
        for place in reversed(range(steps)):
            yield torch.full((count,), place), 1.0
        return
    for uniforms in strata(num_terms, count, draw_uniforms):
        yield (uniforms.flatten() * steps).long().clamp(max=steps - 1), steps / num_terms


def strata(num_terms: int, count: int, draw_uniforms: Callable[[], Rates] | None) -> Iterator[Rates]:
    """Numbers in [0, 1), one from each of `num_terms` equal slices, the highest first; float64 (B, 1, 1, 1).

    Raises:
        UnnoiseError: for fewer than 1.
    """
    require(num_terms >= 1, f"A sum is estimated from at least 1 term, but got {num_terms}: try 64.")
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
    """The sum of `bound_terms`, which see, in bits per dimension."""
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
    return gather(terms, images[0].numel())


def gather(terms: Iterable[Term], dimensions: int) -> Bound:
    """Adds up terms in nats to a bound in bits per dimension."""
    sums: dict[str, Tensor | float] = dict.fromkeys(Bound._fields, 0.0)
    for term in terms:
        sums[term.kind] = sums[term.kind] + term.nats
        shape = term.nats
    return Bound(*(bits_per_dim(-(torch.zeros_like(shape) + value), dimensions) for value in sums.values()))
