"""Pages: the report of a run, and the comparison of several, each one .html file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.output_paths import check_page
from unnoise.api.reporting import Progress, collecting, progress_bar, reporting, tell, tell_output
from unnoise.api.shown import Findings
from unnoise.api.tables import table
from unnoise.utils.errors import require
from unnoise.utils.text import printable

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.reports import RunFolder


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


def compare(
    runs: "Sequence[OpenRun | str | Path]",
    *,
    out: str | Path = "compare.html",
    seeds: int = 8,
    num_steps: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Findings:
    """Compares runs: pictures of the same seeds, scores, curves, and differing settings, on a page.

    Args:
        runs: Folders of two or more runs, as written by unnoise train.
        out: Where the page goes, an .html file.
        seeds: How many pictures each run draws, of the seeds 0, 1, and so on.
        num_steps: Steps from noise to picture.
        device: auto, cpu, cuda, cuda:1 or mps. auto uses a GPU if there is one.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The table of scores.

    Raises:
        UnnoiseError: for fewer than two runs, values out of range, or a place that can't be written.
    """
    require(len(runs) >= 2, f"A comparison needs at least 2 runs, but got {len(runs)}: name another one.")
    require(seeds >= 1, f"Runs are compared on at least 1 seed, but got --seeds {seeds}: try 8.")
    from unnoise import reports
    from unnoise.trainer.loop import choose_device

    places = [Path(one) if isinstance(one, str | Path) else one.path for one in runs]
    path, chosen = check_page(Path(out), *places), choose_device(device)
    folders, drawn = [reports.RunFolder.read(place) for place in places], []
    with reporting(progress), collecting() as parts:
        with progress_bar("Generating", len(folders)) as bar:
            for folder in folders:
                drawn.append(reports.sample_seeds(folder, seeds, num_steps, chosen))
                bar.advance(1)
        reports.save_page(reports.compare(folders, drawn), path)
        _tell_scores(folders)
    return Findings(parts)


def _tell_scores(folders: "Sequence[RunFolder]") -> None:
    """Tells the table of the page, with intervals behind their numbers."""
    from rich.text import Text

    from unnoise.reports import comparison_rows, names_of
    from unnoise.reports.comparability import why_not_compare_losses, why_not_compare_scores

    rows = table("", *names_of(folders))
    for row in comparison_rows(folders):
        cells = [f"{cell.text} ({cell.beneath})" if cell.beneath else cell.text for cell in row.cells]
        styles = ["bold" if cell.best else "" for cell in row.cells]
        rows.add_row(*map(Text, map(printable, (row.name, *cells)), ("", *styles)))
    tell_output(rows)
    for sentence in (why_not_compare_scores(folders), why_not_compare_losses(folders)):
        if sentence:
            tell(sentence)
