"""The way to sample that a run keeps is the cheapest one that is as good as what costs most."""

from collections.abc import Sequence
from typing import NamedTuple

from unnoise.evaluation.sampler_search.trials import Trial
from unnoise.utils.errors import require

RULE = (
    "the fewest calls whose kernel distance to real pictures is within the 95 % interval of the better of the "
    "long walk and the present way, or below it; among those of as many calls the lowest"
)


class Choice(NamedTuple):
    """What is recommended, what it had to reach, and whether it did."""

    trial: Trial
    target: Trial
    reached: bool


def recommend(trials: Sequence[Trial]) -> Choice:
    """By `RULE`; where nothing reaches so far, the lowest distance that was found.

    Raises:
        UnnoiseError: when nothing was tried besides the references.
    """
    targets = [trial for trial in trials if trial.role != "tried"]
    tried = [trial for trial in trials if trial.role == "tried"]
    require(bool(tried and targets), "Nothing was tried in this time: allow more --minutes.")
    target = min(targets, key=lambda trial: trial.distance.value)
    good = [trial for trial in tried if trial.distance.value <= target.distance.high]
    if good:
        return Choice(min(good, key=lambda trial: (trial.taken, trial.distance.value)), target, reached=True)
    return Choice(min(tried, key=lambda trial: trial.distance.value), target, reached=False)
