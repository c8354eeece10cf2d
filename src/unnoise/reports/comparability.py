"""Scores can be compared where everything but the samples was the same; otherwise a sentence says why not."""

from collections.abc import Mapping, Sequence

from unnoise.reports.folders import Folder
from unnoise.reports.measures import fact_text
from unnoise.reports.settings import flat
from unnoise.runs.conversion import plain

# Each condition under the names by which it may be noted.
_CONDITIONS = {
    "extractor": ("extractor",),
    "split": ("split",),
    "number of samples": ("samples", "num samples", "sample count", "number of samples"),
    "number of real pictures": ("references", "num references", "reference count", "reference pictures"),
    "resize": ("resize",),
    "weights of the extractor": ("digest", "extractor digest"),
}
_PICTURES = ("fingerprint", "reference fingerprint", "references fingerprint", "data fingerprint")

# What a loss depends on, besides what was learned.
_LOSS = (
    *("recipe.objective.", "recipe.noise_levels.", "recipe.schedule.", "normalizer."),
    *("data.fingerprint", "data.held_out", "data.height", "data.width", "data.channels"),
)


def why_scores_differ(folders: Sequence[Folder]) -> str:
    """Why the scores of these runs can't be compared, in one sentence; empty where they can be."""
    scored = [folder for folder in folders if folder.evaluation.quality is not None]
    if len(scored) < 2:
        return ""
    unlike = {}
    for condition, names in _CONDITIONS.items():
        found = [_fact(folder, names) for folder in scored]
        if len(set(found)) > 1:
            unlike[condition] = ", ".join(dict.fromkeys(value or "unknown" for value in found))
    reasons = [f"{condition} ({values})" for condition, values in unlike.items()]
    if len({_fingerprint(folder) for folder in scored}) > 1:
        reasons.append("real pictures")
    return f"These scores can't be compared, since they differ in {_listed(reasons)}." if reasons else ""


def why_losses_differ(folders: Sequence[Folder]) -> str:
    """Why the held-out losses of these runs can't be compared, in one sentence; empty where they can be."""
    leaves = [flat(plain(folder.run.config)) for folder in folders]
    paths = dict.fromkeys(path for each in leaves for path in each if path.startswith(_LOSS))
    unlike = [path for path in paths if len({each.get(path) for each in leaves}) > 1]
    if unlike:
        few = [*unlike[:4], f"{len(unlike) - 4} more"] if len(unlike) > 5 else unlike
        return f"The held-out losses can't be compared, since the runs differ in {_listed(few)}."
    if len({folder.run.config.seed for folder in folders}) > 1:
        return (
            "Seeds differ, so each run held out other pictures: small differences of the losses mean nothing."
        )
    return ""


def _fact(folder: Folder, names: Sequence[str]) -> str | None:
    quality = folder.evaluation.quality
    facts: Mapping[str, object] = quality.facts if quality else {}
    known = {str(name).replace("_", " ").lower(): value for name, value in facts.items()}
    return next((fact_text(known[name]) for name in names if known.get(name) is not None), None)


def _fingerprint(folder: Folder) -> str:
    return _fact(folder, _PICTURES) or folder.run.config.data.fingerprint


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
