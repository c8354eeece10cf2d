"""A page is a title and a list of sections; it becomes one file that needs nothing but itself."""

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
from unnoise.reports.charts import Drawn, Panel, draw
from unnoise.utils.files import writable
from unnoise.utils.text import printable

Tone: TypeAlias = Literal["good", "bad", "plain"]

_SMALL = 480
"""Pictures of fewer pixels than this are enlarged by a whole factor, each pixel a sharp square."""


@dataclass(frozen=True)
class Heading:
    """Begins a part of the page, and is in its list of contents."""

    text: str
    kind: ClassVar[str] = "heading"

    @property
    def anchor(self) -> str:
        """What a link to it is called."""
        return re.sub(r"[^a-z0-9]+", "-", self.text.lower()).strip("-")


@dataclass(frozen=True)
class Text:
    """A paragraph; `code` is what to type."""

    text: str
    code: str = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Verdict:
    """What matters most, in a sentence under a word."""

    title: str
    text: str
    tone: Tone = "plain"
    kind: ClassVar[str] = "verdict"


@dataclass(frozen=True)
class Verdicts:
    """Verdicts beside one another."""

    verdicts: tuple[Verdict, ...]
    kind: ClassVar[str] = "verdicts"


@dataclass(frozen=True)
class Facts:
    """Names and what they are."""

    facts: tuple[tuple[str, str], ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Cell:
    """A value, what stands small beneath it (its interval), and whether it is the best of its row."""

    text: str
    beneath: str = ""
    best: bool = False


@dataclass(frozen=True)
class Table:
    """Rows of cells under titles; the first column names the rows, and numbers stand at the right.

    Args:
        titles: of all columns.
        rows: as long as the titles.
        words: the columns that hold words, not numbers.
        caption: what it shows.
    """

    titles: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    words: frozenset[int] = frozenset({0})
    caption: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """A picture, what it shows for those who can't see it, and its caption."""

    image: Image.Image
    alt: str
    caption: str = ""
    kind: ClassVar[str] = "picture"

    @cached_property
    def uri(self) -> str:
        """The picture itself, as an address."""
        packed = io.BytesIO()
        self.image.save(packed, format="PNG", optimize=True)
        return "data:image/png;base64," + base64.b64encode(packed.getvalue()).decode("ascii")

    @property
    def factor(self) -> int:
        """By how much it is enlarged on the page."""
        return max(1, _SMALL // max(self.image.size))


@dataclass(frozen=True)
class Beside:
    """Pictures beside one another, where the screen is wide enough."""

    pictures: tuple[Picture, ...]
    kind: ClassVar[str] = "beside"


@dataclass(frozen=True)
class Gallery:
    """Rows of pictures under common titles: seeds across, runs down; each row keeps its own size."""

    titles: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Picture, ...]], ...]
    caption: str = ""
    kind: ClassVar[str] = "gallery"


@dataclass(frozen=True)
class Chart:
    """One panel or two beside one another, with what they show in words."""

    title: str
    panels: tuple[Panel, ...]
    alt: str
    caption: str = ""
    kind: ClassVar[str] = "chart"

    @property
    def drawn(self) -> list[tuple[str, Drawn]]:
        """Each panel twice: for desks and for phones, where letters must not shrink with the page."""
        wide = (900.0, 340.0) if len(self.panels) == 1 else (440.0, 300.0)
        sizes = {"wide": wide, "narrow": (340.0, 280.0)}
        both = [(name, draw(panel, *size)) for panel in self.panels for name, size in sizes.items()]
        return [(name, panel) for name, panel in both if panel is not None]


@dataclass(frozen=True)
class Code:
    """What to type, or a file's text; long lines are wrapped, or else scrolled."""

    text: str
    wraps: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Folded:
    """Sections that are shown when asked for."""

    title: str
    sections: "tuple[Section, ...]"
    kind: ClassVar[str] = "folded"


Section: TypeAlias = (
    Heading | Text | Verdicts | Facts | Table | Picture | Beside | Gallery | Chart | Code | Folded
)


@dataclass(frozen=True)
class Page:
    """A title, what stands under it, and the sections."""

    title: str
    lead: str
    sections: tuple[Section, ...]


def render(page: Page) -> str:
    """The page's HTML: no script, nothing from elsewhere, light or dark as the reader's screen is."""
    return _template().render(page=page, version=__version__)


def save_page(page: Page, path: Path) -> None:
    """Writes the page, whole or not at all.

    Raises:
        UnnoiseError: for a path that can't be written.
    """
    text = render(page)
    with writable(path) as file:
        file.write_text(text, encoding="utf-8")


def _shown(value: object) -> object:
    return printable(value, lines=True) if type(value) is str else value


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("unnoise.reports"),
        autoescape=True,
        finalize=_shown,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("page.html")
