"""`unnoise inpaint`: draw a part of a picture anew."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from unnoise.api.editing import (
    BACKGROUND_GREY,
    EditSession,
    chosen_jump_length,
    decode_settings,
    given_pictures,
    last_step,
    save_edited,
    save_sheet,
)
from unnoise.api.output_paths import check_edited
from unnoise.api.reporting import tell
from unnoise.cli import arguments as cli

if TYPE_CHECKING:
    from collections.abc import Sequence

    from unnoise.diffusion.editing import Masks


def inpaint(
    run: cli.Run,
    images: cli.Images = (),
    /,
    mask: Annotated[Path | None, cli.option("MASK", "the middle is drawn anew")] = None,
    held_out: cli.HeldOut = 0,
    num_steps: cli.Steps = None,
    repeats: cli.Integer = 3,
    jump_length: cli.JumpLength = None,
    label: cli.Label = None,
    seed: cli.Integer = 0,
    out: Annotated[Path | None, cli.sheet_option("inpainted.png")] = None,
    save: cli.SavePath = None,
    device: cli.Device = "auto",
) -> None:
    """Draw a part of pictures anew, so that it fits the rest (RePaint).

    Writes a sheet of each picture before, with its mask, and after. Pixels where the mask is white stay exactly
    as they are.

      unnoise inpaint runs/photos cat.jpg --mask mask.png
      unnoise inpaint runs/photos --held-out 4 --seed 2

    Args:
        mask: A picture of the same size: white is kept, black is drawn anew. Where it is transparent it counts
            as the opposite of the rest.
        repeats: How often each step is taken. More fits the rest better, and takes longer.
        seed: Seed of the first picture; another seed draws something else.
    """
    from unnoise.diffusion import editing

    jumps = chosen_jump_length(jump_length, repeats)
    session, sheet = EditSession.open(run, num_steps, device), check_edited(out or run / "inpainted.png", save)
    names, pixels = given_pictures(session.run.config, images, held_out, seed)
    known = _known_pixels(session, mask, images)
    _announce_mask(known, mask)
    draw = session.noises(seed, len(names))
    steps = editing.inpaint(
        session.denoise_label(label),
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
    save_sheet("inpainted", columns, sheet)
    save_edited(save, names, after)


def _announce_mask(known: "Masks", path: "Path | None") -> None:
    """Says so if a mask keeps or redraws everything."""
    if known.all():
        tell(f"{path} is white everywhere: nothing is drawn anew. Paint black what should change.")
    elif not known.any():
        tell(f"{path} is white nowhere: everything is drawn anew. Paint white what should stay.")


def _known_pixels(session: EditSession, path: Path | None, images: "Sequence[Path]") -> "Masks":
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
    return torch.from_numpy(read_mask(path, settings, allowed)).view(1, 1, height, width)
