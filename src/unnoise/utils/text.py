"""Printable text: escapes control characters in names and texts from files."""

import re

# Control characters, surrogates, and characters that break lines or change the direction of text.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNPRINTABLE_IN_LINES = re.compile(_UNPRINTABLE.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def printable(text: str, *, lines: bool = False) -> str:
    r"""The text with unprintable characters escaped, for example a bell as \x07.

    This keeps texts from files, and file names, from controlling a terminal.

    Args:
        text: any text.
        lines: keep tabs and new lines.
    """
    return (_UNPRINTABLE_IN_LINES if lines else _UNPRINTABLE).sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
