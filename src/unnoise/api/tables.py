"""Tables of figures and of facts, for terminals and notebooks."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from unnoise.utils.text import printable

if TYPE_CHECKING:
    from rich.table import Table


def table(*titles: str, left: Collection[str] = ()) -> "Table":
    """An empty table without lines; numbers stand right, the first column and those in `left` stand left."""
    from rich.table import Table
    from rich.text import Text

    made = Table(box=None, pad_edge=False)
    for place, title in enumerate(titles):
        text = Text(printable(title))
        made.add_column(text, justify="left" if place == 0 or title in left else "right")
    return made


def fact_table(facts: Mapping[str, str], *, indent: int = 0) -> "Table":
    """A line for each fact, its name in front."""
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold" if not indent else "dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(" " * indent + name, Text(printable(value)))
    return table
