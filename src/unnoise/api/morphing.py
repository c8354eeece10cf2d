"""Morphs: pictures that turn into one another, by spherical interpolation of their noises."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.amounts import check_memory
from unnoise.api.drawing import Animation, Drawing
from unnoise.api.editing import EditSession, given_pictures
from unnoise.api.effects import refuse_without_effect
from unnoise.api.generating import step_counter
from unnoise.api.reporting import Progress, progress_bar, reporting, tell
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.tensors import Classes, Images

_SEEDS = (0, 1, 2, 3)
_COLUMNS = 6
"""Steps from one picture to the next on the sheet."""
_BATCH = 64


class Morph(Animation):
    """An animation through pictures and back to the first.

    Args:
        drawn: its frames, (F, C, H, W) in [0, 1].
        given: the real pictures that it passes through, if any.
    """

    def __init__(self, drawn: "Images", given: "Images | None" = None) -> None:
        from unnoise import pictures

        super().__init__(pictures.frames(drawn.unsqueeze(1)), hold_last=0.05)
        self.tensor = drawn
        self._given = given

    def steps(self) -> Drawing:
        """A sheet of the steps from each real picture to the next.

        Raises:
            UnnoiseError: for a morph of seeds.
        """
        require(self._given is not None, "A morph of seeds has no real pictures: call save() instead.")
        assert self._given is not None
        given, frames = self._given, len(self.tensor)
        columns = {
            f"{round(100 * part / _COLUMNS)} %": self.tensor[
                [round(frames * (place + part / _COLUMNS) / len(given)) % frames for place in range(len(given))]
            ]
            for part in range(_COLUMNS + 1)
        }
        names = [f"{place:06d}" for place in range(frames)]
        return Drawing(self.tensor, names, {"before": given, **columns, "next": given.roll(-1, 0)})


def morph(
    run: "OpenRun",
    seeds: Sequence[int] | None = None,
    *,
    frames: int = 64,
    num_steps: int | None = None,
    images: Sequence[str | Path] = (),
    held_out: int = 0,
    label: str | None = None,
    progress: Progress | None = None,
) -> Morph:
    """Turns pictures into one another, and back into the first.

    No noise is added on the way, so the pictures change smoothly: a run whose sampler adds noise uses ddim.

    Args:
        run: the run.
        seeds: Seeds of the pictures to pass, in order; at least two.
        frames: How many frames the animation has in all.
        num_steps: Steps from noise to picture. More is finer and slower; 10 to 50 is usual.
        images: Pass these pictures (or .npy and .npz arrays of them) instead of seeds.
        held_out: Pass this many of the run's own pictures that it was not trained on, instead of seeds.
        label: Class of all frames.
        progress: called with the fraction that is done, and what is being done.

    Raises:
        UnnoiseError: for values out of range, options without effect, and pictures that can't be read.
    """
    from unnoise.diffusion.seeds import require_seeds

    require_seeds(_SEEDS if seeds is None else seeds)
    check_memory(run.config, frames)
    with reporting(progress):
        if images or held_out:
            refuse_without_effect({"seeds": seeds}, "with --images or --held-out")
            return _through_pictures(run, [Path(one) for one in images], held_out, frames, num_steps, label)
        return _through_seeds(run, _SEEDS if seeds is None else seeds, frames, num_steps, label)


def _through_seeds(
    run: "OpenRun", seeds: Sequence[int], frames: int, num_steps: int | None, label: str | None
) -> Morph:
    import torch

    from unnoise.diffusion import interpolation
    from unnoise.runs.autoguidance import load_as_it_draws, own_sampling

    sampling = replace(own_sampling(run.folder), eta=0.0)
    sampling = sampling if num_steps is None else replace(sampling, num_steps=num_steps)
    if not sampling.deterministic:
        sampling = replace(sampling, sampler="ddim")
    denoiser = load_as_it_draws(run.folder, run.torch_device, sampling=sampling)
    noises = interpolation.path(denoiser.noises(seeds)(), frames, closed=True)
    classes = run.config.classes([0] * frames, (label,) if label else ())  # one and the same all the way
    if classes is None:
        classes = _shares(denoiser, denoiser.abilities.classes_of_seeds(seeds), frames)
    parts, done = [], 0
    with progress_bar("Morphing", frames) as bar:
        for some in torch.split(noises, _BATCH):
            told = None if classes is None else classes[done : done + len(some)]
            each_step = step_counter(bar, done, len(some), sampling.num_steps)
            how = {"sampling": sampling, "classes": told, "each_step": each_step}
            parts.append(denoiser.generate(initial_noises=some, **how).cpu())  # type: ignore[arg-type]
            done += len(some)
    return Morph(torch.cat(parts))


def _shares(denoiser: "Denoiser", ends: "Classes | None", frames: int) -> "Classes | None":
    """The shares of all clusters in each frame, for the clusters of the pictures that it passes through."""
    from unnoise.diffusion import interpolation

    if ends is None:
        return None
    return interpolation.class_path(ends, denoiser.abilities.num_classes, frames, closed=True)


def _through_pictures(
    run: "OpenRun", images: Sequence[Path], held_out: int, frames: int, num_steps: int | None, label: str | None
) -> Morph:
    import torch

    from unnoise.diffusion.editing import noises_between
    from unnoise.diffusion.samplers import ddim

    session = EditSession.open(run, num_steps, inverts=True)
    given = given_pictures(run.config, images, held_out, 0)
    denoise, steps, times = session.denoise_label(label, given.pixels), session.num_steps, session.times
    tell("Finding the noises of the pictures.")
    real = session.normalized(given.pixels)
    noises = noises_between(denoise, real, frames, steps, session.schedule, closed=True, times=times)
    parts = []
    shares = _shares(session.denoiser, session.denoiser.abilities.classes_of(given.pixels), frames)
    with progress_bar("Morphing", frames) as bar:
        for first, some in zip(range(0, frames, _BATCH), torch.split(noises, _BATCH), strict=True):
            if shares is not None:
                denoise = session.denoise(shares[first : first + _BATCH])
            for prediction in ddim(denoise, some, steps, session.schedule, times=times):
                drawn = prediction.images
            parts.append(session.denormalized(drawn))
            bar.advance(len(some))
    return Morph(torch.cat(parts), given.pixels.float() / 255)
