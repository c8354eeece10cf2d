"""Autoguidance (Karras et al., 2024, 2406.02507): guiding a run by a weaker version of itself.

The weaker version is an average from earlier in its training, or a smaller run on the same pictures. Both make
the same errors, the weaker one larger ones, so the difference of their predictions points away from errors. It
needs no classes.
"""

from pathlib import Path
from typing import NamedTuple

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.guidance import Autoguidance, Guidance
from unnoise.optim.power_ema import Profile
from unnoise.runs.checkpoint import Run
from unnoise.runs.snapshots import Snapshots
from unnoise.utils.errors import UnnoiseError, require

SHARE = 0.25
"""By default the weaker average is the first after this fraction of a run's steps: worse, but similar."""


class Weak(NamedTuple):
    """A weaker denoiser, and its description for people."""

    denoiser: Denoiser
    name: str


def guided_by(denoiser: Denoiser, weak: Denoiser, guidance: Guidance, name: str = "") -> Denoiser:
    """The same denoiser, guided away from the predictions of `weak` when it samples; see `guidance`.

    `weak` may have another network, schedule and objective: both predict at the same noise levels.

    Raises:
        UnnoiseError: when its images have another shape, another normalisation or other classes.
    """
    mine, its = tuple(denoiser.image_shape), tuple(weak.image_shape)
    require(
        its == mine,
        f"The weaker network draws images of (channels, height, width) {its}, but this one {mine}. Choose a "
        "run on the same pictures.",
    )
    require(
        weak.normalizer == denoiser.normalizer,
        f"The weaker network normalises images by {weak.normalizer}, but this one by {denoiser.normalizer}. "
        "Choose a run on the same pictures.",
    )
    classes = weak.abilities.num_classes
    require(
        classes in (0, denoiser.abilities.num_classes),
        f"The weaker network knows {classes} classes, but this one {denoiser.abilities.num_classes}. "
        "Choose one that knows the same, or none.",
    )
    weak_denoise_for = weak.denoise_for if classes else lambda _: weak.denoise_for(None)
    return denoiser.over(denoiser.network, autoguidance=Autoguidance(weak_denoise_for, guidance, name))


def weaker_of(run: Run, weak: str | None = None, device: torch.device | str = "cpu") -> Weak:
    """The weaker denoiser that a run can be guided by.

    Args:
        run: whose stored averages are candidates; see `Snapshots`.
        weak: the step of a stored average, or the folder of another run. By default the first average after
            `SHARE` of all steps, or the last but one. Of several widths the widest is taken: the weakest.
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
    profile = chosen(snapshots, None if weak is None else int(weak))
    name = f"its own average at step {profile.step:,} (sigma_rel {profile.sigma_rel:g})"
    return Weak(run.load(device, snapshots.path(profile)), name)


def chosen(snapshots: Snapshots, step: int | None) -> Profile:
    """Which stored average is the weaker one; see `weaker_of`."""
    stored = snapshots.stored()
    require(
        bool(stored),
        f"There are no stored averages in {snapshots.folder} to guide by. Name a weaker run, or train with the "
        'default preset or --set "ema.profiles=[0.05,0.1]", which store them.',
    )
    steps = sorted({profile.step for profile in stored})
    if step is None:
        require(
            len(steps) > 1,
            f"{snapshots.folder} holds the averages of one step only, {steps[-1]:,}, which is not weaker. Name "
            "a weaker run.",
        )
        step = next((each for each in steps[:-1] if each >= SHARE * steps[-1]), steps[-2])
    if step not in steps:
        there = ", ".join(map(str, steps))
        raise UnnoiseError(
            f"No average was stored at step {step}. Choose from {there}, or name the folder of a run."
        )
    return max(profile for profile in stored if profile.step == step)
