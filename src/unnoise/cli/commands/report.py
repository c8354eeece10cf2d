"""`unnoise report`: all about one run, on one page."""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise.cli.console import result


def report(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    out: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: RUN/report.html)")] = None,
) -> None:
    """Writes a page about a run: samples, curves, scores, copies, colours, and how it was made.

    One file that needs no network and no script. What was not measured is left out, and the page says how to
    measure it.

    Args:
        run: The folder that unnoise train made.
        out: The page.
    """
    from unnoise import reports
    from unnoise.cli.pages import check_page

    path = check_page(out or run / "report.html", run)
    reports.save_page(reports.report(reports.RunFolder.read(run)), path)
    result("report", path)
