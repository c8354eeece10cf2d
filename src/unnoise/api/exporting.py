"""Export of a run for other programs: ONNX, a page for the browser, and pipelines of diffusers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from unnoise.api.effects import refuse_without_effect
from unnoise.api.reporting import Progress, progress_bar, reporting, tell
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.runs.checkpoint import Run

WeightType = Literal["float32", "float16", "bfloat16", "int8"]


class _Wishes(NamedTuple):
    """Options beside the target and the path."""

    weights: WeightType
    single_file: bool
    runtime: Path | None

    def refuse_those_of_a_page(self) -> None:
        of_a_page = {"single_file": self.single_file, "runtime": self.runtime}
        refuse_without_effect(of_a_page, "without --to web")


def _to_onnx(run: "Run", out: Path, wishes: _Wishes) -> None:
    from unnoise.export.onnx import check_onnx, export_onnx

    wishes.refuse_those_of_a_page()
    check_onnx(out)
    with progress_bar("Exporting", 1.0) as bar:
        made = export_onnx(run, out, weights=wishes.weights, progress=bar.update)
    _tell_difference(f"Weights in {wishes.weights}, {made.megabytes:.1f} MB", made.difference)


def _tell_difference(size: str, difference: tuple[float, float]) -> None:
    mean, largest = difference
    tell(
        f"{size}. Drawn from the same noises, its pictures differ from PyTorch's by {mean:.2g} of 255 levels "
        f"in the mean, and by {largest:.2g} at most."
    )


def _to_web(run: "Run", out: Path, wishes: _Wishes) -> None:
    from unnoise.export.web.export import check_web, export_web

    check_web(run, out, single_file=wishes.single_file)
    with progress_bar("Exporting", 1.0) as bar:
        made = export_web(run, out, **wishes._asdict(), progress=bar.update)
    size = f"A page of {made.megabytes:.1f} MB, its runtime included, with weights in {wishes.weights}"
    _tell_difference(size, made.difference)
    for note in made.notes:
        tell(note)
    if not wishes.single_file:
        tell(f"Open it by python -m http.server --directory {out}, in a browser at port 8000.")


def _to_diffusers(run: "Run", out: Path, wishes: _Wishes) -> None:
    from unnoise.export.diffusers import export_diffusers

    wishes.refuse_those_of_a_page()
    weights = {"weights": wishes.weights != "float32"}
    refuse_without_effect(weights, "with --to diffusers: a pipeline gets float32")
    made = export_diffusers(run, out)
    tell(f"{made.pipeline}: it draws as the run does with num_inference_steps={made.num_steps}.")
    for note in made.notes:
        tell(note)


_TARGETS: Mapping[str, Callable[["Run", Path, _Wishes], None]] = {
    "onnx": _to_onnx,
    "diffusers": _to_diffusers,
    "web": _to_web,
}
"""What `to` calls with the run, the path and the other options."""
TARGETS = tuple(_TARGETS)


def export(
    run: "OpenRun",
    out: str | Path,
    *,
    to: str = "onnx",
    weights: WeightType = "float32",
    single_file: bool = False,
    runtime: str | Path | None = None,
    progress: Progress | None = None,
) -> Path:
    """Writes a run's averaged network for other programs.

    Args:
        run: the run.
        out: Where it goes: a name that ends in .onnx, for diffusers and web a new folder, with --single-file a
            name that ends in .html.
        to: What to write: onnx, diffusers or web.
        weights: How the weights are stored. float16 and bfloat16 take half of the space, int8 a quarter; what
            that changes in drawn pictures is measured and printed. Arithmetic is float32 in any case.
        single_file: With --to web: write one file, which opens without a server and computes on the CPU only.
        runtime: With --to web: a folder with npm's package onnxruntime-web, which the page computes with.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The path.

    Raises:
        UnnoiseError: for a target that there is not, a missing package, and a run that has no counterpart
            there.
    """
    if to not in _TARGETS:
        raise UnnoiseError(f"There is nothing to export to called {to!r}: choose from {', '.join(_TARGETS)}.")
    wishes = _Wishes(weights, single_file, None if runtime is None else Path(runtime))
    with reporting(progress):
        _TARGETS[to](run.folder, Path(out), wishes)
    return Path(out)
