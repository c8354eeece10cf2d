"""Result of a sampler search: the recommended sampler, RUN/solve.json, and the run's own sampler."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.sampler_search.search import Trial
from unnoise.runs.autoguidance import own_sampling, with_own_sampling
from unnoise.runs.checkpoint import Run
from unnoise.runs.conversion import plain, structured
from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.files import atomic_write

RULE = (
    "the fewest calls whose kernel distance to real pictures is at most the upper end of the 95% interval of "
    "the reference or the present sampler, whichever is better; of those with as many calls, the smallest "
    "distance"
)


ENOUGH_SAMPLES = 256
"""Samples of each sampler from which a search may change a run: with fewer, the distances of good samplers
differ by less than their intervals."""


class Recommendation(NamedTuple):
    """Recommended trial, the trial that it had to match, and whether it does."""

    trial: Trial
    target: Trial
    reached: bool


def recommend(trials: Sequence[Trial]) -> Recommendation:
    """The trial recommended by `RULE`; where none matches the target, the one with the smallest distance.

    Raises:
        UnnoiseError: where there are no trials besides the reference and the present sampler.
    """
    targets = [trial for trial in trials if trial.role != "tried"]
    tried = [trial for trial in trials if trial.role == "tried"]
    require(bool(tried and targets), "There was no time to try a sampler: allow more --minutes.")
    target = min(targets, key=lambda trial: trial.distance.value)
    good = [trial for trial in tried if trial.distance.value <= target.distance.high]
    if good:
        best = min(good, key=lambda trial: (trial.taken, trial.distance.value))
        return Recommendation(best, target, reached=True)
    return Recommendation(min(tried, key=lambda trial: trial.distance.value), target, reached=False)


def write_result(
    run: Run,
    facts: dict[str, object],
    trials: Sequence[Trial],
    recommendation: Recommendation | None,
    *,
    kept: bool = False,
) -> None:
    """Writes RUN/solve.json: facts, trials, the recommendation, and the run's sampler before the search.

    Where the run has `kept` its sampler, the one from before an earlier search stays, for `restore_sampling`.
    """
    found: dict[str, object] = {"facts": facts, "trials": [_record(trial) for trial in trials]}
    if recommendation is not None:
        chosen = _record(recommendation.trial)
        found |= {"rule": RULE, "reached": recommendation.reached, "chosen": chosen, "kept": kept}
    before, path = plain(own_sampling(run)), run.path / "solve.json"
    found["before"] = _earlier(path) or before if kept else before
    with atomic_write(path) as file:
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _earlier(path: Path) -> object:
    """The sampler from before the last search that changed the run, if this file has it."""
    try:
        return json_text.read(path, "").get("before") if path.is_file() else None
    except UnnoiseError:
        return None


def _record(trial: Trial) -> dict[str, object]:
    return {
        "role": trial.role,
        "calls": trial.taken,
        "error": trial.error,
        "distance": trial.distance._asdict(),
        "seconds": round(trial.seconds, 3),
        "sampling": plain(trial.sampling),
    }


def keep_sampling(run: Run, sampling: Sampling) -> Run:
    """Makes this sampler the run's own, which `generate` uses without options; all else stays as it now is."""
    run = Run.open(run.path)  # a training that was resumed in between may have a new budget
    return with_own_sampling(run, sampling)


def restore_sampling(run: Run) -> Run:
    """Restores the run's sampler from before the last search that changed it.

    Raises:
        UnnoiseError: when RUN/solve.json is missing or damaged.
    """
    path = run.path / "solve.json"
    require(path.is_file(), f"There is no {path}, so there is nothing to restore: unnoise solve writes it.")
    remedy = "Choose a sampler with the options of generate instead."
    before = json_text.read(path, remedy).get("before")
    require(isinstance(before, dict), f"{path} is damaged: it lacks the sampler to restore. {remedy}")
    return keep_sampling(run, structured(before, Sampling, str(path)))
