"""`unnoise morph`: turn pictures into one another."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise.cli import arguments as cli
from unnoise.cli.amounts import check_memory
from unnoise.cli.console import print_message, print_result
from unnoise.cli.editing import EditSession, InputPictures, given_pictures, save_sheet
from unnoise.cli.effects import refuse_without_effect
from unnoise.cli.generation import SeededGenerator, batches, save_morph
from unnoise.cli.output_paths import ANIMATIONS, check_generated

_COLUMNS = 6
"""Steps from one picture to the next on the sheet."""


def morph(
    run: cli.Run,
    /,
    seeds: Annotated[tuple[int, ...] | None, cli.option("SEED ...", "0 1 2 3")] = None,
    frames: cli.Integer = 64,
    num_steps: cli.Steps = None,
    images: Annotated[tuple[Path, ...], arg(metavar="IMAGE ...", help_behavior_hint="")] = (),
    held_out: Annotated[int, cli.option("N", "")] = 0,
    label: Annotated[
        str | None, cli.option("CLASS", "the first; with --images none", "Class of all frames.")
    ] = None,
    out: Annotated[Path | None, cli.option("PATH", "RUN/morph.gif")] = None,
    device: cli.Device = "auto",
) -> None:
    """Turn pictures into one another, and back into the first.

    Writes an animation that interpolates between the noises of the pictures. No noise is added on the way, so
    the pictures change smoothly: a run whose sampler adds noise uses ddim here.

      unnoise morph runs/photos --seeds 1 2 3
      unnoise morph runs/photos --images a.png b.png --out from-a-to-b.gif

    Args:
        seeds: Seeds of the pictures to pass, in order; at least two.
        frames: How many frames the animation has in all.
        images: Pass these pictures (or .npy and .npz arrays of them) instead of seeds. A sheet of the steps
            from each to the next is written beside --out, as a .png.
        held_out: Pass this many of the run's own pictures that it was not trained on, instead of seeds.
        out: A .gif or .mp4.
    """
    from unnoise.diffusion.seeds import require_seeds
    from unnoise.runs.checkpoint import Run
    from unnoise.training.loop import choose_device
    from unnoise.utils.files import require_suffix

    opened = Run.open(run)
    path = out or run / "morph.gif"
    require_suffix(path, *ANIMATIONS)
    check_generated(path)
    chosen = (0, 1, 2, 3) if seeds is None else seeds
    require_seeds(chosen)
    check_memory(opened.config, frames)
    if images or held_out:
        refuse_without_effect({"seeds": seeds}, "with --images or --held-out")
        session = EditSession.open(run, num_steps, device, inverts=True)
        given = given_pictures(opened.config, images, held_out, 0)
        _save_morph_of_pictures(session, given, frames, label, path)
    else:
        denoiser, own = opened.load(choose_device(device)), opened.config.recipe.sampling
        sampling = own if num_steps is None else replace(own, num_steps=num_steps)
        generator = SeededGenerator(denoiser, opened.config, sampling, (label,) if label else ())
        save_morph(generator, chosen, frames, path)
    print_result("morph", path)


def _save_morph_of_pictures(
    session: EditSession, given: InputPictures, frames: int, label: str | None, out: Path
) -> None:
    """Writes the animation through real pictures, and a sheet of the steps from each to the next."""
    import torch

    from unnoise import pictures
    from unnoise.diffusion.editing import noises_between
    from unnoise.diffusion.samplers import ddim

    denoise, steps = session.denoise_label(label), session.num_steps
    print_message("Finding the noises of the pictures.")
    noises = noises_between(
        denoise,
        session.normalized(given.pixels),
        frames,
        steps,
        session.schedule,
        closed=True,
        times=session.times,
    )
    parts = []
    for batch in batches(range(frames), "Morphing"):
        for prediction in ddim(denoise, noises[list(batch)], steps, session.schedule, times=session.times):
            images = prediction.images
        parts.append(session.denormalized(images))
    drawn, count = torch.cat(parts), len(given.names)
    pictures.save_animation(pictures.frames(drawn.unsqueeze(1)), out, hold_last=0.05)
    columns = {
        f"{round(100 * part / _COLUMNS)} %": drawn[
            [round(frames * (place + part / _COLUMNS) / count) % frames for place in range(count)]
        ]
        for part in range(_COLUMNS + 1)
    }
    before = given.pixels.float() / 255
    save_sheet("sheet", {"before": before, **columns, "next": before.roll(-1, 0)}, out.with_suffix(".png"))
