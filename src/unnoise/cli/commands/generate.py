"""`unnoise generate`: draw new pictures with a run."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise import api
from unnoise.api.reporting import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.generate,
    "lazy",
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
    amount = {} if num_images is None else {"num_images": num_images}
    if from_images or from_held_out:
        chosen = {"strength": strength} if strength is not None else {}
        versions = {"versions": num_images} if num_images is not None else {}
        sheet, save = api.redrawn_paths(run, path)
        drawn = api.redraw(opened, from_images, held_out=from_held_out, **chosen, **versions, **options)  # type: ignore[arg-type]
        api.save_edited("generated", drawn, sheet, save)
        return
    api.refuse_without_effect({"strength": strength}, "without --from or --from-held-out")
    drawn = api.generate(opened, **amount, **options, lazy=True)  # type: ignore[arg-type]
    tell_result("generated", drawn.save(path))
