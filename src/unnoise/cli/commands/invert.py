"""`unnoise invert`: find the noises that pictures come from."""

from pathlib import Path
from typing import Annotated

from unnoise.api.editing import EditSession, difference, given_pictures, last_step, save_edited, save_sheet
from unnoise.api.effects import refuse_without_effect
from unnoise.api.output_paths import check_edited
from unnoise.api.reporting import tell
from unnoise.cli import arguments as cli


def invert(
    run: cli.Run,
    images: cli.Images = (),
    /,
    held_out: cli.HeldOut = 0,
    num_steps: cli.InversionSteps = None,
    label: cli.Label = None,
    seed: Annotated[int | None, cli.option("N", "0")] = None,
    out: Annotated[Path | None, cli.sheet_option("inverted.png")] = None,
    save: Annotated[Path | None, cli.option("PATH", "only the sheet is written")] = None,
    device: cli.Device = "auto",
) -> None:
    """Find the noises from which the run draws given pictures, and show how exactly it does.

    Writes a sheet of each picture, its noises, and what the run draws from them. unnoise vary and unnoise morph
    --images use the same noises to draw similar pictures.

      unnoise invert runs/photos cat.jpg
      unnoise invert runs/photos --held-out 8 --save noises.npz

    Args:
        num_steps: Steps each way. More is more exact; a step towards the noises costs three or four calls of
            the network.
        seed: With --held-out: seed of the choice of pictures.
        save: Also save an .npz with the redrawn pictures ("images") and their noises ("noises"), or a folder of
            PNGs of the pictures.
    """
    from unnoise.diffusion import editing
    from unnoise.diffusion.samplers import ddim

    if images:
        refuse_without_effect({"seed": seed}, "with the files of pictures")
    session = EditSession.open(run, num_steps, device, inverts=True)
    sheet = check_edited(out or run / "inverted.png", save)
    names, pixels = given_pictures(session.run.config, images, held_out, seed or 0)
    before = pixels.float() / 255
    denoise = session.denoise_label(label)
    steps, schedule, times = session.num_steps, session.schedule, session.times
    inversion = editing.invert(denoise, session.normalized(pixels), steps, schedule, times=times)
    found = last_step(inversion, steps, "Inverting")
    drawing = ddim(denoise, found.noisy_images, steps, schedule, times=times)
    after = session.denormalized(last_step(drawing, steps, "Drawing").images)
    tell(f"The redrawn pictures differ from the given ones by {difference(after, before)}.")
    tell(f"{steps} steps each way: {found.calls} calls of the network to the noises, {steps} back.")
    noises = session.denormalized(found.noisy_images)
    save_sheet("inverted", {"before": before, "noises": noises, "after": after}, sheet)
    save_edited(save, names, after, noises=found.noisy_images)
