"""`unnoise evaluate`: measure the quality of a run."""

from unnoise import api
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.evaluate,
    ("source",),
    explained_by=api.generate,
    **cli.SAMPLING,
    minutes=cli.option("MINUTES", "5"),
    num_samples=cli.option("N", "as many as --minutes allow, at most 10,000"),
    split=cli.option(None, "held-out"),
    extractor=cli.option("NAME|FILE", "auto"),
    weights=cli.option("FILE", "downloaded"),
    bits_per_dim=cli.FLAG,
    ode=cli.FLAG,
    num_images=cli.option("N", "256"),
    num_terms=cli.option("N", "64"),
    seed=cli.option("N", "0"),
    batch_size=cli.option("N", "64"),
)
def evaluate(
    run: cli.Run, source: cli.RunSource = None, /, device: cli.Device = "auto", **options: object
) -> None:
    """Measure how good a run's pictures are, and whether they are copies of training pictures.

    Draws samples and compares them with real pictures: KID, FID, precision, recall, density, coverage, copies
    and colours. Then it measures bits/dim of pictures that the run was not trained on. Prints tables, and
    writes all numbers to RUN/evaluation.json.

      unnoise evaluate runs/photos
      unnoise evaluate runs/photos --minutes 30 --extractor inception
      unnoise evaluate runs/photos --bits-per-dim
    """
    api.evaluate(api.open_run(run, device), source, **options)  # type: ignore[arg-type]
