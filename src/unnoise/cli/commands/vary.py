"""`unnoise vary`: draw pictures like given ones."""

from pathlib import Path
from typing import Annotated

from unnoise.api.editing import EditSession, given_pictures, last_step, save_edited, save_sheet
from unnoise.api.output_paths import check_edited
from unnoise.cli import arguments as cli
from unnoise.utils.errors import require


def vary(
    run: cli.Run,
    images: cli.Images = (),
    /,
    held_out: cli.HeldOut = 0,
    amount: cli.Number = 0.3,
    num_variations: cli.Integer = 5,
    num_steps: cli.InversionSteps = None,
    label: cli.Label = None,
    seed: cli.Integer = 0,
    out: Annotated[Path | None, cli.sheet_option("varied.png")] = None,
    save: cli.SavePath = None,
    device: cli.Device = "auto",
) -> None:
    """Draw variations of pictures: finds the noises of each, and moves them a little towards other noises.

    Writes a sheet of each picture and its variations. They keep the kind of picture, but not its large shapes;
    for those see unnoise generate --from.

      unnoise vary runs/photos cat.jpg --amount 0.3
      unnoise vary runs/photos --held-out 4 --num-variations 8

    Args:
        amount: How different the variations are, from 0 (the same picture) to 1 (another one).
        num_variations: How many variations of each picture.
        num_steps: Steps to the noises and back. Each costs four or five calls of the network.
        seed: Seed of the variations, and of the choice of held-out pictures.
    """
    from unnoise.diffusion import editing

    editing.require_amount(amount)
    require(num_variations >= 1, f"At least 1 variation can be drawn, but {num_variations} were asked for.")
    session = EditSession.open(run, num_steps, device, inverts=True)
    sheet = check_edited(out or run / "varied.png", save)
    names, pixels = given_pictures(session.run.config, images, held_out, seed)
    noises = session.noises(seed, num_variations * len(names))()
    steps = editing.vary(
        session.denoise_label(label),
        session.normalized(pixels),
        noises,
        amount,
        session.num_steps,
        session.schedule,
        times=session.times,
    )
    varied = session.denormalized(last_step(steps, session.num_steps, "Varying").images)
    versions = varied.chunk(num_variations)
    columns = {f"variation {number}": some for number, some in enumerate(versions, start=1)}
    save_sheet("varied", {"before": pixels.float() / 255, **columns}, sheet)
    save_edited(save, [f"{name}-{n + 1}" for n in range(num_variations) for name in names], varied)
