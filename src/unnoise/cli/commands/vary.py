"""`unnoise vary`: draw pictures like given ones."""

from pathlib import Path
from typing import Annotated

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.editing import save_edited
from unnoise.cli.signatures import takes


@takes(
    api.vary,
    ("images",),
    held_out=cli.option("N"),
    amount=cli.option("X", "0.3"),
    num_variations=cli.option("N", "5"),
    num_steps=cli.option("N", "50"),
    label=cli.option("CLASS", "none"),
    seed=cli.option("N", "0"),
)
def vary(
    run: cli.Run,
    images: cli.Images = (),
    /,
    out: Annotated[Path | None, cli.sheet_option("varied.png")] = None,
    save: cli.SavePath = None,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Draw variations of pictures: finds the noises of each, and moves them a little towards other noises.

    Writes a sheet of each picture and its variations. They keep the kind of picture, but not its large shapes;
    for those see unnoise generate --from.

      unnoise vary runs/photos cat.jpg --amount 0.3
      unnoise vary runs/photos --held-out 4 --num-variations 8
    """
    sheet = api.check_edited(out or run / "varied.png", save)
    drawing = api.vary(api.open_run(run, device), images, **options)  # type: ignore[arg-type]
    save_edited("varied", drawing, sheet, save)
