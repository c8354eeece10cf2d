"""`unnoise compare`: runs beside one another, in the terminal and on one page."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from unnoise.cli.console import Bar, result, say
from unnoise.utils.errors import require
from unnoise.utils.text import printable

if TYPE_CHECKING:
    from unnoise.reports import RunFolder


def compare(
    runs: Annotated[tuple[Path, ...], Positional, arg(metavar="RUN")],
    /,
    out: Path = Path("compare.html"),
    seeds: int = 8,
    num_steps: Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: each run's)")] = None,
    device: str = "auto",
) -> None:
    """Compares runs: the same seeds side by side, a table of numbers, curves, and how their settings differ.

    Prints the table, and writes a page with all of it: one file that needs no network and no script.

    Args:
        runs: Two or more folders that unnoise train made.
        out: The page.
        seeds: So many pictures of each run, of the seeds 0, 1, ...
        num_steps: Calls of the network for each picture.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    require(len(runs) >= 2, f"A comparison needs at least 2 runs, but got {len(runs)}: name another one.")
    require(seeds >= 1, f"Runs are compared on at least 1 seed, but got --seeds {seeds}: try 8.")
    from unnoise import reports
    from unnoise.cli.pages import check_page
    from unnoise.training.loop import choose_device

    path, chosen = check_page(out, *runs), choose_device(device)
    folders, drawn = [reports.RunFolder.read(run) for run in runs], []
    with Bar("Generating", len(folders)) as shown:
        for folder in folders:
            drawn.append(reports.sample_seeds(folder, seeds, num_steps, chosen))
            shown.advance(1)
    reports.save_page(reports.compare(folders, drawn), path)
    _print(folders)
    result("comparison", path)


def _print(folders: "Sequence[RunFolder]") -> None:
    """The table of the page, with intervals behind their numbers."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from unnoise.reports import comparison_rows, names_of
    from unnoise.reports.comparability import why_not_compare_losses, why_not_compare_scores

    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for name in names_of(folders):
        table.add_column(Text(printable(name)), justify="right")
    for row in comparison_rows(folders):
        cells = [f"{cell.text} ({cell.beneath})" if cell.beneath else cell.text for cell in row.cells]
        styles = ["bold" if cell.best else "" for cell in row.cells]
        table.add_row(*map(Text, map(printable, (row.name, *cells)), ("", *styles)))
    Console(highlight=False).print(table)
    for sentence in (why_not_compare_scores(folders), why_not_compare_losses(folders)):
        if sentence:
            say(sentence)
