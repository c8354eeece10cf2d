"""`unnoise restore`: enlarge, colour or sharpen pictures."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.editing import save_edited
from unnoise.cli.signatures import takes

_GIVEN = "The small, grey or blurred pictures: files, or .npy and .npz arrays of them."


@takes(
    api.restore,
    ("images",),
    factor=cli.option("N", "4"),
    sigma=cli.option("X", "1.5"),
    spoil=cli.FLAG,
    held_out=cli.option("N"),
    num_steps=cli.STEPS,
    num_solves=cli.option("N", "3"),
    noise=cli.option("X", "0.005"),
    label=cli.option("CLASS", "none"),
    seed=cli.option("N", "0"),
)
def restore(
    run: cli.Run,
    images: Annotated[tuple[Path, ...], Positional, cli.option("[IMAGE ...]", "", _GIVEN)] = (),
    /,
    out: Annotated[Path | None, cli.sheet_option("restored.png")] = None,
    save: cli.SavePath = None,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Enlarge small pictures, colour grey ones, or sharpen blurred ones.

    Writes a sheet of each picture before and after. The result is one of many possible ones, and agrees with
    the given picture: made small, grey or blurred again, it is nearly the same.

      unnoise restore runs/photos tiny.png --task upscale --factor 4
      unnoise restore runs/photos grey.jpg --task colourise
      unnoise restore runs/photos --held-out 4 --task deblur
    """
    sheet = api.check_edited(out or run / "restored.png", save)
    drawing = api.restore(api.open_run(run, device), images, **options)  # type: ignore[arg-type]
    save_edited("restored", drawing, sheet, save)
