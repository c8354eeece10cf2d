"""Options come from a command's signature, help from its docstring; a slip is answered in one sentence."""

import contextlib
import functools
import io
import re
from collections.abc import Callable, Sequence

from unnoise.utils.errors import UnnoiseError


def parse(command: Callable[..., None], name: str, arguments: Sequence[str]) -> Callable[[], None]:
    """Binds the arguments to the command without calling it; `--help` prints, and exits with 0.

    Raises:
        UnnoiseError: when the arguments don't fit, in one sentence.
    """
    import tyro  # here, so that `unnoise --help` answers at once

    @functools.wraps(command)
    def bind(*positional: object, **options: object) -> Callable[[], None]:
        return functools.partial(command, *positional, **options)

    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            bound: Callable[[], None] = tyro.cli(
                bind, prog=name, args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
            )
    except SystemExit as leaving:
        if not leaving.code:
            raise
        raise UnnoiseError(f"{_sentence(complaint.getvalue())}: try {name} --help.") from None
    return bound


def _sentence(box: str) -> str:
    """What a box of text says, without its frame and its advice on where to find help."""
    words = re.sub(r"(?:[╭╮╰╯│─\s]|-{10,})+", " ", box)
    words = re.sub(r"(Got errors|Argument helptext|For full helptext).*|[(]required[)]|{None}[|]", " ", words)
    words = " ".join(words.split())
    words = re.sub(
        r"^(Value error|Missing argument|Invalid choice|Parsing error|Required options|Unrecognized options) ",
        "",
        words,
    )
    words = re.sub(r"(?<=Expected one of )[(](.*?)[)]", _in_order, words)
    return words.rstrip(".:") or "These options were not understood"


def _in_order(choices: re.Match[str]) -> str:
    """The choices, which come in any order, without that of leaving the option out."""
    return ", ".join(sorted(set(choices[1].split(", ")) - {"'None'"}))
