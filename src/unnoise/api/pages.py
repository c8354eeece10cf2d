"""Pages: the report of a run, as one .html file."""

from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.output_paths import check_page

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun


def report(run: "OpenRun", out: str | Path | None = None) -> Path:
    """Writes a page about a run: samples, curves, scores, copies, colours, and all settings.

    Args:
        run: the run.
        out: Where the page goes, an .html file; RUN/report.html if left out.

    Returns:
        The path of the page.

    Raises:
        UnnoiseError: for a suffix other than .html, or a place that can't be written.
    """
    from unnoise import reports

    path = check_page(run.path / "report.html" if out is None else Path(out))
    reports.save_page(reports.report(reports.RunFolder.read(run.path)), path)
    return path
