"""Bits per dimension of a data set, by the variational bound or the probability flow, with standard errors."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from unnoise.data.batches import Indices, Pictures
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.posteriors import Nats, PosteriorWeights, like, log_variance_between
from unnoise.diffusion.seeds import SeededNoises
from unnoise.diffusion.tensors import Denoise, Pixels, Prediction
from unnoise.evaluation.likelihood import (
    PixelDecoder,
    bits_per_dim,
    bound_terms,
    dequantize,
    flow_states,
    grey_level_volume,
    noise_chain,
    sum_terms,
)
from unnoise.utils.errors import require
from unnoise.utils.out_of_memory import Attempt, Pieces

FLOW_STEPS = 50
"""Steps of the probability flow, each with 4 calls of the network and their gradients."""


class MeanEstimate(NamedTuple):
    """Mean over pictures with its standard error: standard deviation / sqrt(number)."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Nats) -> "MeanEstimate":
        """The estimate from one value for each picture, (N,); with a single picture the error is infinite."""
        spread = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        return cls(float(values.mean()), spread)


class LikelihoodProgress(NamedTuple):
    """Progress of a measurement, from 0 to 1, and bits/dim by name, for each picture so far, (N,)."""

    done: float
    bits: dict[str, Tensor]


def default_steps(denoiser: Denoiser) -> int:
    """Default length of the chain: that of a discrete schedule, otherwise 1000."""
    return int(getattr(denoiser.schedule, "num_timesteps", 1000))


def measure_bound(
    denoiser: Denoiser,
    pictures: Pictures,
    indices: Indices,
    *,
    num_steps: int,
    num_terms: int | None = None,
    seed: int = 0,
    batch_size: int | Callable[[], int] = 64,
) -> Iterator[LikelihoodProgress]:
    """Variational bound of pictures in bits/dim: prior, steps, decoder and total.

    Args:
        denoiser: the model.
        pictures, indices: the pictures.
        num_steps: length of the chain; see `likelihood.bound_terms`.
        num_terms: number of random steps at which each picture is measured; None for all.
        seed: picture i gets the random numbers of seed + i, at any batch size.
        batch_size: pictures at a time; or a function that says it before each batch, and 0 to end there.

    Yields:
        the progress after each call of the network.
    """
    model, parts = denoiser, list[dict[str, Tensor]]()
    steps = len(noise_chain(model.schedule, num_steps).times) - 1
    terms_each = 2 + (steps if num_terms is None else min(num_terms, steps))
    for images, draw, before, attempt in _batches(model, pictures, indices, seed, batch_size):
        with attempt:
            normalized, terms = model.normalizer.normalize(images.to(model.device)), []
            denoise, named = _told(model, images)
            for term in bound_terms(
                denoise,
                normalized,
                model.schedule,
                num_steps,
                variance=_learned_log_variance if model.abilities.learned_variance else "large",
                decoder=PixelDecoder(model.normalizer),
                num_terms=num_terms,
                draw_noises=draw,
                draw_uniforms=draw.uniforms,
            ):
                terms.append(term)
                inside = len(terms) / terms_each * len(images)
                if len(terms) < terms_each:
                    yield LikelihoodProgress((before + inside) / len(indices), _joined(parts))
            bound = sum_terms(terms, normalized[0].numel())
            parts.append({**bound._asdict(), "prior": bound.prior + named, "total": bound.total + named})
            yield LikelihoodProgress((before + len(images)) / len(indices), _joined(parts))


def _learned_log_variance(prediction: Prediction, weights: PosteriorWeights) -> Tensor:
    assert prediction.variances is not None, "called for networks with learned variances only"
    small, large = (
        like(variance, prediction.images) for variance in (weights.small_variance, weights.large_variance)
    )
    return log_variance_between(prediction.variances, small, large)


def measure_flow(
    denoiser: Denoiser, pictures: Pictures, indices: Indices, *, seed: int = 0, batch_size: int = 64
) -> Iterator[LikelihoodProgress]:
    """Likelihood of the probability flow of dequantised pictures in bits/dim, by the name flow.

    The arguments are those of `measure_bound`; yields the progress after each step of the flow.
    """
    model, parts = denoiser, list[dict[str, Tensor]]()
    volume = grey_level_volume(model.normalizer, model.image_shape)
    for images, draw, before, attempt in _batches(model, pictures, indices, seed, batch_size):
        with attempt:
            uniforms = torch.special.ndtr(draw())  # the distribution function of a normal number is uniform
            data = model.normalizer.normalize(dequantize(images.to(model.device), uniforms))
            denoise, named = _told(model, images)
            flow = flow_states(denoise, data, model.schedule, FLOW_STEPS, draw_noises=draw)
            for step, state in enumerate(flow, start=1):
                log_likelihoods = state.log_likelihoods
                if step < FLOW_STEPS:
                    inside = step / FLOW_STEPS * len(images)
                    yield LikelihoodProgress((before + inside) / len(indices), _joined(parts))
            flowed = bits_per_dim(log_likelihoods - volume, data[0].numel()).cpu().double()
            parts.append({"flow": flowed + named})
            yield LikelihoodProgress((before + len(images)) / len(indices), _joined(parts))


def _told(model: Denoiser, images: Pixels) -> tuple[Denoise, Tensor]:
    """What denoises these pictures, and what it takes to say which clusters it is told: bits/dim, on the CPU.

    As log p(x) >= log p(k) + log p(x | k) for any cluster k, both together are a bound of the likelihood.
    """
    clusters = model.abilities.clusters
    if clusters is None:
        return model.denoise, torch.zeros(len(images), dtype=torch.float64)
    classes = clusters.of(images)
    named = bits_per_dim(-clusters.surprise(classes), images[0].numel())
    return partial(model.denoise, classes=classes), named.cpu().double()


def _batches(
    model: Denoiser, pictures: Pictures, indices: Indices, seed: int, batch_size: int | Callable[[], int]
) -> Iterator[tuple[Pixels, SeededNoises, int, Attempt]]:
    """Batches of pictures, their random numbers, the number of pictures before them, and a context.

    A batch comes again, in halves, where memory runs out inside the context.
    """
    require(callable(batch_size) or batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    pieces, first = Pieces(device=model.device), 0
    while first < len(indices) and (number := batch_size() if callable(batch_size) else batch_size):
        batch = indices[first : first + number]
        for some in pieces.slices(len(batch)):
            seeds = [seed + int(index) for index in batch[some]]
            noises = SeededNoises(seeds, model.image_shape, model.device)
            yield pictures.take(batch[some]), noises, first + some.start, pieces.attempt
        first += number


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
