"""Outpainting: what could lie around pictures, in overlapping windows of a larger canvas."""

from typing import TYPE_CHECKING

from unnoise.api.drawing import Drawing
from unnoise.api.editing import EditSession, Sources, chosen_jump_length, given_pictures, last_step, paths_of
from unnoise.api.reporting import Progress, reporting
from unnoise.api.words import Size, parse_size
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun

_LARGEST = 4096


def outpaint(
    run: "OpenRun",
    images: Sources = (),
    *,
    size: Size | None = None,
    held_out: int = 0,
    num_steps: int | None = None,
    overlap: float = 0.5,
    repeats: int = 3,
    jump_length: int | None = None,
    label: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Drawing:
    """Draws what could lie around pictures, which stay exactly as they are in the middle of a larger canvas.

    Args:
        run: the run.
        images: Pictures, or .npy or .npz arrays, cut and scaled as the run's own were.
        size: Height, or height x width, of the canvas in pixels.
        held_out: Instead of images: this many of the run's own pictures that it was not trained on.
        num_steps: Steps from noise to picture. More is finer and slower; 10 to 50 is usual.
        overlap: How much neighbouring windows overlap, from 0 to below 1. More is smoother, and takes longer.
        repeats: How often each step is taken. More fits the picture better, and takes longer.
        jump_length: How many steps are taken together before they are repeated.
        label: Class of the pictures, for a run that was trained with --labels.
        seed: Seed of the first picture; another seed draws something else.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The canvases; the sheet shows each before and after.

    Raises:
        UnnoiseError: for values out of range, and pictures that can't be read.
    """
    from unnoise.diffusion import editing
    from unnoise.pictures.stages import BACKGROUND_GREY

    with reporting(progress):
        jumps = chosen_jump_length(jump_length, repeats)
        session = EditSession.open(run, num_steps)
        canvas = _canvas_size(session, size)
        names, pixels = given_pictures(run.config, paths_of(images), held_out, seed)
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
    after = drawn.where(~known, placed)
    return Drawing(after, names, {"before": placed.where(known, BACKGROUND_GREY), "after": after})


def _canvas_size(session: EditSession, size: Size | None) -> tuple[int, int]:
    """(height, width): what was asked for, or twice as wide as the pictures."""
    from unnoise.diffusion.editing import require_larger

    _, height, width = session.denoiser.image_shape
    canvas = parse_size(size) or (height, 2 * width)
    require_larger(canvas, (height, width))
    require(
        max(canvas) <= _LARGEST,
        f"A canvas has at most {_LARGEST} pixels a side, but got {canvas[0]}x{canvas[1]}: lower --size.",
    )
    return canvas
