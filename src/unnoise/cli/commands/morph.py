"""`unnoise morph`: from one picture to the next, over the sphere of noises."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise.cli.commands.generate import ANIMATIONS, Drawing, Steps, batches, check_out
from unnoise.cli.console import result, say
from unnoise.cli.editing import Editor, Given, finish


def morph(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    seeds: tuple[int, ...] = (0, 1, 2, 3),
    frames: int = 64,
    num_steps: Steps = None,
    images: Annotated[tuple[Path, ...], arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="")] = (),
    held_out: int = 0,
    label: Annotated[
        str | None, arg(metavar="CLASS", help_behavior_hint="(default: the first; none for images)")
    ] = None,
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: RUN/morph.gif)")] = None,
    device: str = "auto",
) -> None:
    """Turns pictures into one another: spherical interpolation between their noises, and back to the first.

    Without fresh noise on the way, so that the start decides all and the pictures flow: a run whose sampler
    draws some is walked by ddim.

    Args:
        run: The folder that unnoise train made.
        seeds: Of the pictures on the way, in order; at least two.
        frames: Of the animation, over the whole way.
        num_steps: Steps of the run's sampler for each frame.
        images: Instead of seeds, picture files (or .npy and .npz arrays) in order; a .png beside --out shows
            the ways between them.
        held_out: Instead of seeds, so many of the run's own pictures that it was not trained on.
        label: The class, for a run that was trained with --labels.
        out: A .gif or .mp4.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.utils.files import require_suffix
    from unnoise.runs.checkpoint import Run
    from unnoise.training.loop import choose_device

    opened = Run.open(run)
    target = out or run / "morph.gif"
    require_suffix(target, *ANIMATIONS)
    check_out(target)
    if images or held_out:
        editor = Editor.open(run, num_steps, device, inverts=True)
        save_way(editor, editor.given(images, held_out, 0), frames, label, target)
    else:
        denoiser = opened.load(choose_device(device))
        own = opened.config.recipe.sampling
        sampling = replace(own, num_steps=own.num_steps if num_steps is None else num_steps)
        save_morph(
            Drawing(denoiser, opened.config, sampling, (label,) if label else ()), seeds, frames, target
        )
    result("morph", target)


def save_way(editor: Editor, given: Given, frames: int, label: str | None, out: Path) -> None:
    """Writes the loop through real pictures, and a sheet of the ways from each to the next."""
    import torch

    from unnoise import pictures
    from unnoise.diffusion.editing import noises_between
    from unnoise.diffusion.samplers import ddim

    denoise, steps = editor.of_class(label), editor.num_steps
    say("Looking for the noises of the pictures.")
    noises = noises_between(
        denoise,
        editor.normalized(given.pixels),
        frames,
        steps,
        editor.schedule,
        closed=True,
        times=editor.times,
    )
    parts = []
    for batch in batches(range(frames), "Morphing"):
        for prediction in ddim(denoise, noises[list(batch)], steps, editor.schedule, times=editor.times):
            images = prediction.images
        parts.append(editor.shown(images))
    drawn, count = torch.cat(parts), len(given.names)
    pictures.save_animation(pictures.frames(drawn.unsqueeze(1)), out, hold_last=0.05)
    columns = {
        f"{round(100 * part / _COLUMNS)} %": drawn[
            [round(frames * (place + part / _COLUMNS) / count) % frames for place in range(count)]
        ]
        for part in range(_COLUMNS + 1)
    }
    before = given.pixels.float() / 255
    finish("sheet", {"before": before, **columns, "next": before.roll(-1, 0)}, out.with_suffix(".png"))


_COLUMNS = 6
"""Steps of a way on the sheet."""


def save_morph(drawing: Drawing, seeds: tuple[int, ...], frames: int, out: Path) -> None:
    """Writes the loop through the pictures of these seeds."""
    import torch

    from unnoise import pictures
    from unnoise.diffusion.interpolation import path

    denoiser, config = drawing.denoiser, drawing.config
    sampling = replace(drawing.sampling, eta=0.0)
    if not sampling.deterministic:
        sampling = replace(sampling, sampler="ddim")
    noises = path(denoiser.noises(seeds)(), frames, closed=True)
    classes = config.classes([0] * frames, drawing.labels)  # one and the same all the way
    parts = [
        denoiser.generate(
            initial_noises=noises[list(batch)],
            sampling=sampling,
            classes=None if classes is None else classes[: len(batch)],
        ).cpu()
        for batch in batches(range(frames), "Morphing")
    ]
    shown = pictures.frames(torch.cat(parts).unsqueeze(1))  # a trajectory of one picture
    pictures.save_animation(shown, out, hold_last=0.05)
