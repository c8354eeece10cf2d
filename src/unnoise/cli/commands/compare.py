"""`unnoise compare`: compare runs, in the terminal and on a page."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional

from unnoise import api
from unnoise.api import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.compare,
    ("runs",),
    out=Annotated[Path, cli.option("FILE", "compare.html")],
    seeds=cli.option("N", "8"),
    num_steps=cli.option("N", "each run's own"),
    device=cli.DEVICE,
)
def compare(runs: Annotated[tuple[Path, ...], Positional, cli.option("RUN ...")], /, **options: object) -> None:
    """Compare runs: pictures of the same seeds, scores, curves, and differing settings.

    Prints a table of scores, and writes a page with all of it: one .html file that needs no network and no
    scripts.

      unnoise compare runs/first runs/second

    Args:
        runs: Folders of two or more runs, as written by unnoise train.
    """
    api.compare(runs, **options)  # type: ignore[arg-type]
    tell_result("comparison", Path(str(options["out"])))
