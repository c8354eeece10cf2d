"""Inpainting: a part of pictures, drawn anew (RePaint, 2201.09865)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.drawing import Drawing
from unnoise.api.editing import (
    EditSession,
    Sources,
    chosen_jump_length,
    decode_settings,
    given_pictures,
    last_step,
    paths_of,
)
from unnoise.api.reporting import Progress, reporting, tell

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.diffusion.editing import Masks
    from unnoise.diffusion.tensors import Images, Pixels


def inpaint(
    run: "OpenRun",
    images: Sources = (),
    *,
    mask: str | Path | None = None,
    held_out: int = 0,
    num_steps: int | None = None,
    repeats: int = 3,
    jump_length: int | None = None,
    label: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Drawing:
    """Draws a part of pictures anew, so that it fits the rest. White pixels of the mask stay as they are.

    Args:
        run: the run.
        images: Pictures, or .npy or .npz arrays, cut and scaled as the run's own were.
        mask: A picture of the same size: white is kept, black is drawn anew. Where it is transparent it counts
            as the opposite of the rest.
        held_out: Instead of images: this many of the run's own pictures that it was not trained on.
        num_steps: Steps from noise to picture. More is finer and slower; 10 to 50 is usual.
        repeats: How often each step is taken. More fits the rest better, and takes longer.
        jump_length: How many steps are taken together before they are repeated.
        label: Class of the pictures, for a run that was trained with --labels.
        seed: Seed of the first picture; another seed draws something else.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The pictures; the sheet shows each before, with its mask, and after.

    Raises:
        UnnoiseError: for values out of range, and pictures or masks that can't be read.
    """
    from unnoise.diffusion import editing
    from unnoise.pictures.stages import BACKGROUND_GREY

    with reporting(progress):
        jumps, paths = chosen_jump_length(jump_length, repeats), paths_of(images)
        session = EditSession.open(run, num_steps)
        names, pixels = given_pictures(run.config, paths, held_out, seed)
        known = _known_pixels(session, None if mask is None else Path(mask), paths)
        draw = session.noises(seed, len(names))
        steps = editing.inpaint(
            session.denoise_label(label, _known_alone(pixels, known), range(seed, seed + len(names))),
            session.normalized(pixels),
            known.expand(len(names), -1, -1, -1).to(session.denoiser.device),
            draw(),
            session.num_steps,
            session.schedule,
            jump_length=jumps,
            repeats=repeats,
            times=session.times,
            draw_noises=draw,
        )
        drawn = session.denormalized(last_step(steps, repeats * session.num_steps, "Inpainting").images)
    before = pixels.float() / 255
    after = drawn.where(~known, before)  # exact also after normalizing there and back
    columns = {"before": before, "mask": before.where(known, BACKGROUND_GREY), "after": after}
    return Drawing(after, names, columns)


def _known_alone(pixels: "Pixels", known: "Masks") -> "Images | None":
    """The pictures in [0, 1] with the mean of what is known in place of what is not; None if nothing is."""
    if not known.any():
        return None
    images, shown = pixels.float() / 255, known.expand(len(pixels), -1, -1, -1)
    means = (images * shown).sum((2, 3), keepdim=True) / shown.sum((2, 3), keepdim=True).clamp(min=1)
    return images.where(shown, means)


def _known_pixels(session: EditSession, path: Path | None, images: Sequence[Path]) -> "Masks":
    """What is kept, (1, 1, H, W): the white of the file, or all but the middle, half as high and as wide."""
    import torch

    from unnoise.data import picture_size, read_mask

    settings = decode_settings(session.run.config)
    height, width = settings.known_size()
    if path is None:
        known = torch.ones(1, 1, height, width, dtype=torch.bool)
        known[..., height // 4 : height - height // 4, width // 4 : width - width // 4] = False
        return known
    sizes = {picture_size(image) for image in images if image.suffix.lower() not in {".npy", ".npz"}}
    # A mask that was drawn over one picture fits all others only if these are as large.
    allowed = [*(sizes if len(sizes) == 1 else ()), (height, width)]
    known = torch.from_numpy(read_mask(path, settings, allowed)).view(1, 1, height, width)
    if known.all():
        tell(f"{path} is white everywhere: nothing is drawn anew. Paint black what should change.")
    elif not known.any():
        tell(f"{path} is white nowhere: everything is drawn anew. Paint white what should stay.")
    return known
