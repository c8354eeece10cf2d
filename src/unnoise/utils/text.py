"""A name is shown as the text that it is: what would steer a terminal, or is no text at all, is spelt out."""

import re

# Control characters, halves of characters, and what turns the direction of reading or breaks a line.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_BUT_FOR_LINES = re.compile(_STEERING.pattern.replace("\x00-\x1f", "\x00-\x08\x0b-\x1f"))


def printable(text: str, *, lines: bool = False) -> str:
    r"""The same text, but a bell is \x07, and a byte of a file's name that is no text \udcff.

    Args:
        text: from a file, or the name of one.
        lines: tabs and new lines stay.
    """
    return (_BUT_FOR_LINES if lines else _STEERING).sub(_spelt_out, text)


def _spelt_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
