"""Digits that the first page of the site draws in the reader's browser, in two calls of a network.

`make docs` trains a run on the digits of scikit-learn, distils it, and exports it as one HTML file. The two
runs stay in build/docs, and are made again only when they are deleted.
"""

import shutil
from pathlib import Path

import unnoise as un

TRAINED, DISTILLED = 2.0, 2.0
"""Minutes."""

_WITHOUT_RUNTIME = """<!doctype html><html lang="en"><meta charset="utf-8"><title>unnoise</title>
<p style="font: 16px system-ui, sans-serif; color: gray">Digits would be drawn here, by the package
onnxruntime-web. It comes from npm, which was not installed when this site was built.</p></html>
"""


def distilled(folder: Path) -> un.OpenRun:
    """The run that draws in two calls; trained and distilled if it is not in the folder yet."""
    first, second = folder / "digits", folder / "digits-in-two-calls"
    if not (second / "model.safetensors").is_file():
        for old in (first, second):
            shutil.rmtree(old, ignore_errors=True)
        un.train("digits", labels="auto", minutes=TRAINED, out=first).distill(minutes=DISTILLED, out=second)
    return un.open(second)


def write(page: Path, folder: Path) -> None:
    """Writes the page, as one file that opens without a server; without npm, a sentence that says so."""
    page.parent.mkdir(parents=True, exist_ok=True)
    if shutil.which("npm") is None:
        page.write_text(_WITHOUT_RUNTIME, encoding="utf-8")
    else:
        distilled(folder).export(page, to="web", single_file=True)
