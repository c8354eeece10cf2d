"""Ways to sample are compared at the same price: as many steps as so many calls of the network pay for."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import get_args

from unnoise.diffusion.sampler_names import SamplerName, Spacing
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule
from unnoise.utils.errors import UnnoiseError, require

CALLS = (4, 6, 8, 10, 20, 50)
"""Network calls a picture."""

SPACINGS: tuple[Spacing, ...] = ("uniform", "log_snr", "karras")


@dataclass(frozen=True)
class Candidate:
    """A way to sample, and the calls that were to be spent; `sampling` may take fewer, never more."""

    sampling: Sampling
    calls: int

    @property
    def way(self) -> tuple[SamplerName, Spacing]:
        """Sampler and spacing: what a line of a plot has in common."""
        return self.sampling.sampler, self.sampling.spacing

    @property
    def name(self) -> str:
        """`dpmpp_2m, karras`."""
        return ", ".join(self.way)


def all_samplers() -> tuple[SamplerName, ...]:
    """The name of every sampler."""
    return get_args(SamplerName)


def candidate(
    base: Sampling, sampler: SamplerName, spacing: Spacing, calls: int, schedule: Schedule
) -> Candidate:
    """The most steps of this sampler that so many calls pay for; clipping and guidance are those of `base`.

    Raises:
        UnnoiseError: where no number of steps is possible, and for calls < 1.
    """
    require(calls >= 1, f"A picture takes at least 1 call of the network, but got {calls}: try 8.")
    changed = replace(base, sampler=sampler, spacing=spacing, eta=0.0)
    most = min(calls, schedule.num_timesteps) if isinstance(schedule, DiscreteSchedule) else calls
    for num_steps in range(most, 0, -1):
        sampling = replace(changed, num_steps=num_steps)
        if sampling.calls(schedule) <= calls:
            return Candidate(sampling, calls)
    raise UnnoiseError(f"{sampler} can't make a step of {calls} call(s): allow it 2.")


def candidates(
    base: Sampling,
    schedule: Schedule,
    samplers: Sequence[SamplerName],
    spacings: Sequence[Spacing],
    calls: Sequence[int],
) -> list[Candidate]:
    """All that are possible on this schedule, the calls in the order given, each once."""
    found: list[Candidate] = []
    for number in calls:
        for sampler in samplers:
            for spacing in spacings:
                try:
                    one = candidate(base, sampler, spacing, number, schedule)
                except UnnoiseError:
                    continue
                if one not in found:
                    found.append(one)
    return found


_PROMISING = ("dpmpp_2m", "unipc", "dpmpp_3m", "deis", "heun", "dpmpp_2m_sde", "adams", "ipndm", "ancestral")
_MIDDLE = 8


def promising_first(samplers: Sequence[SamplerName]) -> list[SamplerName]:
    """Those that are known to need few calls before the others."""
    return sorted(samplers, key=lambda name: _PROMISING.index(name) if name in _PROMISING else len(_PROMISING))


def first_calls(calls: Sequence[int]) -> int:
    """The number of calls that ways are looked at first with: the nearest to 8."""
    return min(calls, key=lambda number: (abs(number - _MIDDLE), number))
