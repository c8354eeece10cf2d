"""Export of a run for other programs: ONNX, and pipelines of diffusers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unnoise.api.effects import refuse_without_effect
from unnoise.api.reporting import Progress, progress_bar, reporting, tell
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
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
"""What `to` calls with the run, the path and the type of the weights."""
TARGETS = tuple(_TARGETS)


def export(
    run: "OpenRun",
    out: str | Path,
    *,
    to: str = "onnx",
    weights: WeightType = "float32",
    progress: Progress | None = None,
) -> Path:
    """Writes a run's averaged network for other programs.

    Args:
        run: the run.
        out: Where it goes: a name that ends in .onnx, or for diffusers a new folder.
        to: What to write.
        weights: How the weights are stored. float16 and bfloat16 take half of the space, int8 a quarter; what
            that changes in drawn pictures is measured and printed. Arithmetic is float32 in any case.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The path.

    Raises:
        UnnoiseError: for a target that there is not, a missing package, and a run that has no counterpart
            there.
    """
    if to not in _TARGETS:
        raise UnnoiseError(f"There is nothing to export to called {to!r}: choose from {', '.join(_TARGETS)}.")
    with reporting(progress):
        _TARGETS[to](run.folder, Path(out), weights)
    return Path(out)
