"""Autoguidance (Karras et al., 2024, 2406.02507): guiding a run by a weaker version of itself.

The weaker version is an average from earlier in its training, or a smaller run on the same pictures. Both make
the same errors, the weaker one larger ones, so the difference of their predictions points away from errors. It
needs no classes.

    load_as_it_draws(run).generate(16)    guided as `unnoise generate` draws; run.load() is not guided
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from unnoise.diffusion.autoguidance import guided_by
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.runs.checkpoint import Run
from unnoise.runs.snapshots import Snapshots
from unnoise.utils.errors import DamagedFileError, UnnoiseError, require
from unnoise.utils.tensor_files import read_tensors, write_tensors


class Weak(NamedTuple):
    """A weaker denoiser, and its description for people."""

    denoiser: Denoiser
    name: str


def own_scale(run: Run, *, best: bool = False) -> float:
    """The scale by which the run draws if nothing else is asked for: 1 where nothing guides it.

    Args:
        best: of its weights with the best samples, instead of the last ones.
    """
    scale = 1.0 if run.config.jumps else run.config.recipe.autoguidance
    return 1.0 if scale == 1 or Snapshots(run.path / "ema").guide(run.weights(best=best)) is None else scale


def own_sampling(run: Run) -> Sampling:
    """How the run draws if nothing else is asked for."""
    return run.config.recipe.drawn(guided=own_scale(run) != 1)


def with_own_sampling(run: Run, sampling: Sampling) -> Run:
    """The run that draws in this way if nothing else is asked for."""
    recipe = run.config.recipe
    if recipe.guided_sampling is not None and own_scale(run) != 1:
        recipe = replace(recipe, guided_sampling=sampling)
    else:
        recipe = replace(recipe, sampling=sampling)
    return run.with_config(replace(run.config, recipe=recipe))


def load_as_it_draws(
    run: Run,
    device: torch.device | str = "cpu",
    *,
    best: bool = False,
    scale: float | None = None,
    weak: str | None = None,
    sampling: Sampling | None = None,
    prepare: Callable[[Denoiser], Denoiser] = lambda one: one,
) -> Denoiser:
    """The denoiser, guided as `unnoise generate` draws; see `Run.load`.

    Args:
        scale: of autoguidance, 1 for none; by default the run's own.
        weak: as for `weaker_of`.
        sampling: by which is drawn, with the rescaling and noise levels of the guidance; by default the run's.
        prepare: what is done to each network: it may be compiled.

    Raises:
        UnnoiseError: as for `weaker_of` and `guided_by`.
    """
    scale = own_scale(run, best=best) if scale is None else scale
    if scale == 1:
        return prepare(run.load(device, best=best, sampling=sampling))
    weaker = weaker_of(run, weak, device, best=best)
    scaled = replace((sampling or own_sampling(run)).guidance, scale=scale)
    denoiser = run.load(
        device,
        best=best,
        guide=lambda one: guided_by(one, weaker.denoiser, scaled, weaker.name),
        sampling=sampling,
    )
    return guided_by(prepare(denoiser), prepare(weaker.denoiser), scaled, weaker.name)


def copy_weaker(run: Run, out: Path) -> None:
    """Copies the weaker average into another run's folder, which then draws as this one does."""
    averages = Snapshots(run.path / "ema")
    profile = averages.weaker(run.weights())
    if profile is not None:
        path = averages.path(profile)
        write_tensors(out / "ema" / path.name, *read_tensors(path))


def weaker_of(
    run: Run, weak: str | None = None, device: torch.device | str = "cpu", *, best: bool = False
) -> Weak:
    """The weaker denoiser that a run can be guided by.

    Args:
        run: whose stored averages are candidates; see `Snapshots`.
        weak: the step of a stored average, or the folder of another run; see `Snapshots.weaker`.
        device: where it is put.
        best: than the weights with the best samples, instead of the last ones.

    Raises:
        UnnoiseError: when there is no such step or run, nothing is stored, or what is stored is damaged.
    """
    if weak is not None and not weak.isdecimal():
        other = Run.open(Path(weak))
        require(
            not other.config.jumps,
            f"{weak} learned to draw in one or two long steps, and cannot guide small ones. Name "
            f"{other.config.in_small_steps}.",
        )
        require(
            other.config.data.classes in ((), run.config.data.classes),
            f"{weak} was trained on other classes ({', '.join(other.config.data.classes[:3])}, ...). "
            "Choose a run on the same pictures.",
        )
        return Weak(other.averaged(device), str(other.path))
    averages = Snapshots(run.path / "ema")
    profile = averages.weaker(run.weights(best=best)) if weak is None else averages.at(int(weak))
    if profile is None:
        raise UnnoiseError(
            f"{averages.folder} holds no average from before these weights to guide by. Name a weaker run with "
            '--weak, or train with the default preset or --set "ema.profiles=[0.05,0.1]", which store them.'
        )
    path = averages.path(profile)
    try:
        denoiser = run.averaged(device, path)
    except DamagedFileError as error:
        raise DamagedFileError(
            f"{error} Delete it, and another average takes its place, or add --autoguidance 1."
        ) from error
    return Weak(denoiser, f"its own average at step {profile.step:,} (sigma_rel {profile.sigma_rel:g})")
