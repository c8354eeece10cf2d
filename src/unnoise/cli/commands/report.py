"""`unnoise report`: write a page about a run."""

from unnoise import api
from unnoise.api.reporting import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(api.report, out=cli.option("FILE", "RUN/report.html"))
def report(run: cli.Run, /, **options: object) -> None:
    """Write a page about a run: samples, curves, scores, copies, colours, and all settings.

    The page is one .html file that needs no network and no scripts. Of what was not measured it says how to
    measure it.

      unnoise report runs/photos
    """
    tell_result("report", api.report(api.open_run(run), **options))  # type: ignore[arg-type]
