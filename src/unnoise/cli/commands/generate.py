"""`unnoise generate`: draw new pictures with a run."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise import UnnoiseError, api
from unnoise.api import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.editing import save_edited
from unnoise.cli.signatures import takes


@takes(
    api.generate,
    ("lazy",),
    **cli.SAMPLING,
    seed=cli.option("N", "0"),
    labels=cli.option("CLASS ...", "all classes"),
    compile=cli.FLAG,
    batch_size=cli.option("N", "64"),
)
def generate(
    run: cli.Run,
    /,
    num_images: Annotated[int | None, cli.option("N", "36; with --from 5 of each picture")] = None,
    out: Annotated[Path | None, cli.option("PATH", "RUN/generated.png")] = None,
    from_images: Annotated[tuple[Path, ...], arg(name="from", metavar="IMAGE ...", help_behavior_hint="")] = (),
    from_held_out: Annotated[int, cli.option("N")] = 0,
    strength: Annotated[float | None, cli.option("S", "0.5")] = None,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Draw new pictures with a trained run, or new versions of given pictures.

    Writes them to --out, whose suffix chooses the kind. A seed always gives the same picture.

      unnoise generate runs/photos --num-images 100 --out grid.png
      unnoise generate runs/photos --seed 7 --out how-it-comes-about.gif
      unnoise generate runs/photos --from cat.jpg --strength 0.4

    Args:
        num_images: How many pictures to draw.
        out: A .png (one sheet), a .gif or .mp4 (noise turning into pictures), an .npz (the array "images",
            uint8, N x H x W x C), or a folder (one PNG each).
        from_images: Start from these pictures (or .npy and .npz arrays of them) instead of noise alone.
        from_held_out: Start from this many of the run's own pictures that it was not trained on.
        strength: With --from: how much to change, from 0 (nothing) to 1 (a new picture).
    """
    opened, path = api.open_run(run, device), out or run / "generated.png"
    if not from_images and not from_held_out:
        api.refuse_without_effect({"strength": strength}, "without --from or --from-held-out")
        amount = {} if num_images is None else {"num_images": num_images}
        drawing = api.generate(opened, **amount, **options, lazy=True)  # type: ignore[arg-type]
        tell_result("generated", drawing.save(path))
        return
    sheet, save = _redrawn_paths(run, path)
    chosen = {"held_out": from_held_out, "strength": strength, "versions": num_images}
    given = {name: value for name, value in chosen.items() if value is not None}
    save_edited("generated", api.redraw(opened, from_images, **given, **options), sheet, save)  # type: ignore[arg-type]


def _redrawn_paths(run: Path, out: Path) -> tuple[Path, Path | None]:
    """Where the sheet goes, and where the versions alone."""
    alone = out.is_dir() or out.suffix.lower() != ".png"
    if alone and out.suffix.lower() in api.ANIMATIONS:
        raise UnnoiseError(f"With --from, pictures go to a .png, an .npz or a folder, but --out is {out}.")
    sheet, save = (run / "redrawn.png", out) if alone else (out, None)
    return api.check_edited(sheet, save), save
