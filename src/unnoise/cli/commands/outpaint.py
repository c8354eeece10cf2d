"""`unnoise outpaint`: draw what lies around a picture."""

from pathlib import Path
from typing import Annotated

from unnoise.api.editing import (
    BACKGROUND_GREY,
    EditSession,
    chosen_jump_length,
    given_pictures,
    last_step,
    save_edited,
    save_sheet,
)
from unnoise.api.output_paths import check_edited
from unnoise.cli import arguments as cli
from unnoise.utils.errors import require

_LARGEST = 4096


def outpaint(
    run: cli.Run,
    images: cli.Images = (),
    /,
    size: Annotated[str | None, cli.option("H[xW]", "as high, and twice as wide")] = None,
    held_out: cli.HeldOut = 0,
    num_steps: cli.Steps = None,
    overlap: cli.Number = 0.5,
    repeats: cli.Integer = 3,
    jump_length: cli.JumpLength = None,
    label: cli.Label = None,
    seed: cli.Integer = 0,
    out: Annotated[Path | None, cli.sheet_option("outpainted.png")] = None,
    save: cli.SavePath = None,
    device: cli.Device = "auto",
) -> None:
    """Draw what could lie around pictures, which stay exactly as they are in the middle of a larger canvas.

    Writes a sheet of each canvas before and after. The run draws it in overlapping windows of its own size,
    which are averaged in every step.

      unnoise outpaint runs/photos cat.jpg --size 64x96

    Args:
        size: Height, or height x width, of the canvas in pixels.
        overlap: How much neighbouring windows overlap, from 0 to below 1. More is smoother, and takes longer.
        repeats: How often each step is taken. More fits the picture better, and takes longer.
        seed: Seed of the first picture; another seed draws something else.
    """
    from unnoise.diffusion import editing

    jumps = chosen_jump_length(jump_length, repeats)
    session = EditSession.open(run, num_steps, device)
    canvas = _canvas_size(session, size)
    sheet = check_edited(out or run / "outpainted.png", save)
    names, pixels = given_pictures(session.run.config, images, held_out, seed)
    placed, known = editing.on_canvas(pixels.float() / 255, canvas)
    draw = session.noises(seed, len(names), (session.denoiser.image_shape[0], *canvas))
    steps = editing.outpaint(
        session.denoise_label(label),
        session.normalized(pixels),
        draw(),
        session.num_steps,
        session.schedule,
        overlap=overlap,
        jump_length=jumps,
        repeats=repeats,
        times=session.times,
        draw_noises=draw,
    )
    drawn = session.denormalized(last_step(steps, repeats * session.num_steps, "Outpainting").images)
    columns = {"before": placed.where(known, BACKGROUND_GREY), "after": drawn.where(~known, placed)}
    save_sheet("outpainted", columns, sheet)
    save_edited(save, names, columns["after"])


def _canvas_size(session: EditSession, size: str | None) -> tuple[int, int]:
    """(height, width): what was asked for, or twice as wide as the pictures."""
    from unnoise.diffusion.editing import require_larger

    _, height, width = session.denoiser.image_shape
    canvas = cli.parse_size(size) or (height, 2 * width)
    require_larger(canvas, (height, width))
    require(
        max(canvas) <= _LARGEST,
        f"A canvas has at most {_LARGEST} pixels a side, but got {canvas[0]}x{canvas[1]}: lower --size.",
    )
    return canvas
