r"""Trials of samplers on the same seeds: error against a reference, and distance to real pictures.

The reference is a sampler of many steps from the same noises. The error against it,

    rmse = (mean over pixels and pictures of (x - x_long)^2)^(1/2),      x in [0, 1]

measures the error of the solver; it exists only for samplers that add no noise. The kernel distance to real
pictures (see `metrics.kernel_interval`) exists for all samplers, and includes errors of the network.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

from unnoise.diffusion.sampler_names import SamplerName
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule
from unnoise.diffusion.tensors import Images
from unnoise.evaluation.metrics import ConfidenceInterval, kernel_interval
from unnoise.evaluation.sampler_search.candidates import (
    Candidate,
    SearchSpace,
    candidates,
    first_calls,
    promising_first,
)
from unnoise.evaluation.sampler_search.inputs import FeatureVectors
from unnoise.utils.errors import require

FitsInTime: TypeAlias = Callable[[float], bool]
"""Whether this many seconds are left."""

Role: TypeAlias = Literal["long", "own", "tried"]
"""`long` is the reference, `own` the run's present sampler, `tried` a candidate; solve.json has these words."""

REFERENCE_SAMPLER: SamplerName = "dpmpp_3m"
REFERENCE_CALLS = 150
_RESAMPLES = 200
_SHOWN_SAMPLES = 8


class Trial(NamedTuple):
    """Result of trying a candidate.

    `taken` is the number of calls per sample; `error` the rmse above, None for samplers that add noise; `shown`
    the first samples, in [0, 1].
    """

    role: Role
    candidate: Candidate
    taken: int
    error: float | None
    distance: ConfidenceInterval
    seconds: float
    shown: Images

    @property
    def sampling(self) -> Sampling:
        """The sampler and its settings."""
        return self.candidate.sampling


@dataclass(frozen=True)
class TrialRunner:
    """Draws samples with a candidate, and measures their error and distance.

    Args:
        draw: from a sampler to images in [0, 1], (N, C, H, W), with the same seeds each time.
        features: from images to features.
        references: features of real pictures.
        schedule: the schedule of the model.
    """

    draw: Callable[[Sampling], Images]
    features: Callable[[Images], FeatureVectors]
    references: FeatureVectors
    schedule: Schedule

    def run(self, role: Role, candidate: Candidate, reference: Images | None = None) -> tuple[Trial, Images]:
        """Trial of a candidate, and its samples; the error is measured against the reference's samples."""
        started = time.monotonic()
        images = self.draw(candidate.sampling)
        error = None
        if reference is not None and candidate.sampling.deterministic:
            error = float((images - reference).square().mean().sqrt())
        distance = kernel_interval(self.features(images), self.references, resamples=_RESAMPLES)
        taken, seconds = candidate.sampling.calls(self.schedule), time.monotonic() - started
        return Trial(role, candidate, taken, error, distance, seconds, images[:_SHOWN_SAMPLES].clone()), images


def reference_candidate(base: Sampling, schedule: Schedule) -> Candidate:
    """The reference: a third-order solver with `REFERENCE_CALLS` steps, or with all of a discrete schedule."""
    steps = REFERENCE_CALLS
    if isinstance(schedule, DiscreteSchedule):
        steps = min(steps, schedule.num_timesteps)
    sampling = replace(base, sampler=REFERENCE_SAMPLER, spacing="log_snr", eta=0.0, num_steps=steps)
    return Candidate(sampling, sampling.calls(schedule))


def search_samplers(
    runner: TrialRunner, base: Sampling, space: SearchSpace, fits: FitsInTime = lambda _: True
) -> Iterator[Trial]:
    """Tries the reference, the present sampler, then the candidates of the search space while there is time.

    All samplers and spacings are tried at about 8 calls, promising samplers first. Then the best spacing of
    each sampler is tried at the other calls, best sampler first; then the other spacings.

    Args:
        runner: runs the trials.
        base: the present sampler; its clipping and guidance are used for all.
        space: the search space.
        fits: the search skips trials that are not expected to fit in the time.

    Raises:
        UnnoiseError: where no candidate is possible.
    """
    samplers = promising_first(space.samplers)
    everything = candidates(base, runner.schedule, samplers, space.spacings, space.calls)
    require(bool(everything), "None of these samplers works with so few --calls: allow more.")
    first, images = runner.run("long", reference_candidate(base, runner.schedule))
    yield first
    yield runner.run("own", Candidate(base, base.calls(runner.schedule)), images)[0]
    seconds_per_call, first_number = first.seconds / first.taken, first_calls(space.calls)
    first_trials: list[Trial] = []
    for one in (one for one in everything if one.calls == first_number):
        if not fits(seconds_per_call * one.calls):
            return
        first_trials.append(runner.run("tried", one, images)[0])
        yield first_trials[-1]
    for one in remaining_candidates(everything, first_trials):
        if fits(seconds_per_call * one.calls):
            yield runner.run("tried", one, images)[0]


def remaining_candidates(everything: Sequence[Candidate], first_trials: Sequence[Trial]) -> list[Candidate]:
    """Candidates left after the first trials: best spacings of the best samplers first, then other spacings."""
    order = sorted(first_trials, key=lambda trial: trial.distance.value)
    pairs = [trial.candidate.sampler_and_spacing for trial in order]
    best = [pair for rank, pair in enumerate(pairs) if pair[0] not in [before[0] for before in pairs[:rank]]]
    ranks = {pair: rank for rank, pair in enumerate([*best, *(pair for pair in pairs if pair not in best)])}
    seen = [trial.candidate for trial in first_trials]
    left = [one for one in everything if one not in seen]
    return sorted(left, key=lambda one: (ranks.get(one.sampler_and_spacing, len(ranks)), one.calls))
