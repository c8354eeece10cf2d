"""`unnoise morph`: turn pictures into one another."""

from pathlib import Path
from typing import Annotated

from unnoise import api
from unnoise.api.reporting import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.morph,
    seeds=cli.option("SEED ...", "0 1 2 3"),
    frames=cli.option("N", "64"),
    num_steps=cli.STEPS,
    images=cli.option("IMAGE ..."),
    held_out=cli.option("N"),
    label=cli.option("CLASS", "the first; with --images none"),
)
def morph(
    run: cli.Run,
    /,
    out: Annotated[Path | None, cli.option("PATH", "RUN/morph.gif")] = None,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Turn pictures into one another, and back into the first.

    Writes an animation that interpolates between the noises of the pictures. No noise is added on the way, so
    the pictures change smoothly: a run whose sampler adds noise uses ddim here. A sheet of the steps from each
    real picture to the next is written beside it, as a .png.

      unnoise morph runs/photos --seeds 1 2 3
      unnoise morph runs/photos --images a.png b.png --out from-a-to-b.gif

    Args:
        out: A .gif or .mp4.
    """
    opened, path = api.open_run(run, device), api.check_animation(out or run / "morph.gif")
    made = api.morph(opened, **options)  # type: ignore[arg-type]
    made.save(path)
    if options["images"] or options["held_out"]:
        tell_result("sheet", made.steps().save(path.with_suffix(".png")))
    tell_result("morph", path)
