"""Export of a run as ONNX: the averaged network's `denoise`, and in its metadata all that sampling needs."""

import importlib.util
import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unnoise import __version__
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import Schedule
from unnoise.export.onnx_denoise import (
    PICTURES,
    Difference,
    OnnxDenoise,
    comparable,
    difference,
    drawn,
    pixel_bounds,
)
from unnoise.export.onnx_graph import denoise_graph
from unnoise.export.onnx_weights import WeightType, store_weights
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.runs.conversion import plain
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import atomic_write, check_writable, require_suffix

if TYPE_CHECKING:
    import onnx

METADATA = "unnoise"
"""Key of the metadata in an .onnx file; its value is JSON."""
_FORMAT = 1
_NEEDED = ("onnx", "onnxscript", "onnxruntime")
_STEPS, _JUMPS = (5, 10, 20, 50), (1, 2, 4, 8)
"""Numbers of steps whose rates the metadata holds, besides that of the run; those of distilled runs."""
_EXACT = 1e-4 * 255
"""Levels by which pictures of float32 weights may differ before it is worth a warning."""


class OnnxModel(NamedTuple):
    """A run's averaged network as ONNX.

    Args:
        content: the bytes of an .onnx file.
        metadata: what its metadata says under `METADATA`.
        difference: of its pictures from those that PyTorch draws in float32 from the same noises.
    """

    content: bytes
    metadata: dict[str, Any]
    difference: Difference


class OnnxExport(NamedTuple):
    """What was exported.

    Args:
        path: the file.
        weights: how its weights are stored.
        megabytes: its size.
        difference: of its pictures from those that PyTorch draws in float32 from the same noises.
    """

    path: Path
    weights: WeightType
    megabytes: float
    difference: Difference


def check_onnx(out: Path) -> None:
    """Checks before long work that an .onnx file can be made and written.

    Raises:
        UnnoiseError: for a missing package, another suffix, or a place that can't be written.
    """
    require_suffix(out, ".onnx")
    require_packages()
    check_writable(out)


def require_packages() -> None:
    """Raises `UnnoiseError`, which names the extra, where a package that an export to ONNX needs is missing."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    require(
        not missing,
        f"An export to ONNX needs {' and '.join(missing)}, which {'are' if len(missing) > 1 else 'is'} not "
        "installed: run pip install 'unnoise[export]'.",
    )


def export_onnx(
    run: Run,
    out: Path,
    *,
    weights: WeightType = "float32",
    progress: Callable[[float, str], None] = lambda _fraction, _phase: None,
) -> OnnxExport:
    """Writes a run's averaged network as ONNX, whole or not at all, and measures what it draws.

    The graph is `denoise` (see `onnx_graph.denoise_graph`): it includes the condition and the objective, so
    that a sampler needs nothing but the rates of each step, which the metadata holds (see docs/export.md).

    Args:
        run: with saved weights.
        out: an .onnx file.
        weights: how the weights are stored; see `onnx_weights`.
        progress: called with the fraction that is done, and what is being done.

    Raises:
        UnnoiseError: see `check_onnx` and `denoise_graph`; for a run without weights.
    """
    check_onnx(out)
    made = onnx_model(run, weights=weights, progress=progress)
    with atomic_write(out) as file:
        file.write_bytes(made.content)
    return OnnxExport(out, weights, out.stat().st_size / 1e6, made.difference)


def onnx_model(
    run: Run,
    *,
    weights: WeightType = "float32",
    progress: Callable[[float, str], None] = lambda _fraction, _phase: None,
) -> OnnxModel:
    """What `export_onnx` writes, without the file.

    Raises:
        UnnoiseError: see `denoise_graph`; for a run without weights.
    """
    config = replace(run.config, precision="float32")
    denoiser = Run(run.path, config).load()
    progress(0.0, "translating")
    model = store_weights(denoise_graph(denoiser, config.recipe.network), weights)
    found = _measured(model, denoiser, config, progress)
    facts = _facts(denoiser, config, weights, found)
    _add_metadata(model, facts)
    if weights == "float32" and found.largest > _EXACT:
        warnings.warn(
            f"Pictures of {run.path} by ONNX differ from PyTorch's by up to {found.largest:.2g} of 255 levels, "
            "where rounding alone leaves less than 0.03. Compare them before you rely on them.",
            stacklevel=3,
        )
    return OnnxModel(model.SerializeToString(), facts, found)


def _measured(
    model: "onnx.ModelProto", denoiser: Denoiser, config: RunConfig, progress: Callable[[float, str], None]
) -> Difference:
    """How far the model's pictures are from PyTorch's: of the run's own sampler, at the seeds 0, 1, ..."""
    sampling, classes = comparable(config.recipe.sampling), config.classes(range(PICTURES))
    classes = denoiser.abilities.classes_of_seeds(range(PICTURES)) if classes is None else classes
    total, done = 2 * sampling.calls(denoiser.schedule), 0

    def each_step() -> None:
        nonlocal done
        done += 1
        progress(min(1.0, 0.5 + done / total / 2), "comparing pictures")

    theirs = drawn(denoiser, sampling, classes, each_step, OnnxDenoise(model.SerializeToString()))
    return difference(drawn(denoiser, sampling, classes, each_step), theirs)


def _facts(denoiser: Denoiser, config: RunConfig, weights: WeightType, found: Difference) -> dict[str, Any]:
    """The metadata: all that sampling needs, and what was measured."""
    recipe: Any = plain(config.recipe)
    black, white = (bound.flatten().tolist() for bound in pixel_bounds(denoiser))
    sampling, clusters = config.recipe.sampling, denoiser.abilities.clusters
    return {
        "format": _FORMAT,
        "unnoise": __version__,
        "preset": config.preset,
        "image_shape": list(denoiser.image_shape),
        "classes": list(config.data.classes),
        "num_classes": denoiser.abilities.num_classes,
        "clusters": None if clusters is None else clusters.counts.tolist(),
        "normalizer": plain(config.normalizer),
        "black": black,
        "white": white,
        "schedule": recipe["schedule"],
        "noise_shift": recipe["noise_shift"],
        "objective": recipe["objective"],
        "condition": recipe["condition"],
        "sampling": recipe["sampling"],
        "rates": _rates(sampling, denoiser.schedule, _STEPS if config.recipe.mean_velocity is None else _JUMPS),
        "weights": weights,
        "difference": {
            **found._asdict(),
            "pictures": PICTURES,
            "num_steps": comparable(sampling).num_steps,
        },
    }


def _rates(sampling: Sampling, schedule: Schedule, numbers: Sequence[int]) -> dict[str, dict[str, list[float]]]:
    """The rates at each step and at the end, by the number of steps, in the run's own spacing."""
    found = {}
    for num_steps in sorted({*numbers, sampling.num_steps}):
        try:
            grid = replace(sampling, num_steps=num_steps).grid(schedule)
        except UnnoiseError:  # more steps than a discrete schedule has
            continue
        found[str(num_steps)] = {name: rates.flatten().tolist() for name, rates in grid._asdict().items()}
    return found


def _add_metadata(model: "onnx.ModelProto", facts: dict[str, Any]) -> None:
    import onnx

    model.producer_name, model.producer_version = "unnoise", __version__
    model.graph.name = "denoise"
    model.doc_string = denoise_graph.__doc__.partition("Args:")[0].strip() if denoise_graph.__doc__ else ""
    onnx.helper.set_model_props(model, {METADATA: json.dumps(facts)})
