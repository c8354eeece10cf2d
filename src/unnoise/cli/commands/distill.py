"""`unnoise distill`: make a run that draws in two calls of its network from one that draws in many."""

from contextlib import suppress

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes
from unnoise.cli.streams import guarded_output


@takes(
    api.distill,
    out=cli.option("DIR", "RUN-few-steps"),
    pictures=cli.option("PICTURES", "the run's own"),
    minutes=cli.option("N", "10"),
    steps=cli.option("N"),
    images=cli.option("N"),
    guidance=cli.option("SCALE", "the run's own"),
    autoguidance=cli.option("SCALE", "the run's own"),
    resume=cli.FLAG,
)
def distill(run: cli.Run, /, device: cli.Device = "auto", **options: object) -> None:
    """Make a run that draws in one or two calls of its network what another draws in many.

    Starts from the averaged weights of the run, lets the run walk from noises to pictures, and learns to jump
    from any noise level to any lower one. The result is a run of its own, which draws about ten times as fast.
    Ctrl-C saves and stops; the same command with --resume goes on where it stopped.

      unnoise distill runs/photos --minutes 10 --out runs/fast
      unnoise generate runs/fast --out grid.png
      unnoise generate runs/fast --num-steps 1 --out one.png
    """
    with guarded_output(needed=False), suppress(KeyboardInterrupt):
        api.distill(api.open_run(run, device), **options)  # type: ignore[arg-type]
