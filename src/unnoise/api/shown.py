"""Findings as values: tables and text that print and, in a notebook, show themselves."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from unnoise.api.reporting import Part

_WIDTH = 110


class Findings:
    """Tables and lines of text, as the command line prints them.

    Args:
        parts: tables of rich, and text.
    """

    def __init__(self, parts: "Sequence[Part]") -> None:
        self.parts = parts

    def __str__(self) -> str:
        return self._rendered().export_text(clear=False).rstrip()

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        style = "white-space: pre; overflow-x: auto; font-family: monospace; line-height: 1.25"
        code = f'<div style="{style}">{{code}}</div>'
        return self._rendered().export_html(inline_styles=True, code_format=code)

    def _rendered(self) -> "Console":
        from rich.console import Console

        # In a notebook rich would also show each part by itself.
        console = Console(file=io.StringIO(), record=True, width=_WIDTH, highlight=False, force_jupyter=False)
        for part in self.parts:
            console.print(part, markup=False, soft_wrap=False)
        return console
