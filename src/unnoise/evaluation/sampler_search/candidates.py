"""Search space of samplers: sampler, spacing of the steps, and number of network calls."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from unnoise.diffusion.sampler_names import SamplerName, Spacing
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule, TimestepSpacing
from unnoise.utils.errors import UnnoiseError, require

CALLS = (4, 6, 8, 10, 20, 50)
"""Numbers of network calls per picture."""

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)

SPACINGS: tuple[Spacing, ...] = tuple(
    spacing for spacing in get_args(Spacing) if spacing not in get_args(TimestepSpacing)
)
"""Spacings that differ on every schedule; the others choose timesteps of discrete schedules."""

_PROMISING: tuple[SamplerName, ...] = (
    "dpmpp_2m",
    "unipc",
    "dpmpp_3m",
    "deis",
    "heun",
    "dpmpp_2m_sde",
    "adams",
    "ipndm",
    "ancestral",
)
_FIRST_CALLS = 8


@dataclass(frozen=True)
class Candidate:
    """Sampler with its settings, and the number of calls it was given; it may take fewer, never more."""

    sampling: Sampling
    calls: int

    @property
    def sampler_and_spacing(self) -> tuple[SamplerName, Spacing]:
        """Names of the sampler and the spacing, which a line of a chart has in common."""
        return self.sampling.sampler, self.sampling.spacing

    @property
    def name(self) -> str:
        """`dpmpp_2m, karras`."""
        return ", ".join(self.sampler_and_spacing)


@dataclass(frozen=True)
class SearchSpace:
    """Samplers, spacings and numbers of calls to compare.

    Raises:
        UnnoiseError: where one of the three is empty, or for calls below 1.
    """

    samplers: Sequence[SamplerName]
    spacings: Sequence[Spacing]
    calls: Sequence[int]

    def __post_init__(self) -> None:
        for name in ("samplers", "spacings", "calls"):
            require(len(getattr(self, name)) > 0, f"--{name} needs at least one value, but got none.")
        lowest = min(self.calls)
        require(
            lowest >= 1, f"A picture needs at least 1 call of the network, but got {lowest}: try --calls 8."
        )


def best_candidate(
    base: Sampling, sampler: SamplerName, spacing: Spacing, calls: int, schedule: Schedule
) -> Candidate:
    """Candidate with the most steps of this sampler for `calls` calls.

    Clipping and guidance are those of `base`.

    Raises:
        UnnoiseError: where even one step takes more calls, and for calls below 1.
    """
    require(calls >= 1, f"A picture needs at least 1 call of the network, but got {calls}: try 8.")
    changed = replace(base, sampler=sampler, spacing=spacing, eta=0.0)
    most = min(calls, schedule.num_timesteps) if isinstance(schedule, DiscreteSchedule) else calls
    for num_steps in range(most, 0, -1):
        sampling = replace(changed, num_steps=num_steps)
        if sampling.calls(schedule) <= calls:
            return Candidate(sampling, calls)
    raise UnnoiseError(f"A step of {sampler} takes more than {calls} call(s): allow 2.")


def candidates(
    base: Sampling,
    schedule: Schedule,
    samplers: Sequence[SamplerName],
    spacings: Sequence[Spacing],
    calls: Sequence[int],
) -> list[Candidate]:
    """All candidates that are possible on this schedule, each once, ordered by calls as given."""
    found: list[Candidate] = []
    for number in calls:
        for sampler in samplers:
            for spacing in spacings:
                try:
                    one = best_candidate(base, sampler, spacing, number, schedule)
                except UnnoiseError:
                    continue
                if one not in found:
                    found.append(one)
    return found


def promising_first(samplers: Sequence[SamplerName]) -> list[SamplerName]:
    """The samplers, those first that usually need few calls."""
    return sorted(samplers, key=lambda name: _PROMISING.index(name) if name in _PROMISING else len(_PROMISING))


def first_calls(calls: Sequence[int]) -> int:
    """The number of calls that all samplers are tried with first: the nearest to 8."""
    return min(calls, key=lambda number: (abs(number - _FIRST_CALLS), number))
