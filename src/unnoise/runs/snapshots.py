"""Averages that are stored along the way, within a budget of disk, become any other average after training.

    ema/0000001000-0.05.safetensors     the average of sigma_rel 0.05 at step 1,000, in float32
    ema/0000001000-0.1.safetensors      that of 0.10

Only the run's last steps are in `training/`; here is what is needed to choose among averages afterwards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from unnoise.optim.power_ema import PowerAverages, Profile, mixture, require_sigma_rel
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.tensor_files import read_tensors, write_tensors


def thinned(steps: Sequence[int], room: int) -> list[int]:
    """At most `room` of these steps, spread as evenly as dropping one at a time can; the last one stays.

    Dropped is the one whose neighbours are nearest to one another; step 0 is the first one's neighbour.
    """
    kept = sorted(set(steps))
    while len(kept) > room:
        gaps = [after - before for before, after in zip([0, *kept], kept[1:], strict=False)]
        kept.pop(gaps.index(min(gaps)))
    return kept


class Synthesis(NamedTuple):
    """An average that was put together after training."""

    profile: Profile
    tensors: dict[str, Tensor]
    sources: int
    """How many stored ones it is made of."""
    misfit: float
    """How far its profile is from the wanted one, in L2: 0.01 is one per cent."""


@dataclass(frozen=True)
class Snapshots:
    """The stored averages of a run.

    Args:
        folder: theirs alone.
        count: at most so many steps are kept.
        megabytes: at most so much disk is taken, whatever the count (10^6 bytes).
    """

    folder: Path
    count: int = 8
    megabytes: float = 1000.0

    def stored(self) -> list[Profile]:
        """What there is, by step and sigma_rel."""
        return sorted(_profile(path) for path in self.folder.glob("[0-9]*-*.safetensors"))

    def room(self, averages: PowerAverages) -> int:
        """How many steps may be kept.

        Raises:
            UnnoiseError: when the budget is too small for a single one.
        """
        needed = sum(_size(network) for network in averages.networks) / 1e6
        require(
            needed <= self.megabytes,
            f"One snapshot of the profiles takes {needed:.1f} MB, but they may use {self.megabytes:g} MB: "
            "raise megabytes under ema in config.json, or store fewer profiles.",
        )
        return min(self.count, int(self.megabytes / needed)) if needed else self.count

    def write(self, averages: PowerAverages) -> None:
        """Stores the averages as they are, after making room for them.

        Raises:
            UnnoiseError: when they don't fit into the budget, or can't be written.
        """
        profiles = averages.profiles
        if not profiles or profiles[0].step == 0:
            return
        step = profiles[0].step
        self._keep(thinned([*(profile.step for profile in self.stored()), step], self.room(averages)))
        for profile, network in zip(profiles, averages.networks, strict=True):
            facts = {"step": str(profile.step), "sigma_rel": repr(profile.sigma_rel)}
            write_tensors(self.path(profile), _in_float32(network), facts)

    def forget_after(self, step: int) -> None:
        """Deletes what was stored after this step: the run went on from there another time."""
        self._keep([profile.step for profile in self.stored() if profile.step <= step])

    def _keep(self, steps: Sequence[int]) -> None:
        for profile in self.stored():
            if profile.step not in steps:
                self.path(profile).unlink(missing_ok=True)

    def path(self, profile: Profile) -> Path:
        """Where it is stored."""
        return self.folder / f"{profile.step:010d}-{profile.sigma_rel!r}.safetensors"

    def synthesize(self, sigma_rel: float) -> Synthesis:
        """The average of this width at the last stored step, in float32; see `power_ema.mixture`.

        Raises:
            UnnoiseError: when sigma_rel is out of range, nothing is stored, or what is stored is damaged.
        """
        require_sigma_rel(sigma_rel)
        stored = self.stored()
        require(
            bool(stored),
            f"There are no stored averages in {self.folder}: train with the "
            'default preset, or with --set "ema.profiles=[0.05,0.1]", which store them.',
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
            f"{path} is none of the stored averages (STEP-SIGMA_REL.safetensors): move it away."
        ) from None


def _in_float32(network: nn.Module) -> dict[str, Tensor]:
    tensors = network.state_dict()
    return {name: value.float() if value.is_floating_point() else value for name, value in tensors.items()}


def _size(network: nn.Module) -> int:
    """Bytes on the disk, rounded up: of the numbers, and of the table of their names."""
    tensors = network.state_dict()
    numbers: int = sum(t.numel() * (4 if t.is_floating_point() else t.element_size()) for t in tensors.values())
    return numbers + sum(len(name.encode()) + 120 for name in tensors) + 256
