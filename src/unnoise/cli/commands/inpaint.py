"""`unnoise inpaint`: draw a part of a picture anew."""

from pathlib import Path
from typing import Annotated

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.editing import save_edited
from unnoise.cli.signatures import takes


@takes(
    api.inpaint,
    ("images",),
    mask=cli.option("MASK", "the middle is drawn anew"),
    held_out=cli.option("N"),
    num_steps=cli.STEPS,
    repeats=cli.option("N", "3"),
    jump_length=cli.option("N", "5"),
    label=cli.option("CLASS", "none"),
    seed=cli.option("N", "0"),
)
def inpaint(
    run: cli.Run,
    images: cli.Images = (),
    /,
    out: Annotated[Path | None, cli.sheet_option("inpainted.png")] = None,
    save: cli.SavePath = None,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Draw a part of pictures anew, so that it fits the rest (RePaint).

    Writes a sheet of each picture before, with its mask, and after. Pixels where the mask is white stay exactly
    as they are.

      unnoise inpaint runs/photos cat.jpg --mask mask.png
      unnoise inpaint runs/photos --held-out 4 --seed 2
    """
    sheet = api.check_edited(out or run / "inpainted.png", save)
    drawing = api.inpaint(api.open_run(run, device), images, **options)  # type: ignore[arg-type]
    save_edited("inpainted", drawing, sheet, save)
