"""Whether scores and held-out losses of several runs can be compared, and if not, why.

Scores can be compared where everything but the samples was the same, such as extractor and real pictures.
"""

from collections.abc import Mapping, Sequence

from unnoise.reports.evaluation_tables import fact_text
from unnoise.reports.run_folder import RunFolder
from unnoise.reports.settings import flat
from unnoise.runs.conversion import plain

# Each condition, and the names that it may have in evaluation.json.
_CONDITIONS = {
    "extractor": ("extractor",),
    "split": ("split",),
    "number of samples": ("samples", "num samples", "sample count", "number of samples"),
    "number of real pictures": ("references", "num references", "reference count", "reference pictures"),
    "resize": ("resize",),
    "weights of the extractor": ("digest", "extractor digest"),
}
_PICTURES = ("fingerprint", "reference fingerprint", "references fingerprint", "data fingerprint")

# Settings on which a loss depends, apart from how well the network has learned.
_LOSS = (
    *("recipe.objective.", "recipe.noise_levels.", "recipe.schedule.", "normalizer."),
    *("data.fingerprint", "data.held_out", "data.height", "data.width", "data.channels"),
)


def why_not_compare_scores(folders: Sequence[RunFolder]) -> str:
    """The reason why the scores of these runs can't be compared, as a sentence; empty where they can be."""
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
    return f"The scores can't be compared: they differ in {_listed(reasons)}." if reasons else ""


def why_not_compare_losses(folders: Sequence[RunFolder]) -> str:
    """The reason why the held-out losses of these runs can't be compared; empty where they can be."""
    leaves = [flat(plain(folder.run.config)) for folder in folders]
    paths = dict.fromkeys(path for each in leaves for path in each if path.startswith(_LOSS))
    unlike = [path for path in paths if len({each.get(path) for each in leaves}) > 1]
    if unlike:
        few = [*unlike[:4], f"{len(unlike) - 4} more"] if len(unlike) > 5 else unlike
        return f"The held-out losses can't be compared: the runs differ in {_listed(few)}."
    if len({folder.run.config.seed for folder in folders}) > 1:
        return "The seeds differ, so each run held out other pictures: ignore small differences of the losses."
    return ""


def _fact(folder: RunFolder, names: Sequence[str]) -> str | None:
    quality = folder.evaluation.quality
    facts: Mapping[str, object] = quality.facts if quality else {}
    known = {str(name).replace("_", " ").lower(): value for name, value in facts.items()}
    return next((fact_text(known[name]) for name in names if known.get(name) is not None), None)


def _fingerprint(folder: RunFolder) -> str:
    return _fact(folder, _PICTURES) or folder.run.config.data.fingerprint


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
