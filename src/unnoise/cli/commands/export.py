"""`unnoise export`: write a run's network for other programs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from tyro.conf import arg

from unnoise.cli import arguments as cli
from unnoise.cli.console import ProgressBar, print_message, print_result
from unnoise.cli.effects import refuse_without_effect
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.runs.checkpoint import Run

WeightType = Literal["float32", "float16", "bfloat16", "int8"]


class _Wishes(NamedTuple):
    """Options beside --to and --out."""

    weights: WeightType
    single_file: bool
    runtime: Path | None

    def refuse_those_of_a_page(self) -> None:
        of_a_page = {"single_file": self.single_file, "runtime": self.runtime}
        refuse_without_effect(of_a_page, "without --to web")


def _to_onnx(run: "Run", out: Path, wishes: _Wishes) -> None:
    from unnoise.export.onnx import check_onnx, export_onnx

    wishes.refuse_those_of_a_page()
    weights = wishes.weights
    check_onnx(out)
    with ProgressBar("Exporting", 1.0) as bar:
        made = export_onnx(run, out, weights=weights, progress=bar.update)
    _print_difference(weights, made.megabytes, made.difference)


def _print_difference(weights: WeightType, megabytes: float, difference: tuple[float, float]) -> None:
    mean, largest = difference
    print_message(
        f"Weights in {weights}, {megabytes:.1f} MB. Drawn from the same noises, its pictures differ from "
        f"PyTorch's by {mean:.2g} of 255 levels in the mean, and by {largest:.2g} at most."
    )


def _to_web(run: "Run", out: Path, wishes: _Wishes) -> None:
    from unnoise.export.web.export import check_web, export_web

    check_web(run, out, single_file=wishes.single_file)
    with ProgressBar("Exporting", 1.0) as bar:
        made = export_web(run, out, **wishes._asdict(), progress=bar.update)
    _print_difference(wishes.weights, made.megabytes, made.difference)
    for note in made.notes:
        print_message(note)
    if not wishes.single_file:
        print_message(f"Open it by python -m http.server --directory {out}, in a browser at port 8000.")


def _to_diffusers(run: "Run", out: Path, wishes: _Wishes) -> None:
    from unnoise.export.diffusers import export_diffusers

    wishes.refuse_those_of_a_page()
    weights = {"weights": wishes.weights != "float32"}
    refuse_without_effect(weights, "with --to diffusers: a pipeline gets float32")
    made = export_diffusers(run, out)
    print_message(f"{made.pipeline}: it draws as the run does with num_inference_steps={made.num_steps}.")
    for note in made.notes:
        print_message(note)


_TARGETS: Mapping[str, Callable[["Run", Path, _Wishes], None]] = {
    "onnx": _to_onnx,
    "diffusers": _to_diffusers,
    "web": _to_web,
}
"""What --to calls with the run, --out and the other options."""


def export(
    run: cli.Run,
    /,
    to: Annotated[str, arg(metavar="|".join(_TARGETS))],
    out: cli.OutputFile,
    weights: Annotated[WeightType, cli.option(default="float32")] = "float32",
    single_file: cli.Flag = False,
    runtime: Annotated[Path | None, cli.option("FOLDER", "npm's package onnxruntime-web")] = None,
) -> None:
    """Write a run's averaged network for other programs.

    ONNX is for onnxruntime and whatever else reads it: docs/export.md draws with it in 30 lines of NumPy.
    diffusers reads a run of the preset diffusers, whose network is its own.
    web is a page that draws in the browser, offline.

      unnoise export runs/photos --to onnx --out photos.onnx
      unnoise export runs/photos --to onnx --out photos.onnx --weights int8
      unnoise export runs/photos --to diffusers --out pipeline
      unnoise export runs/photos --to web --out page
      unnoise export runs/photos --to web --out page.html --single-file

    Args:
        to: What to write.
        out: Where it goes: a name that ends in .onnx, for diffusers and web a new folder, with --single-file a
            name that ends in .html.
        weights: How the weights are stored. float16 and bfloat16 take half of the space, int8 a quarter; what
            that changes in drawn pictures is measured and printed. Arithmetic is float32 in any case.
        single_file: With --to web: write one file, which opens without a server and computes on the CPU only.
        runtime: With --to web: a folder with npm's package onnxruntime-web, which the page computes with.
    """
    from unnoise.runs.checkpoint import Run

    if to not in _TARGETS:
        raise UnnoiseError(f"There is nothing to export to called {to!r}: choose from {', '.join(_TARGETS)}.")
    _TARGETS[to](Run.open(run), out, _Wishes(weights, single_file, runtime))
    print_result("exported", out)
