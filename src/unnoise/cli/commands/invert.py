"""`unnoise invert`: find the noises that pictures come from."""

from pathlib import Path
from typing import Annotated

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.editing import save_edited
from unnoise.cli.signatures import takes


@takes(
    api.invert,
    ("images",),
    held_out=cli.option("N"),
    num_steps=cli.option("N", "50"),
    label=cli.option("CLASS", "none"),
    seed=cli.option("N", "0"),
)
def invert(
    run: cli.Run,
    images: cli.Images = (),
    /,
    out: Annotated[Path | None, cli.sheet_option("inverted.png")] = None,
    save: Annotated[Path | None, cli.option("PATH", "only the sheet is written")] = None,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Find the noises from which the run draws given pictures, and show how exactly it does.

    Writes a sheet of each picture, its noises, and what the run draws from them. unnoise vary and unnoise morph
    --images use the same noises to draw similar pictures.

      unnoise invert runs/photos cat.jpg
      unnoise invert runs/photos --held-out 8 --save noises.npz

    Args:
        save: Also save an .npz with the redrawn pictures ("images") and their noises ("noises"), or a folder of
            PNGs of the pictures.
    """
    sheet = api.check_edited(out or run / "inverted.png", save)
    drawing = api.invert(api.open_run(run, device), images, **options)  # type: ignore[arg-type]
    save_edited("inverted", drawing, sheet, save)
