"""What pictures cost in bits, each measured with random numbers of its own."""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from unnoise.data.batches import Indices, Pictures
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.posteriors import Nats, PosteriorWeights, like, log_variance_between
from unnoise.diffusion.seeds import SeededNoises
from unnoise.diffusion.tensors import Pixels, Prediction
from unnoise.evaluation.likelihood import (
    PixelDecoder,
    bits_per_dim,
    bound_terms,
    dequantize,
    grey_level_volume,
    noise_ladder,
    probability_flow,
)
from unnoise.evaluation.likelihood.bound import gather
from unnoise.utils.errors import require

FLOW_STEPS = 50
"""Of the probability flow, each with 4 calls of the network and their gradients."""


class Estimate(NamedTuple):
    """The mean over pictures, and its standard error: their standard deviation / sqrt(their number)."""

    mean: float
    standard_error: float

    @classmethod
    def of(cls, values: Nats) -> "Estimate":
        """From one number for each picture, (N,); of a single one the error is not known, and infinite."""
        spread = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.inf
        return cls(float(values.mean()), spread)


class Measured(NamedTuple):
    """How much is done, from 0 to 1, and bits/dim by name, one for each picture so far, (N,)."""

    done: float
    bits: dict[str, Tensor]


def default_steps(denoiser: Denoiser) -> int:
    """The T of a table of noise levels, else 1000."""
    return int(getattr(denoiser.schedule, "num_timesteps", 1000))


def measure_bound(
    denoiser: Denoiser,
    pictures: Pictures,
    indices: Indices,
    *,
    num_steps: int,
    num_terms: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
) -> Iterator[Measured]:
    """The variational bound of these pictures, with the names prior, steps, decoder and total.

    Args:
        diffusion: whose averaged network is judged.
        pictures, indices: what by.
        num_steps: of the chain; see `likelihood.bound_terms`.
        num_terms: how many of the steps each picture is judged at; all if left out.
        seed: picture i has the random numbers of seed + i, whatever the batch size.
        batch_size: pictures at a time.

    Yields:
        after each call of the network.
    """
    model, parts = denoiser, list[dict[str, Tensor]]()
    steps = len(noise_ladder(model.schedule, num_steps).times) - 1
    terms_each = 2 + (steps if num_terms is None else min(num_terms, steps))
    for images, draw, before in _batches(model, pictures, indices, seed, batch_size):
        normalized, terms = model.normalizer.normalize(images.to(model.device)), []
        for term in bound_terms(
            model.denoise,
            normalized,
            model.schedule,
            num_steps,
            variance=_learned if model.abilities.learned_variance else "large",
            decoder=PixelDecoder(model.normalizer),
            num_terms=num_terms,
            draw_noises=draw,
            draw_uniforms=draw.uniforms,
        ):
            terms.append(term)
            inside = len(terms) / terms_each * len(images)
            if len(terms) < terms_each:
                yield Measured((before + inside) / len(indices), _joined(parts))
        bound = gather(terms, normalized[0].numel())
        parts.append({**bound._asdict(), "total": bound.total})
        yield Measured((before + len(images)) / len(indices), _joined(parts))


def _learned(prediction: Prediction, weights: PosteriorWeights) -> Tensor:
    assert prediction.variances is not None, "only asked of networks that have learned them"
    small, large = (
        like(variance, prediction.images) for variance in (weights.small_variance, weights.large_variance)
    )
    return log_variance_between(prediction.variances, small, large)


def measure_flow(
    denoiser: Denoiser, pictures: Pictures, indices: Indices, *, seed: int = 0, batch_size: int = 64
) -> Iterator[Measured]:
    """The likelihood of the probability flow of these pictures, uniformly dequantised, under the name flow.

    Arguments as for `measure_bound`; yields after each step of the flow.
    """
    model, parts = denoiser, list[dict[str, Tensor]]()
    volume = grey_level_volume(model.normalizer, model.image_shape)
    for images, draw, before in _batches(model, pictures, indices, seed, batch_size):
        uniforms = torch.special.ndtr(draw())  # a normal number through its own distribution is uniform
        data = model.normalizer.normalize(dequantize(images.to(model.device), uniforms))
        flow = probability_flow(model.denoise, data, model.schedule, FLOW_STEPS, draw_noises=draw)
        for step, state in enumerate(flow, start=1):
            log_likelihoods = state.log_likelihoods
            if step < FLOW_STEPS:
                inside = step / FLOW_STEPS * len(images)
                yield Measured((before + inside) / len(indices), _joined(parts))
        parts.append({"flow": bits_per_dim(log_likelihoods - volume, data[0].numel())})
        yield Measured((before + len(images)) / len(indices), _joined(parts))


def _batches(
    model: Denoiser, pictures: Pictures, indices: Indices, seed: int, batch_size: int
) -> Iterator[tuple[Pixels, SeededNoises, int]]:
    """Pictures, their random numbers, and how many came before."""
    require(batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    for first in range(0, len(indices), batch_size):
        chosen = indices[first : first + batch_size]
        seeds = [seed + int(index) for index in chosen]
        yield pictures.take(chosen), SeededNoises(seeds, model.image_shape, model.device), first


def _joined(parts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]} if parts else {}
