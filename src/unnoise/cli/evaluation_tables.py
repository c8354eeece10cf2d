"""Tables of what an evaluation found: under the facts that they depend on, with a sentence of verdict."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unnoise.cli.console import say
from unnoise.utils.text import printable

if TYPE_CHECKING:
    from rich.table import Table

    from unnoise.evaluation import Colours, Memorisation, Score


def show_scores(facts: Mapping[str, object], scores: "Sequence[Score]", warnings: Sequence[str]) -> None:
    """The facts in a line, a row for each score, and what to mind."""
    from rich.text import Text

    from unnoise.evaluation import in_words

    table = _table("", "samples", "95% interval", "real pictures", "better")
    for score in scores:
        real = "" if score.real is None else f"{score.real:.4g}"
        between = f"{score.low:.4g} to {score.high:.4g}"
        table.add_row(Text(printable(score.name)), f"{score.value:.4g}", between, real, score.better)
    _print(in_words(facts), table)
    for warning in warnings:
        say(warning)


def show_memorisation(found: "Memorisation") -> None:
    """The verdict, and the numbers behind it."""
    table = _table("memorisation", "copied", "95% interval", "nearer than unseen", "95% interval")
    for name, numbers in (("by features", found.features), ("by pixels", found.pixels)):
        columns = [
            text
            for interval in (numbers.copied, numbers.index)
            for text in (f"{interval.value:.1%}", f"{interval.low:.1%} to {interval.high:.1%}")
        ]
        table.add_row(name, *columns)
    _print(table, found.verdict)


def show_colours(found: "Colours") -> None:
    """The verdict, and each channel beside the data's."""
    table = _table("colours", "mean", "of the data", "spread", "of the data", "distance")
    for name, channel in found.channels.items():
        numbers = channel.mean, channel.other_mean, channel.std, channel.other_std, channel.distance
        table.add_row(name, *(f"{number:.3f}" for number in numbers))
    _print(table, found.verdict)


def _table(*titles: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for place, title in enumerate(titles):
        table.add_column(title, justify="right" if place else "left")
    return table


def _print(*parts: object) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for part in parts:
        part = printable(part) if isinstance(part, str) else part
        console.print(part, markup=False, soft_wrap=isinstance(part, str))
    console.print()
