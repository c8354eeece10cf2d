"""Options of a training, parsed from the words of a call or of the command line."""

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Literal

from unnoise.api.effects import is_given, refuse_without_effect
from unnoise.api.words import parse_colour, parse_noise_shift, parse_range, parse_size
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.runs.config import Budget
    from unnoise.runs.plan import TrainOptions


def train_options(words: Mapping[str, Any], *, resumes: bool = False) -> "TrainOptions":
    """The options that these words give; whatever is not among them is left to the run.

    Args:
        words: values by the names of the arguments of `train`, any of them; others are passed over.
        resumes: whether a run goes on, which knows its labels.

    Raises:
        UnnoiseError: for words that can't be understood or contradict each other.
    """
    from unnoise.runs.plan import TrainOptions

    if words.get("labels") is None and not resumes:
        remedy = "Add --labels auto, or leave it out."
        refuse_without_effect({"strict_labels": words.get("strict_labels")}, "without --labels", remedy)
    changes = words.get("set", ())
    parsed = {
        **words,
        "size": parse_size(words.get("size")),
        "background": parse_colour(words.get("background")),
        "ranges": parse_range(words.get("range", ())),
        "noise_shift": parse_noise_shift(words.get("noise_shift")),
        "changes": (changes,) if isinstance(changes, str) else tuple(changes),
        "budget": _budget(*(words.get(unit) for unit in ("minutes", "steps", "images"))),
    }
    parsed |= {name: str(words[name]) for name in ("labels", "init") if words.get(name) is not None}
    # A flag that was not given, and an empty list, leave the choice to the run.
    known = {field.name for field in fields(TrainOptions)}
    return TrainOptions(**{name: value for name, value in parsed.items() if name in known and is_given(value)})


def _budget(minutes: float | None, steps: int | None, images: int | None) -> "Budget | None":
    from unnoise.runs.config import Budget

    amounts: dict[Literal["minutes", "steps", "images"], float | None]
    amounts = {"minutes": minutes, "steps": steps, "images": images}
    given = [Budget(unit=unit, amount=float(n)) for unit, n in amounts.items() if n is not None]
    if len(given) > 1:
        named = " and ".join(f"--{budget.unit} {budget.amount:g}" for budget in given)
        raise UnnoiseError(f"A run has one budget, but got {named}: keep one of them.")
    return given[0] if given else None
