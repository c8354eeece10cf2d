"""`unnoise export`: write a run's network for other programs."""

from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise import api
from unnoise.api import tell_result
from unnoise.cli import arguments as cli
from unnoise.cli.signatures import takes


@takes(
    api.export,
    out=Annotated[Path, arg(metavar="PATH")],
    weights=cli.option(None, "float32"),
    single_file=cli.FLAG,
    runtime=cli.option("FOLDER", "npm's package onnxruntime-web"),
)
def export(run: cli.Run, /, to: Annotated[str, arg(metavar="|".join(api.TARGETS))], **options: object) -> None:
    """Write a run's averaged network for other programs.

    ONNX is for onnxruntime and whatever else reads it: docs/export.md draws with it in 30 lines of NumPy.
    diffusers reads a run of the preset diffusers, whose network is its own.
    web is a page that draws in the browser, offline.

      unnoise export runs/photos --to onnx --out photos.onnx
      unnoise export runs/photos --to onnx --out photos.onnx --weights int8
      unnoise export runs/photos --to diffusers --out pipeline
      unnoise export runs/photos --to web --out page
      unnoise export runs/photos --to web --out page.html --single-file
    """
    tell_result("exported", api.export(api.open_run(run), to=to, **options))  # type: ignore[arg-type]
