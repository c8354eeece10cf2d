"""`unnoise outpaint`: what lies around a picture."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise.cli.editing import (
    BACKGROUND_GREY,
    Editor,
    ImageFiles,
    Label,
    RunFolder,
    Save,
    Steps,
    check_places,
    finish,
    save_results,
    watch,
)
from unnoise.cli.sizes import parse_size
from unnoise.utils.errors import require


def outpaint(
    run: RunFolder,
    images: ImageFiles = (),
    /,
    size: Annotated[str | None, arg(metavar="HxW", help_behavior_hint="(default: twice as wide)")] = None,
    held_out: int = 0,
    num_steps: Steps = None,
    overlap: float = 0.5,
    repeats: int = 3,
    jump_length: int = 5,
    label: Label = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PNG", help_behavior_hint="(default: RUN/outpainted.png)")] = None,
    save: Save = None,
    device: str = "auto",
) -> None:
    """Draws what could lie around a picture: a larger canvas, the middle of which stays exactly as it is.

    The run looks at it through windows of the size it knows, which overlap and have to agree.

    Args:
        run: The folder that unnoise train made.
        images: Picture files, or .npy and .npz arrays of them; cut and scaled as the run's own were.
        size: Of the canvas, in pixels, height first.
        held_out: Instead of images, so many of the run's own pictures that it was not trained on.
        num_steps: Of the way from noise to picture.
        overlap: Of neighbouring windows, from 0 to below 1; more is smoother, and takes longer.
        repeats: How often each step is taken; more fits better, and takes longer.
        jump_length: How many steps are taken together before they are repeated.
        label: The class, for a run that was trained with --labels.
        seed: Of the first picture's noises; other seeds draw other surroundings.
        out: The sheet.
        save: An .npz (array images, uint8, N x H x W x C), or a folder of PNGs.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.diffusion import editing

    editor = Editor.open(run, num_steps, device)
    canvas = chosen_canvas(editor, size)
    sheet = check_places(out or run / "outpainted.png", save)
    names, pixels = editor.given(images, held_out, seed)
    placed, known = editing.on_canvas(pixels.float() / 255, canvas)
    draw = editor.noises(seed, len(names), (editor.denoiser.image_shape[0], *canvas))
    walk = editing.outpaint(
        editor.of_class(label),
        editor.normalized(pixels),
        draw(),
        editor.num_steps,
        editor.schedule,
        overlap=overlap,
        jump_length=jump_length,
        repeats=repeats,
        times=editor.times,
        draw_noises=draw,
    )
    drawn = editor.shown(watch(walk, repeats * editor.num_steps, "Outpainting").images)
    columns = {"before": placed.where(known, BACKGROUND_GREY), "after": drawn.where(~known, placed)}
    finish("outpainted", columns, sheet)
    save_results(save, names, columns["after"])


def chosen_canvas(editor: Editor, size: str | None) -> tuple[int, int]:
    """(height, width): what was asked for, or twice as wide as the pictures."""
    from unnoise.diffusion.editing import require_larger

    _, height, width = editor.denoiser.image_shape
    canvas = parse_size(size) or (height, 2 * width)
    require_larger(canvas, (height, width))
    require(max(canvas) <= 4096, f"A canvas has at most 4096 pixels a side, but got {canvas[0]}x{canvas[1]}.")
    return canvas
