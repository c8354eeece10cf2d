"""Facts about a run: its pictures, network and budget, and how far it has come."""

from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.doctor_report import class_names
from unnoise.api.reporting import amount, count
from unnoise.api.shown import Findings
from unnoise.api.tables import fact_table

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun


def is_run(path: str | Path) -> bool:
    """Whether this is the folder of a run.

    Also true for its config.json or model.safetensors alone, and for a pickle: `open_run` says what is wrong.
    """
    from unnoise.utils.files import is_run_folder
    from unnoise.utils.pickles import PICKLE_SUFFIXES, pickle_kind

    path = Path(path)
    inside = path.name in {"config.json", "model.safetensors"} or path.suffix.lower() in PICKLE_SUFFIXES
    return is_run_folder(path) or (path.is_file() and (inside or pickle_kind(path) is not None))


def run_facts(run: "OpenRun") -> Findings:
    """What a run holds: pictures, preset, network, budget, losses so far."""
    return Findings([fact_table(_facts(run))])


def _facts(run: "OpenRun") -> dict[str, str]:
    from unnoise.networks import build
    from unnoise.runs.history import read_history

    path = run.path
    config, history = run.config, read_history(path / "history.csv")
    data = config.data
    parameters = sum(p.numel() for p in build(config.recipe.network).parameters())
    facts = {
        "run": str(path),
        "pictures": f"{data.source or 'none yet'}, {data.height} x {data.width}, "
        f"{count(data.channels, 'channel')}, "
        f"{data.held_out:,} held out{' by their folders' if data.held_out_ranges else ''}",
        "preset": f"{config.preset} (predicts the {config.recipe.objective.predicts}, "
        f"{type(config.recipe.schedule).__name__} schedule)",
        "network": f"{parameters:,} parameters, widths {' '.join(map(str, config.recipe.network.widths))}",
        "budget": amount(config.budget.amount, config.budget.unit),
    }
    if config.recipe.noise_shift != 1:
        facts["noise shift"] = f"{config.recipe.noise_shift:g}"
    if config.init is not None:
        facts["started from"] = f"the averaged weights of {config.init}"
    if config.imported is not None:
        facts["imported from"] = config.imported
    if data.classes:
        facts["classes"] = class_names(data.classes)
    if config.num_clusters:
        facts["clusters"] = f"{config.num_clusters} of pictures that look alike"
    if data.without_class:
        facts["no class"] = count(data.without_class, "picture")
    if history:
        last = history[-1]
        held_out = [row.held_out_loss for row in history if row.held_out_loss is not None]
        facts["so far"] = f"{last.step:,} steps, {last.images:,} images, {last.seconds / 60:.1f} minutes"
        if held_out:
            facts["held-out loss"] = f"{held_out[-1]:.4f}, lowest {min(held_out):.4f}"
    facts["weights"] = "model.safetensors" if (path / "model.safetensors").is_file() else "none saved yet"
    return facts
