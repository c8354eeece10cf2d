"""`unnoise solve`: find the sampler that draws the best pictures in the fewest steps."""

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.solve,
    ("source",),
    minutes=cli.option("MINUTES", "5"),
    calls=cli.option("N ...", "4 6 8 10 20 50"),
    samplers=cli.option("NAME ...", "all"),
    spacings=cli.option("NAME ...", "all"),
    num_samples=cli.option("N", "as many as half of --minutes allow, 24 to 512"),
    extractor=cli.option("NAME|FILE", "auto"),
    seed=cli.option("N", "0"),
    keep=cli.FLAG,
)
def solve(
    run: cli.Run,
    source: cli.RunSource = None,
    /,
    restore: cli.Flag = False,
    device: cli.Device = "auto",
    **options: object,
) -> None:
    """Find the sampler that draws the best pictures in the fewest steps, and make it the run's own.

    Samplers draw the same seeds for the same number of network calls, and are compared with real pictures and
    with a reference of many steps. From then on unnoise generate uses the best one. With fewer than 256
    pictures of each, the differences may be chance, so the run keeps its sampler. Prints a table, and writes
    RUN/solve.json, RUN/solve/errors.png and RUN/solve/side_by_side.png.

      unnoise solve runs/photos --minutes 10
      unnoise solve runs/photos --samplers ddim unipc --calls 8 16 --keep

    Args:
        restore: Try nothing, and give the run back the sampler it had before a solve last changed it.
    """
    opened = api.open_run(run, device)
    if restore:
        api.restore_sampler(opened, source, **options, device=None if device == "auto" else device)
    else:
        api.solve(opened, source, **options)  # type: ignore[arg-type]
