"""What was found stays with the run: the numbers in RUN/solve.json, the chosen way in its config.json."""

import json
from collections.abc import Sequence
from dataclasses import replace

from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation.sampler_search.choice import RULE, Choice
from unnoise.evaluation.sampler_search.trials import Trial
from unnoise.runs.checkpoint import Run
from unnoise.runs.conversion import plain, structured
from unnoise.utils import json_text
from unnoise.utils.errors import require
from unnoise.utils.files import atomic_write


def write(run: Run, facts: dict[str, object], trials: Sequence[Trial], choice: Choice | None) -> None:
    """Writes RUN/solve.json: the facts, every trial, the choice, and the way before it."""
    found: dict[str, object] = {"facts": facts, "trials": [_plain(trial) for trial in trials]}
    if choice is not None:
        found |= {"rule": RULE, "reached": choice.reached, "chosen": _plain(choice.trial)}
    found["before"] = plain(run.config.recipe.sampling)
    with atomic_write(run.path / "solve.json") as file:
        file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def _plain(trial: Trial) -> dict[str, object]:
    return {
        "role": trial.role,
        "calls": trial.taken,
        "error": trial.error,
        "distance": trial.distance._asdict(),
        "seconds": round(trial.seconds, 3),
        "sampling": plain(trial.sampling),
    }


def keep(run: Run, sampling: Sampling) -> Run:
    """Makes this way the run's own: what `generate` does without options."""
    return run.with_config(replace(run.config, recipe=replace(run.config.recipe, sampling=sampling)))


def restore(run: Run) -> Run:
    """Puts back the way that was the run's own before the last solve.

    Raises:
        UnnoiseError: when RUN/solve.json is missing or damaged.
    """
    path = run.path / "solve.json"
    require(path.is_file(), f"There is no {path}, so there is nothing to restore: unnoise solve writes it.")
    remedy = "choose with the options of generate instead"
    before = json_text.read(path, remedy).get("before")
    require(isinstance(before, dict), f"{path} does not say what was before: {remedy}.")
    return keep(run, structured(before, Sampling, str(path)))
