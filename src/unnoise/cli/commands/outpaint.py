"""`unnoise outpaint`: draw what lies around a picture."""

from pathlib import Path
from typing import Annotated

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.editing import save_edited
from unnoise.cli.signatures import takes


@takes(
    api.outpaint,
    ("images",),
    size=cli.size_option("as high, and twice as wide"),
    held_out=cli.option("N"),
    num_steps=cli.STEPS,
    overlap=cli.option("X", "0.5"),
    repeats=cli.option("N", "3"),
    jump_length=cli.option("N", "5"),
    label=cli.option("CLASS", "none"),
    seed=cli.option("N", "0"),
)
def outpaint(
    run: cli.Run,
    images: cli.Images = (),
    /,
    out: Annotated[Path | None, cli.sheet_option("outpainted.png")] = None,
    save: cli.SavePath = None,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Draw what could lie around pictures, which stay exactly as they are in the middle of a larger canvas.

    Writes a sheet of each canvas before and after. The run draws it in overlapping windows of its own size,
    which are averaged in every step.

      unnoise outpaint runs/photos cat.jpg --size 64x96
    """
    sheet = api.check_edited(out or run / "outpainted.png", save)
    drawing = api.outpaint(api.open_run(run, device), images, **options)  # type: ignore[arg-type]
    save_edited("outpainted", drawing, sheet, save)
