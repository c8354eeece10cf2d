"""Printable text: escapes control characters, and spells what a terminal's encoding lacks in ASCII."""

import codecs
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


_IN_ASCII = {
    "–": "-",
    "—": "-",
    "−": "-",
    "±": "+-",
    "×": "x",
    "·": "*",
    "•": "*",
    "…": "...",
    "→": "->",
    "°": " deg",
    "‘": "'",
    "’": "'",
    "“": '"',
    "”": '"',
    "≥": ">=",
    "≤": "<=",
    "≈": "~",
    "σ": "sigma",
    "µ": "u",
    "²": "2",
}


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Error handler of encodings: what they lack in ASCII, and escapes for other scripts."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_spelled, error.object[error.start : error.end])), error.end


def _spelled(character: str) -> str:
    if "\u2500" <= character <= "\u28ff":  # lines, blocks and dots of bars and tables
        return "-" if character <= "\u257f" else "*"
    return _IN_ASCII.get(character) or character.encode("ascii", "backslashreplace").decode("ascii")


SPELL_OUT = "unnoise.spell_out"
"""Name of the error handler for streams: `stream.reconfigure(errors=SPELL_OUT)`."""
codecs.register_error(SPELL_OUT, _in_ascii)
