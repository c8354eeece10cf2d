"""`unnoise report`: write a page about a run."""

from pathlib import Path
from typing import Annotated

from unnoise.cli import arguments as cli
from unnoise.cli.console import print_result
from unnoise.cli.output_paths import check_page


def report(run: cli.Run, /, out: Annotated[Path | None, cli.option("FILE", "RUN/report.html")] = None) -> None:
    """Write a page about a run: samples, curves, scores, copies, colours, and all settings.

    The page is one .html file that needs no network and no scripts. Of what was not measured it says how to
    measure it.

      unnoise report runs/photos

    Args:
        out: Where the page goes, an .html file.
    """
    from unnoise import reports

    path = check_page(out or run / "report.html", run)
    reports.save_page(reports.report(reports.RunFolder.read(run)), path)
    print_result("report", path)
