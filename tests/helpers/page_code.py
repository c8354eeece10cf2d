"""The code of a page of the guide, run in a child process that has imported PyTorch and matplotlib already."""

import os
import sys
import warnings
from pathlib import Path

from helpers.killed import server

EXTENSIONS = Path(__file__).parents[2] / "docs" / "extensions"


def error_of(cells: list[str], folder: Path, cache: Path) -> str:
    """Runs the cells one after the other in this folder, with this cache of decoded pictures.

    Returns what they failed with, or nothing.
    """
    log = folder / "errors"
    child = server().Process(target=_run, args=(cells, folder, cache, log))
    child.start()
    child.join()
    return "" if child.exitcode == 0 else log.read_text() or f"exit code {child.exitcode}"


def _run(cells: list[str], folder: Path, cache: Path, log: Path) -> None:
    os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT), 2)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.chdir(folder)
    os.environ |= {"HOME": str(folder), "UNNOISE_CACHE": str(cache)}
    sys.path.insert(0, str(EXTENSIONS))
    import figures  # noqa: F401 (sets the style and the backend, which is changed next)
    import matplotlib.pyplot as plt

    warnings.simplefilter("error")
    plt.switch_backend("agg")
    names: dict[str, object] = {}
    for code in cells:
        exec(code, names)  # noqa: S102 (our own pages)
