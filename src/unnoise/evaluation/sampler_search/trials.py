r"""Each way to sample draws the same seeds, and is judged by the exact walk and by real pictures.

The error against a long walk from the same noises tells a solver from the exact solution,

    rmse = (mean over pixels and pictures of (x - x_long)^2)^(1/2),      x in [0, 1]

and means something only where no noise is drawn on the way. The kernel distance to real pictures (see
`metrics.kernel_interval`) judges all alike, and by it errors of the network itself count, too.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.sampler_names import SamplerName, Spacing
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule
from unnoise.diffusion.tensors import Classes, Images
from unnoise.evaluation.features import Extractor
from unnoise.evaluation.metrics import Interval, kernel_interval
from unnoise.evaluation.sampler_search.candidates import Candidate, candidates, first_calls, promising_first
from unnoise.utils.errors import require

Vectors: TypeAlias = Float[Tensor, "pictures dimensions"]
Fits: TypeAlias = Callable[[float], bool]
"""Whether so many more seconds may be spent."""

LONG: SamplerName = "dpmpp_3m"
LONG_CALLS = 150
_RESAMPLES = 200
_SHOWN = 8


class Trial(NamedTuple):
    """One way to sample, tried.

    `role` is `long` (the reference), `own` (the run's present way), or `tried`; `taken` the calls it took;
    `error` the rmse above, None where fresh noise is drawn; `shown` the first pictures, in [0, 1].
    """

    role: Literal["long", "own", "tried"]
    candidate: Candidate
    taken: int
    error: float | None
    distance: Interval
    seconds: float
    shown: Images

    @property
    def sampling(self) -> Sampling:
        """The way itself."""
        return self.candidate.sampling


@dataclass(frozen=True)
class Bench:
    """What every way is tried with.

    Args:
        draw: a way -> pictures in [0, 1], (N, C, H, W), of the same seeds each time.
        features: pictures -> vectors.
        references: the vectors of real pictures.
        schedule: of the network.
    """

    draw: Callable[[Sampling], Images]
    features: Callable[[Images], Vectors]
    references: Vectors
    schedule: Schedule

    def attempt(
        self, role: Literal["long", "own", "tried"], candidate: Candidate, long: Images | None = None
    ) -> tuple[Trial, Images]:
        """Draws and judges; the pictures come, too."""
        started = time.monotonic()
        images = self.draw(candidate.sampling)
        fixed = long is not None and candidate.sampling.deterministic
        error = float((images - long).square().mean().sqrt()) if fixed and long is not None else None
        distance = kernel_interval(self.features(images), self.references, resamples=_RESAMPLES)
        taken, seconds = candidate.sampling.calls(self.schedule), time.monotonic() - started
        return Trial(role, candidate, taken, error, distance, seconds, images[:_SHOWN].clone()), images


@dataclass(frozen=True)
class Asked:
    """What is compared.

    Raises:
        UnnoiseError: for nothing of a kind, or calls below 1.
    """

    samplers: Sequence[SamplerName]
    spacings: Sequence[Spacing]
    calls: Sequence[int]

    def __post_init__(self) -> None:
        for name in ("samplers", "spacings", "calls"):
            require(len(getattr(self, name)) > 0, f"At least one of the {name} is compared, but got none.")
        lowest = min(self.calls)
        require(lowest >= 1, f"A picture takes at least 1 call of the network, but got {lowest}: try 8.")


def long_walk(base: Sampling, schedule: Schedule) -> Candidate:
    """The reference: a solver of third order in `LONG_CALLS` even steps of the log-SNR, or all of a chain's."""
    steps = LONG_CALLS
    if isinstance(schedule, DiscreteSchedule):
        steps = min(steps, schedule.num_timesteps)
    sampling = replace(base, sampler=LONG, spacing="log_snr", eta=0.0, num_steps=steps)
    return Candidate(sampling, sampling.calls(schedule))


def solve(bench: Bench, base: Sampling, asked: Asked, fits: Fits = lambda _: True) -> Iterator[Trial]:
    """The long walk, the present way, then all that was asked for, as far as time allows.

    First every way at about 8 calls, the promising ones first; then each sampler's best grid at the other
    calls, the best sampler first; then the other grids.

    Args:
        bench: draws and judges.
        base: the present way; clipping and guidance stay as they are there.
        asked: what is compared.
        fits: stops before a trial that is not expected to.

    Raises:
        UnnoiseError: when none of it is possible.
    """
    samplers = promising_first(asked.samplers)
    everything = candidates(base, bench.schedule, samplers, asked.spacings, asked.calls)
    require(
        bool(everything), "None of these samplers can walk this run's schedule in so few calls: allow more."
    )
    first, images = bench.attempt("long", long_walk(base, bench.schedule))
    yield first
    yield bench.attempt("own", Candidate(base, base.calls(bench.schedule)), images)[0]
    pace, middle = first.seconds / first.taken, first_calls(asked.calls)
    looks: list[Trial] = []
    for one in (one for one in everything if one.calls == middle):
        if not fits(pace * one.calls):
            return
        looks.append(bench.attempt("tried", one, images)[0])
        yield looks[-1]
    for one in ranked(everything, looks):
        if fits(pace * one.calls):
            yield bench.attempt("tried", one, images)[0]


def ranked(everything: Sequence[Candidate], looks: Sequence[Trial]) -> list[Candidate]:
    """What is left after the first looks: best grids of the best samplers first, then the other grids."""
    order = sorted(looks, key=lambda trial: trial.distance.value)
    ways = [trial.candidate.way for trial in order]
    best = [way for place, way in enumerate(ways) if way[0] not in [before[0] for before in ways[:place]]]
    places = {way: place for place, way in enumerate([*best, *(way for way in ways if way not in best)])}
    seen = [trial.candidate for trial in looks]
    left = [one for one in everything if one not in seen]
    return sorted(left, key=lambda one: (places.get(one.way, len(places)), one.calls))


def drawing(
    denoiser: Denoiser,
    classes: Classes | None,
    num_samples: int,
    *,
    seed: int = 0,
    batch_size: int = 64,
    progress: Callable[[int], object] = lambda _: None,
) -> Callable[[Sampling], Images]:
    """The `draw` of a `Bench`: picture i has the seed `seed + i`; `progress` is told calls times pictures."""

    def draw(sampling: Sampling) -> Images:
        parts, calls = [], sampling.calls(denoiser.schedule)
        for first in range(0, num_samples, batch_size):
            count = min(batch_size, num_samples - first)
            some = None if classes is None else classes[first : first + count]
            parts.append(denoiser.generate(count, seed=seed + first, sampling=sampling, classes=some).cpu())
            progress(calls * count)
        return torch.cat(parts)

    return draw


def seen_by(extractor: Extractor, batch_size: int = 64) -> Callable[[Images], Vectors]:
    """The `features` of a `Bench`: of the bytes that a picture would be saved as."""

    def features(images: Images) -> Vectors:
        pixels = images.clamp(0, 1).mul(255).round().to(torch.uint8)
        return torch.cat([extractor(part) for part in torch.split(pixels, batch_size)])

    return features


def affordable(seconds_a_call: float, seconds: float, calls: int) -> int:
    """So many pictures that `calls` calls for each take half of the time: 24 to 512."""
    count = int(seconds / 2 / max(seconds_a_call * calls, 1e-9))
    return max(24, min(512, count // 8 * 8))
