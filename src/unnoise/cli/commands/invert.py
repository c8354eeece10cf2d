"""`unnoise invert`: from a picture to the noises that it comes from, and back."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise.cli.console import say
from unnoise.cli.editing import (
    Editor,
    ImageFiles,
    InversionSteps,
    Label,
    RunFolder,
    Save,
    check_places,
    difference,
    finish,
    save_results,
    watch,
)


def invert(
    run: RunFolder,
    images: ImageFiles = (),
    /,
    held_out: int = 0,
    num_steps: InversionSteps = None,
    label: Label = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PNG", help_behavior_hint="(default: RUN/inverted.png)")] = None,
    save: Save = None,
    device: str = "auto",
) -> None:
    """Finds the noises that a picture comes from, and shows how exactly they lead back to it.

    The sheet shows each picture before, its noises, and what the run draws from them. Nearby noises give
    similar pictures: unnoise vary and unnoise morph --images go there.

    Args:
        run: The folder that unnoise train made.
        images: Picture files, or .npy and .npz arrays of them; cut and scaled as the run's own were.
        held_out: Instead, so many of the run's own pictures that it was not trained on.
        num_steps: Steps each way; a step back takes three or four calls of the network.
        label: The class, for a run that was trained with --labels.
        seed: Of the choice of held-out pictures.
        out: The sheet.
        save: An .npz with the pictures (images) and their noises (noises), or a folder of PNGs.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.diffusion import editing
    from unnoise.diffusion.samplers import ddim

    editor = Editor.open(run, num_steps, device, inverts=True)
    sheet = check_places(out or run / "inverted.png", save)
    names, pixels = editor.given(images, held_out, seed)
    before = pixels.float() / 255
    denoise = editor.of_class(label)
    steps, schedule, times = editor.num_steps, editor.schedule, editor.times
    back = editing.invert(denoise, editor.normalized(pixels), steps, schedule, times=times)
    found = watch(back, steps, "Inverting")
    there = ddim(denoise, found.noisy_images, steps, schedule, times=times)
    after = editor.shown(watch(there, steps, "Drawing").images)
    say(f"There and back the pictures differ by {difference(after, before)}.")
    say(f"{steps} steps; {found.calls} calls of the network to the noises, {steps} back.")
    noises = editor.shown(found.noisy_images)
    finish("inverted", {"before": before, "noises": noises, "after": after}, sheet)
    save_results(save, names, after, noises=found.noisy_images)
