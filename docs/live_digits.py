"""Digits that the first page of the site draws in the reader's browser, in two calls of a network.

`make docs` trains a run on the digits of scikit-learn, distils it, and exports it as one HTML file. The last
run stays in build/docs, and is made again for another version of unnoise, or when it is deleted.
"""

import html
import shutil
from pathlib import Path

import unnoise as un
from unnoise.export.onnx import require_packages
from unnoise.utils.errors import UnnoiseError, require

TRAINED, DISTILLED = 2.0, 2.0
"""Minutes."""

_WITHOUT = """<!doctype html><html lang="en"><meta charset="utf-8"><title>unnoise</title>
<p style="font: 16px system-ui, sans-serif; color: gray">Digits would be drawn here, but they could not be
exported when this site was built. {reason}</p></html>
"""


def distilled(folder: Path) -> un.OpenRun:
    """The run that draws in two calls; trained and distilled if it is not in the folder yet."""
    done = folder / f"digits-in-two-calls-{un.__version__}-{TRAINED:g}-{DISTILLED:g}"
    if not done.is_dir():
        begun = folder / "digits-unfinished"
        shutil.rmtree(begun, ignore_errors=True)
        run = un.train("digits", labels="auto", minutes=TRAINED, out=begun / "digits")
        run.distill(minutes=DISTILLED, out=begun / done.name)
        (begun / done.name).rename(done)
    return un.open(done)


def write(page: Path, folder: Path) -> None:
    """Writes the page, as one file that opens without a server; the reason where it cannot be made."""
    page.parent.mkdir(parents=True, exist_ok=True)
    try:
        require(
            shutil.which("npm") is not None, "The runtime onnxruntime-web comes by npm, which was not there."
        )
        require_packages()
        distilled(folder).export(page, to="web", single_file=True)
    except UnnoiseError as error:  # there is no network, for example
        print(error)
        page.write_text(_WITHOUT.format(reason=html.escape(str(error))), encoding="utf-8")
