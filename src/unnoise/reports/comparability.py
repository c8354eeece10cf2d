"""Comparability of scores and held-out losses between runs.

Scores can be compared where everything but the samples was the same, such as extractor and real pictures.
"""

from collections.abc import Sequence

from unnoise.reports.evaluation_tables import fact_text
from unnoise.reports.run_folder import RunFolder
from unnoise.reports.settings import flat
from unnoise.runs.conversion import plain

# Conditions of the scores, under the names that they have in evaluation.json.
_CONDITIONS = {
    "extractor": "extractor",
    "split": "split",
    "samples": "number of samples",
    "references": "number of real pictures",
    "resize": "resize",
}

# Settings on which a loss depends, apart from how well the network has learned.
_LOSS = (
    *("recipe.objective.", "recipe.noise_levels.", "recipe.schedule.", "recipe.noise_shift"),
    "recipe.mean_velocity",
    *("recipe.network.num_classes", "recipe.network.clusters"),
    "normalizer.",
    *("data.fingerprint", "data.held_out", "data.height", "data.width", "data.channels"),
)


def why_not_compare_scores(folders: Sequence[RunFolder]) -> str:
    """The reason why the scores of these runs can't be compared, as a sentence; empty where they can be."""
    scored = [folder for folder in folders if folder.evaluation.quality is not None]
    if len(scored) < 2:
        return ""
    reasons = []
    for name, condition in _CONDITIONS.items():
        found = dict.fromkeys(_fact(folder, name) or "unknown" for folder in scored)
        if len(found) > 1:
            reasons.append(f"{condition} ({', '.join(found)})")
    if len({_fact(folder, "digest") for folder in scored}) > 1:
        reasons.append("weights of the extractor")
    if len({_fingerprint(folder) for folder in scored}) > 1:
        reasons.append("real pictures")
    return f"The scores can't be compared: they differ in {_listed(reasons)}." if reasons else ""


def why_not_compare_losses(folders: Sequence[RunFolder]) -> str:
    """The reason why the held-out losses of these runs can't be compared; empty where they can be."""
    leaves = [flat(plain(folder.run.config)) for folder in folders]
    # A distilled run is tested on walks of the run that it came from.
    settings = (*_LOSS, "init") if any(folder.run.config.distilled for folder in folders) else _LOSS
    paths = dict.fromkeys(path for each in leaves for path in each if path.startswith(settings))
    unlike = [path for path in paths if len({each.get(path) for each in leaves}) > 1]
    if unlike:
        few = [*unlike[:4], f"{len(unlike) - 4} more"] if len(unlike) > 5 else unlike
        return f"The held-out losses can't be compared: the runs differ in {_listed(few)}."
    by_folders = any(folder.run.config.data.held_out_ranges for folder in folders)
    if not by_folders and len({folder.run.config.seed for folder in folders}) > 1:
        return "The seeds differ, so each run held out other pictures: ignore small differences of the losses."
    return ""


def _fact(folder: RunFolder, name: str) -> str | None:
    quality = folder.evaluation.quality
    value = quality.facts.get(name) if quality else None
    return None if value is None else fact_text(value)


def _fingerprint(folder: RunFolder) -> str:
    return _fact(folder, "fingerprint") or folder.run.config.data.fingerprint


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
