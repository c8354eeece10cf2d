"""`unnoise export`: write a run's network for other programs."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from unnoise.api.effects import refuse_without_effect
from unnoise.api.reporting import progress_bar, tell, tell_result
from unnoise.cli import arguments as cli
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.runs.checkpoint import Run

WeightType = Literal["float32", "float16", "bfloat16", "int8"]


def _to_onnx(run: "Run", out: Path, weights: WeightType) -> None:
    from unnoise.export.onnx import check_onnx, export_onnx

    check_onnx(out)
    with progress_bar("Exporting", 1.0) as bar:
        made = export_onnx(run, out, weights=weights, progress=bar.update)
    mean, largest = made.difference
    tell(
        f"Weights in {weights}, {made.megabytes:.1f} MB. Drawn from the same noises, its pictures differ from "
        f"PyTorch's by {mean:.2g} of 255 levels in the mean, and by {largest:.2g} at most."
    )


def _to_diffusers(run: "Run", out: Path, weights: WeightType) -> None:
    from unnoise.export.diffusers import export_diffusers

    refuse_without_effect({"weights": weights != "float32"}, "with --to diffusers: a pipeline gets float32")
    made = export_diffusers(run, out)
    tell(f"{made.pipeline}: it draws as the run does with num_inference_steps={made.num_steps}.")
    for note in made.notes:
        tell(note)


_TARGETS: Mapping[str, Callable[["Run", Path, WeightType], None]] = {
    "onnx": _to_onnx,
    "diffusers": _to_diffusers,
}
"""What --to calls with the run, --out and --weights."""


def export(
    run: cli.Run,
    /,
    to: Annotated[str, arg(metavar="|".join(_TARGETS))],
    out: cli.OutputFile,
    weights: Annotated[WeightType, cli.option(default="float32")] = "float32",
) -> None:
    """Write a run's averaged network for other programs.

    ONNX is for onnxruntime and whatever else reads it: docs/export.md draws with it in 30 lines of NumPy.
    diffusers reads a run of the preset diffusers, whose network is its own.

      unnoise export runs/photos --to onnx --out photos.onnx
      unnoise export runs/photos --to onnx --out photos.onnx --weights int8
      unnoise export runs/photos --to diffusers --out pipeline

    Args:
        to: What to write.
        out: Where it goes: a name that ends in .onnx, or for diffusers a new folder.
        weights: How the weights are stored. float16 and bfloat16 take half of the space, int8 a quarter; what
            that changes in drawn pictures is measured and printed. Arithmetic is float32 in any case.
    """
    from unnoise.runs.checkpoint import Run

    if to not in _TARGETS:
        raise UnnoiseError(f"There is nothing to export to called {to!r}: choose from {', '.join(_TARGETS)}.")
    _TARGETS[to](Run.open(run), out, weights)
    tell_result("exported", out)
