"""Stored averages of the weights, from which others are synthesised after training (EDM2, 2312.02696).

    ema/0000001000-0.05.safetensors     the average of sigma_rel 0.05 at step 1,000, in float32
    ema/0000001000-0.1.safetensors      that of 0.10

They take a limited amount of disk: older ones are thinned out, but `FEWEST_STEPS` are always kept.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from unnoise.optim.power_ema import PowerAverages, Profile, mixture, require_sigma_rel
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.tensor_files import read_facts, read_tensors, write_tensors

FEWEST_STEPS = 5
"""So many steps are kept whatever they take. From five steps of the default widths, averages of 0.04 to 0.15
can be synthesised to 6 % (from four to 11 %, from eight to 4 %)."""
WEAKER = 0.2
"""The weaker average of autoguidance is the first after this fraction of a run's steps: worse, but similar. It
is that of a quarter of the time, which may be stored a little before a quarter of the steps."""
LEARNED_STEPS = 50
"""An average of fewer steps has hardly learned: guided away from it, pictures are oversaturated."""
STILL_WEAKER = 0.75
"""An average of more than this fraction of the steps is too much like the last to guide it."""
AMPLE_MEGABYTES = 1000.0
"""Disk up to which all are kept where the settings name no limit, in 10^6 bytes."""


def kept_steps(count: int, megabytes: float | None, needed: float) -> int:
    """Number of steps that are kept: those that fit, but at least `FEWEST_STEPS` and at most `count`.

    Args:
        count: number of steps that are wanted.
        megabytes: disk that they may take, in 10^6 bytes; `AMPLE_MEGABYTES` where it is None.
        needed: bytes of the averages of one step.
    """
    limit = AMPLE_MEGABYTES if megabytes is None else megabytes
    fitting = int(limit * 1e6 / needed) if needed else count
    return min(count, max(FEWEST_STEPS, fitting))


def thinned(steps: Sequence[int], room: int) -> list[int]:
    """At most `room` of these steps, about evenly spread, with the last one.

    Steps are dropped one at a time: the one whose neighbours are nearest to each other. Step 0 is the neighbour
    of the first.
    """
    kept = sorted(set(steps))
    while len(kept) > room:
        gaps = [after - before for before, after in zip([0, *kept], kept[1:], strict=False)]
        kept.pop(gaps.index(min(gaps)))
    return kept


class Synthesis(NamedTuple):
    """An average that was synthesised after training."""

    profile: Profile
    tensors: dict[str, Tensor]
    sources: int
    """Number of stored averages that it is made of."""
    misfit: float
    """Distance of its profile from the wanted one, in L2: 0.01 is one per cent."""


@dataclass(frozen=True)
class Snapshots:
    """Stored averages of a run.

    Args:
        folder: holds nothing else.
        count: number of steps that are kept, at most.
        megabytes: disk space that they may take, in 10^6 bytes; see `kept_steps`.
    """

    folder: Path
    count: int = 8
    megabytes: float | None = None

    def stored(self) -> list[Profile]:
        """The stored averages, sorted by step and sigma_rel."""
        return sorted(_profile(path) for path in self.folder.glob("[0-9]*-*.safetensors"))

    def steps(self) -> list[int]:
        """The steps that averages are stored of, sorted."""
        return sorted({profile.step for profile in self.stored()})

    def weaker(self, weights: Path | None = None) -> Profile | None:
        """The average that is weaker than those in this file, or than the last one: see `autoguidance`.

        The first after `WEAKER` of their steps and after `LEARNED_STEPS`, up to `STILL_WEAKER` of them; else
        the first after `WEAKER` of them, or the last before. Of several widths the widest. None where none is
        from before.
        """
        step = self._step(weights)
        earlier = [each for each in self.steps() if each < step]
        late = [each for each in earlier if each >= WEAKER * step]
        guiding = [each for each in late if LEARNED_STEPS <= each <= STILL_WEAKER * step]
        return self.at([*guiding, *late, earlier[-1]][0]) if earlier else None

    def guide(self, weights: Path) -> Profile | None:
        """The average that these weights are guided by if nothing else is asked for."""
        found, step = self.weaker(weights), self._step(weights)
        return found if found and LEARNED_STEPS <= found.step <= STILL_WEAKER * step else None

    def _step(self, weights: Path | None) -> int:
        """The step of the weights in this file, or of the last average."""
        told = "" if weights is None else read_facts(weights).get("step", "")
        return int(told) if told.isdecimal() else max(self.steps(), default=0)

    def at(self, step: int) -> Profile:
        """The widest average of this step.

        Raises:
            UnnoiseError: when there is none.
        """
        steps = self.steps()
        if step not in steps:
            there = f"Choose from {', '.join(map(str, steps))}, or name" if steps else "Name"
            raise UnnoiseError(f"{self.folder} holds no average of step {step}. {there} the folder of a run.")
        return max(profile for profile in self.stored() if profile.step == step)

    def room(self, averages: PowerAverages) -> int:
        """Number of steps that may be kept."""
        return kept_steps(self.count, self.megabytes, self._needed(averages))

    def warn_if_large(self, averages: PowerAverages) -> None:
        """Warns where the fewest that are kept take more disk than the settings allow."""
        taken = self.room(averages) * self._needed(averages) / 1e6
        if self.megabytes is not None and taken > self.megabytes:
            warnings.warn(
                f"The stored averages of {self.room(averages)} steps will take {taken:,.3g} MB, more than "
                f"ema.megabytes={self.megabytes:g}: with fewer `unnoise ema` could not choose. Store fewer "
                "ema.profiles to save disk, or none.",
                stacklevel=2,
            )

    @staticmethod
    def _needed(averages: PowerAverages) -> int:
        return sum(_size(network) for network in averages.networks)

    def write(self, averages: PowerAverages) -> None:
        """Stores the averages as they are now, after thinning out older ones.

        Raises:
            UnnoiseError: when they cannot be written.
        """
        profiles = averages.profiles
        if not profiles or profiles[0].step == 0:
            return
        step = profiles[0].step
        self.keep(thinned([*(profile.step for profile in self.stored()), step], self.room(averages)))
        for profile, network in zip(profiles, averages.networks, strict=True):
            facts = {"step": str(profile.step), "sigma_rel": repr(profile.sigma_rel)}
            write_tensors(self.path(profile), _in_float32(network), facts)

    def delete_after(self, step: int) -> None:
        """Deletes what was stored after this step, when the run continues from there again."""
        self.keep([profile.step for profile in self.stored() if profile.step <= step])

    def keep(self, steps: Sequence[int]) -> None:
        """Deletes what was stored at other steps than these."""
        for profile in self.stored():
            if profile.step not in steps:
                self.path(profile).unlink(missing_ok=True)

    def path(self, profile: Profile) -> Path:
        """File of a stored average."""
        return self.folder / f"{profile.step:010d}-{profile.sigma_rel!r}.safetensors"

    def synthesize(self, sigma_rel: float) -> Synthesis:
        """The average of this width at the last stored step, in float32; see `power_ema.mixture`.

        Raises:
            UnnoiseError: when sigma_rel is out of range, nothing is stored, or a file is damaged.
        """
        require_sigma_rel(sigma_rel)
        stored = self.stored()
        require(
            bool(stored),
            f"There are no stored averages in {self.folder}. Train with the default preset, or with "
            '--set "ema.profiles=[0.05,0.1]", which store them.',
        )
        wanted = Profile(stored[-1].step, sigma_rel)
        weights, misfit = mixture(stored, wanted)
        sums: dict[str, Tensor] = {}
        for profile, weight in zip(stored, weights, strict=True):
            tensors, _ = read_tensors(self.path(profile))
            for name, tensor in tensors.items():
                if not tensor.is_floating_point():
                    sums[name] = tensor  # the last one stays
                else:
                    part = weight * tensor.double()
                    sums[name] = sums[name] + part if name in sums else part
        made = {name: total.float() if total.is_floating_point() else total for name, total in sums.items()}
        return Synthesis(wanted, made, len(stored), misfit)


def _profile(path: Path) -> Profile:
    step, _, sigma_rel = path.stem.partition("-")
    try:
        return Profile(int(step), float(sigma_rel))
    except ValueError:
        raise UnnoiseError(
            f"{path} is not a stored average: its name is not STEP-SIGMA_REL.safetensors. Move it elsewhere."
        ) from None


def _in_float32(network: nn.Module) -> dict[str, Tensor]:
    tensors = network.state_dict()
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _size(network: nn.Module) -> int:
    """Bytes on disk, rounded up: the numbers, and the table of their names."""
    tensors = network.state_dict()
    numbers: int = sum(t.numel() * (4 if t.is_floating_point() else t.element_size()) for t in tensors.values())
    return numbers + sum(len(name.encode()) + 120 for name in tensors) + 256
