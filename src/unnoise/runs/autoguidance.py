"""Autoguidance (Karras et al., 2024, 2406.02507): guiding a run by a weaker version of itself.

The weaker version is an average from earlier in its training, or a smaller run on the same pictures. Both make
the same errors, the weaker one larger ones, so the difference of their predictions points away from errors. It
needs no classes.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.runs.checkpoint import Run
from unnoise.runs.snapshots import Snapshots
from unnoise.utils.errors import require


class Weak(NamedTuple):
    """A weaker denoiser, and its description for people."""

    denoiser: Denoiser
    name: str


def weaker_of(run: Run, weak: str | None = None, device: torch.device | str = "cpu") -> Weak:
    """The weaker denoiser that a run can be guided by.

    Args:
        run: whose stored averages are candidates; see `Snapshots`.
        weak: the step of a stored average, or the folder of another run; see `Snapshots.weaker`.
        device: where it is put.

    Raises:
        UnnoiseError: when there is no such step or run, or nothing is stored.
    """
    if weak is not None and not weak.isdecimal():
        other = Run.open(Path(weak))
        require(
            other.config.data.classes in ((), run.config.data.classes),
            f"{weak} was trained on other classes ({', '.join(other.config.data.classes[:3])}, ...). "
            "Choose a run on the same pictures.",
        )
        return Weak(other.load(device), str(other.path))
    snapshots = Snapshots(run.path / "ema")
    profile = snapshots.weaker(None if weak is None else int(weak))
    name = f"its own average at step {profile.step:,} (sigma_rel {profile.sigma_rel:g})"
    return Weak(run.load(device, snapshots.path(profile)), name)
