"""Printing of the command line: errors and warnings as one sentence, on any terminal."""

import io
import os
import sys
from contextlib import suppress

from unnoise.utils.text import SPELL_OUT, printable

_NARROWEST = 20
"""Columns of a window below which COLUMNS is not believed."""


def prepare_terminal() -> None:
    """Lets standard output and error print any text, whatever their encoding; ignores an unusable COLUMNS."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):  # a closed stream, or one that cannot be flushed
                stream.reconfigure(errors=SPELL_OUT)
    columns = os.environ.get("COLUMNS", "")
    if columns and not (columns.isascii() and columns.isdigit() and int(columns) >= _NARROWEST):
        del os.environ["COLUMNS"]


def print_error(sentence: str, code: int = 2) -> int:
    """Prints one sentence on standard error; returns the exit code."""
    print(f"unnoise: {printable(' '.join(sentence.split()))}", file=sys.stderr)
    return code


def print_warning(message: Warning | str, *_: object) -> None:
    """Prints a warning as one sentence, without file and line. It replaces `warnings.showwarning`."""
    print_error(str(message))
