"""`unnoise compare`: compare runs, in the terminal and on a page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional

from unnoise.api.output_paths import check_page
from unnoise.api.reporting import progress_bar, tell, tell_output, tell_result
from unnoise.api.tables import table
from unnoise.cli import arguments as cli
from unnoise.utils.errors import require
from unnoise.utils.text import printable

if TYPE_CHECKING:
    from unnoise.reports import RunFolder


def compare(
    runs: Annotated[tuple[Path, ...], Positional, cli.option("RUN ...")],
    /,
    out: cli.OutputFile = Path("compare.html"),
    seeds: cli.Integer = 8,
    num_steps: Annotated[int | None, cli.option("N", "each run's own", "Steps from noise to picture.")] = None,
    device: cli.Device = "auto",
) -> None:
    """Compare runs: pictures of the same seeds, scores, curves, and differing settings.

    Prints a table of scores, and writes a page with all of it: one .html file that needs no network and no
    scripts.

      unnoise compare runs/first runs/second

    Args:
        runs: Folders of two or more runs, as written by unnoise train.
        out: Where the page goes, an .html file.
        seeds: How many pictures each run draws, of the seeds 0, 1, and so on.
    """
    require(len(runs) >= 2, f"A comparison needs at least 2 runs, but got {len(runs)}: name another one.")
    require(seeds >= 1, f"Runs are compared on at least 1 seed, but got --seeds {seeds}: try 8.")
    from unnoise import reports
    from unnoise.trainer.loop import choose_device

    path, chosen = check_page(out, *runs), choose_device(device)
    folders, drawn = [reports.RunFolder.read(run) for run in runs], []
    with progress_bar("Generating", len(folders)) as bar:
        for folder in folders:
            drawn.append(reports.sample_seeds(folder, seeds, num_steps, chosen))
            bar.advance(1)
    reports.save_page(reports.compare(folders, drawn), path)
    _print_scores(folders)
    tell_result("comparison", path)


def _print_scores(folders: "Sequence[RunFolder]") -> None:
    """Prints the table of the page, with intervals behind their numbers."""
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
