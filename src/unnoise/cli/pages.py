"""A page's place is looked at before the work for it begins."""

from pathlib import Path

from unnoise.utils.errors import require


def check_page(path: Path, *runs: Path) -> Path:
    """The path, once it is known that there are runs, and that a page can be written there.

    Raises:
        UnnoiseError: for a folder without a run, a name that is no page's, or a place that can't be written.
    """
    from unnoise.runs.checkpoint import Run
    from unnoise.utils.files import check_writable

    for run in runs:
        Run.open(run)
    require(
        path.suffix.lower() in {".html", ".htm"},
        f"A page is written to an .html file, but --out is {path}: try {path.with_suffix('.html')}.",
    )
    check_writable(path)
    return path
