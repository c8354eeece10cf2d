"""HTML page made of sections: one file with its style, pictures and charts inside."""

import base64
import io
import re
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import ClassVar, Literal, TypeAlias

import jinja2
from PIL import Image

from unnoise import __version__
from unnoise.reports.charts import Plot, svg
from unnoise.utils.files import atomic_write
from unnoise.utils.text import printable

Tone: TypeAlias = Literal["good", "bad", "plain"]

_SMALL = 480
"""Pictures smaller than this many pixels are enlarged by a whole factor, with sharp pixels."""


@dataclass(frozen=True)
class Heading:
    """Heading of a part of the page, with an entry in its list of contents."""

    text: str
    kind: ClassVar[str] = "heading"

    @property
    def anchor(self) -> str:
        """Its id, for links."""
        return re.sub(r"[^a-z0-9]+", "-", self.text.lower()).strip("-")


@dataclass(frozen=True)
class Text:
    """Paragraph, followed by a command to type where `code` is given."""

    text: str
    code: str = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Verdict:
    """Main finding about a run: a sentence under a title, coloured by its tone."""

    title: str
    text: str
    tone: Tone = "plain"
    kind: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class Verdicts:
    """Verdicts, side by side."""

    verdicts: tuple[Verdict, ...]
    kind: ClassVar[str] = "verdicts"


@dataclass(frozen=True)
class Facts:
    """List of names with their values."""

    facts: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Cell:
    """Cell of a table: a value, small text beneath it (its interval), and whether it is the best of its row."""

    text: str
    beneath: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Table whose first column names the rows; numbers are aligned at the right.

    Args:
        titles: of all columns.
        rows: as long as the titles.
        words: the columns that hold words instead of numbers.
        caption: what it shows.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset({0})
    caption: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """Picture with a caption; `alt` describes it for screen readers."""

    image: Image.Image
    alt: str
    caption: str = ""
    kind: ClassVar[str] = "picture"

    @cached_property
    def uri(self) -> str:
        """The picture as a data URI."""
        packed = io.BytesIO()
        self.image.save(packed, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")

    @property
    def factor(self) -> int:
        """The factor by which it is enlarged on the page."""
        return max(1, _SMALL // max(self.image.size))


@dataclass(frozen=True)
class PictureRow:
    """Pictures side by side, where the screen is wide enough."""

    pictures: tuple[Picture, ...]
    kind: ClassVar[str] = "picture_row"


@dataclass(frozen=True)
class Gallery:
    """Grid of pictures: a row for each run, a column for each seed; each row keeps its own picture size."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]
    caption: str = ""
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Chart:
    """One plot, or two beside one another.

    Args:
        title: of both.
        plots: what is drawn.
        alt: what they show, for screen readers.
        caption: how to read them.
    """

    title: str
    plots: tuple[Plot, ...]
    alt: str
    caption: str = ""
    kind: ClassVar[str] = "chart"

    def drawings(self, identifier: str) -> list[tuple[str, str]]:
        """Each plot twice, as (CSS class, SVG): for wide screens, and for phones with letters as large."""
        wide = (900, 340) if len(self.plots) == 1 else (440, 300)
        return [
            (name, svg(plot, *size, title=self.alt, identifier=f"{identifier}-{name}-{number}"))
            for number, plot in enumerate(self.plots, start=1)
            for name, size in (("wide", wide), ("narrow", (340, 280)))
        ]


@dataclass(frozen=True)
class Code:
    """Block of code; long lines are wrapped if `wraps`, else scrolled."""

    text: str
    wraps: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Details:
    """Sections that are folded away until the title is clicked."""

    title: str
    sections: "tuple[Section, ...]"
    kind: ClassVar[str] = "details"


Section: TypeAlias = (
    Heading | Text | Verdicts | Facts | Table | Picture | PictureRow | Gallery | Chart | Code | Details
)


@dataclass(frozen=True)
class Page:
    """Title of a page, the line under it, and its sections."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def render(page: Page) -> str:
    """The HTML of a page: no script, nothing to load, light or dark as the reader's screen is set."""
    return _template().render(page=page, version=__version__)


def save_page(page: Page, path: Path) -> None:
    """Writes a page to a file; one that is there stays until the new one is complete.

    Raises:
        UnnoiseError: when the file can't be written.
    """
    text = render(page)
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")


def _without_control_characters(value: object) -> object:
    return printable(value, lines=True) if type(value) is str else value


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("unnoise.reports"),
        autoescape=True,
        finalize=_without_control_characters,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
