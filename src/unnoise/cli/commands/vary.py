"""`unnoise vary`: pictures like one that there is."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise.cli.editing import (
    Editor,
    ImageFiles,
    InversionSteps,
    Label,
    RunFolder,
    Save,
    check_places,
    finish,
    save_results,
    watch,
)
from unnoise.utils.errors import require


def vary(
    run: RunFolder,
    images: ImageFiles = (),
    /,
    held_out: int = 0,
    amount: float = 0.3,
    num_variations: int = 5,
    num_steps: InversionSteps = None,
    label: Label = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PNG", help_behavior_hint="(default: RUN/varied.png)")] = None,
    save: Save = None,
    device: str = "auto",
) -> None:
    """Draws pictures like those that are given: their noises, turned a little towards others.

    For versions that keep a picture's large forms rather than its kind, see unnoise generate --from.

    Args:
        run: The folder that unnoise train made.
        images: Picture files, or .npy and .npz arrays of them; cut and scaled as the run's own were.
        held_out: Instead, so many of the run's own pictures that it was not trained on.
        amount: From 0 (the same picture) to 1 (another one).
        num_variations: Of each picture.
        num_steps: Steps to the noises and back; each costs four or five calls of the network.
        label: The class, for a run that was trained with --labels.
        seed: Of the noises that are turned to, and of the choice of held-out pictures.
        out: The sheet.
        save: An .npz (array images, uint8, N x H x W x C), or a folder of PNGs.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.diffusion import editing

    editing.require_amount(amount)
    require(num_variations >= 1, f"At least 1 variation can be drawn, but {num_variations} were asked for.")
    editor = Editor.open(run, num_steps, device, inverts=True)
    sheet = check_places(out or run / "varied.png", save)
    names, pixels = editor.given(images, held_out, seed)
    noises = editor.noises(seed, num_variations * len(names))()
    walk = editing.vary(
        editor.of_class(label),
        editor.normalized(pixels),
        noises,
        amount,
        editor.num_steps,
        editor.schedule,
        times=editor.times,
    )
    varied = editor.shown(watch(walk, editor.num_steps, "Varying").images)
    versions = varied.chunk(num_variations)
    columns = {f"variation {number}": some for number, some in enumerate(versions, start=1)}
    finish("varied", {"before": pixels.float() / 255, **columns}, sheet)
    save_results(save, [f"{name}-{n + 1}" for n in range(num_variations) for name in names], varied)
