"""Tables of `unnoise evaluate`: scores, copies and colours, each with a verdict."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unnoise.api.reporting import tell, tell_output
from unnoise.api.tables import table
from unnoise.utils.text import printable

if TYPE_CHECKING:
    from unnoise.evaluation import ColourReport, MemorisationReport, Score


def print_scores(facts: Mapping[str, object], scores: "Sequence[Score]", warnings: Sequence[str]) -> None:
    """Prints the facts that the scores depend on, a row for each score, and warnings."""
    from rich.text import Text

    from unnoise.evaluation import conditions_text

    rows = table("", "samples", "95% interval", "real pictures", "better")
    for score in scores:
        real = "" if score.real is None else f"{score.real:.4g}"
        between = f"{score.low:.4g} to {score.high:.4g}"
        rows.add_row(Text(printable(score.name)), f"{score.value:.4g}", between, real, score.better)
    tell_output(conditions_text(facts), rows, "")
    for warning in warnings:
        tell(warning)


def print_memorisation(found: "MemorisationReport") -> None:
    """Prints how many samples are copies of training pictures, and a verdict."""
    rows = table("copies", "copied", "95% interval", "nearer than unseen", "95% interval")
    for name, numbers in (("by features", found.features), ("by pixels", found.pixels)):
        columns = [
            text
            for interval in (numbers.copied, numbers.index)
            for text in (f"{interval.value:.1%}", f"{interval.low:.1%} to {interval.high:.1%}")
        ]
        rows.add_row(name, *columns)
    tell_output(rows, found.verdict, "")


def print_colours(found: "ColourReport") -> None:
    """Prints mean and spread of each channel beside those of the data, and a verdict."""
    rows = table("colours", "mean", "of the data", "spread", "of the data", "distance")
    for name, channel in found.channels.items():
        numbers = channel.mean, channel.other_mean, channel.std, channel.other_std, channel.distance
        rows.add_row(name, *(f"{number:.3f}" for number in numbers))
    tell_output(rows, found.verdict, "")
