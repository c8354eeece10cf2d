"""Command-line arguments: the options that commands share, and parsing by a command's signature."""

import ast
import contextlib
import functools
import inspect
import io
import itertools
import os
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import tyro
from tyro.conf import Positional, arg

from unnoise import UnnoiseError


def option(metavar: str | None = None, default: str = "", explanation: str | None = None) -> Any:  # noqa: ANN401
    """What help shows of an option: name of the value, default, and explanation (or that of the docstring)."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "", help=explanation)


_OWN = "the run's own"

Run: TypeAlias = Annotated[Path, Positional, option("RUN", "", "Folder of a run, as written by unnoise train.")]
RunSource: TypeAlias = Annotated[
    str | None, Positional, option("[SOURCE]", _OWN, "The run's pictures, if they have moved, or others.")
]
_GIVEN = "Pictures, or .npy or .npz arrays, cut and scaled as the run's own were."
Images: TypeAlias = Annotated[tuple[Path, ...], Positional, option("[IMAGE ...]", "", _GIVEN)]
_BEST_DEVICE = "auto, cpu, cuda, cuda:1 or mps. auto uses a GPU if there is one."
Device: TypeAlias = Annotated[str, option("DEVICE", "auto", _BEST_DEVICE)]
Flag: TypeAlias = Annotated[bool, option(default="off")]
OutputFile: TypeAlias = Annotated[Path, arg(metavar="FILE")]
_SAVE = 'Also save the results alone: an .npz (the array "images", uint8, N x H x W x C), or a folder of PNGs.'
SavePath: TypeAlias = Annotated[Path | None, option("PATH", "only the sheet is written", _SAVE)]

# How the help shows options of functions of `unnoise.api`, whose types and explanations these have.
DEVICE = option("DEVICE", "auto", _BEST_DEVICE)
FLAG = option(default="off")
STEPS = option("N", _OWN)
BATCH_SIZE = option("N", "the preset's")
PRESET = option("NAME", "what suits device, size and budget")
SAMPLING: dict[str, Any] = {
    "num_steps": STEPS,
    **dict.fromkeys(("eta", "polish", "guidance", "guidance_rescale"), option("X", _OWN)),
    "guidance_interval": option("LOW HIGH", _OWN),
    **dict.fromkeys(("sampler", "spacing", "variance", "clip"), option(None, _OWN)),
    "autoguidance": option("SCALE", _OWN),
    "weak": option("STEP|RUN", "its average at about a quarter of the training"),
    "best": FLAG,
}
"""Of sampling."""
READING: dict[str, Any] = {
    "size": Annotated[
        str | None, option("H[xW]", "the pictures' own if all agree and none is above 128, else 64")
    ],
    "channels": option("C", "1 if all are grey, else 3"),
    "fit": option(None, "crop"),
    "background": Annotated[str | None, option("COLOUR", "white")],
    "range": Annotated[
        tuple[str, ...],
        option("LOW HIGH|percentiles", "0 to the first of 1, 255, 1023, ... that holds them"),
    ],
    "layout": option("NHWC", "found from the shape"),
    "labels": Annotated[str | None, option("auto|auto:N|FILE", "none")],
    "strict_labels": FLAG,
    "split_folders": FLAG,
}
"""Of reading pictures."""


def size_option(default: str) -> Any:  # noqa: ANN401
    """The option of a size, as text."""
    return Annotated[str | None, option("H[xW]", default)]


def sheet_option(name: str) -> Any:  # noqa: ANN401
    """The option of where a sheet of pictures goes."""
    return option("PNG", f"RUN/{name}", "Where the sheet goes, a .png.")


def parse_arguments(command: Callable[..., None], name: str, arguments: Sequence[str]) -> Callable[[], None]:
    """Binds the arguments to the command without calling it; `--help` prints its help and exits with 0.

    Raises:
        UnnoiseError: when the arguments don't fit, in one sentence.
    """
    # One line for each option: tyro would keep a line break before a word such as --out.
    inspect.unwrap(command).__doc__ = re.sub(r"\n {8,}", " ", explained(inspect.unwrap(command)))
    arguments = [_without_tilde(argument) for argument in arguments]

    @functools.wraps(command)
    def bind(*positional: object, **options: object) -> Callable[[], None]:
        return functools.partial(command, *positional, **options)

    if {"-h", "--help"} & set(arguments):
        print(_description(command), end="\n\n")
    complaint = io.StringIO()
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
    try:
        with contextlib.redirect_stderr(complaint):
            bound: Callable[[], None] = tyro.cli(bind, prog=name, description="", args=arguments, config=config)
    except SystemExit as leaving:
        if not leaving.code:
            raise
        _refuse_many_sources(name, arguments, complaint.getvalue())
        raise UnnoiseError(f"{_sentence(complaint.getvalue())}. See {name} --help.") from None
    return bound


def explained(command: Callable[..., None]) -> str:
    """The docstring, with the explanations of the functions that the command takes its options from."""
    text = _own_docstring(command)
    known = set(re.findall(r"^    (\w+): ", text.partition("\nArgs:\n")[2], re.MULTILINE))
    text = text if "\nArgs:\n" in text else f"{text}\n\nArgs:"
    for function in getattr(command, "explained_by", ()):
        theirs = _own_docstring(function).partition("\nArgs:\n")[2].partition("\n\n")[0]
        for entry in re.findall(r"^    \w+: .*(?:\n {8,}.*)*", theirs, re.MULTILINE):
            name = entry.strip().partition(":")[0]
            if name not in known:
                known.add(name)
                text += f"\n{entry}"
    return text


def _own_docstring(function: Callable[..., object]) -> str:
    """The docstring; from the source file where `python -OO` left it out."""
    text = inspect.getdoc(function)
    if text is None:
        tree = ast.parse(Path(function.__code__.co_filename).read_text(encoding="utf-8"))
        named = (one for one in ast.walk(tree) if isinstance(one, ast.FunctionDef))
        text = next((ast.get_docstring(one) for one in named if one.name == function.__name__), None)
    return text or ""


def _without_tilde(argument: str) -> str:
    """~/x and --out=~/x with the home folder in place of ~, which only some shells put there."""
    name, equals, value = argument.partition("=")
    if argument.startswith("--") and equals:
        return name + equals + os.path.expanduser(value)  # noqa: PTH111 - a Path would drop ./ and end slashes
    return os.path.expanduser(argument)  # noqa: PTH111


def _refuse_many_sources(name: str, arguments: Sequence[str], complaint: str) -> None:
    """Explains what goes wrong with `unnoise train pictures/*.png`, for which shells list all files."""
    given = [Path(one) for one in itertools.takewhile(lambda one: not one.startswith("-"), arguments)]
    if "Unrecognized options" in complaint and len(given) > 1 and all(path.exists() for path in given):
        raise UnnoiseError(
            f"{name} takes one folder of pictures, but got {len(given):,} paths, from {str(given[0])!r} to "
            f"{str(given[-1])!r}. Name the folder that holds them: {str(given[0].parent)!r}."
        )


def _description(command: Callable[..., None]) -> str:
    """The docstring above its arguments, wrapped to the window but for its indented lines, the examples."""
    paragraphs = (inspect.getdoc(command) or "").partition("\nArgs:\n")[0].strip().split("\n\n")
    width = min(shutil.get_terminal_size().columns, 100)
    return "\n\n".join(text if text.startswith(" ") else textwrap.fill(text, width) for text in paragraphs)


def _choices(text: str) -> str:
    """The choices, which tyro gives in any order, without that of leaving the option out."""
    return ", ".join(sorted(set(re.findall(r"'(.*?)'", text)) - {"None"}))


_KINDS = {"INT": "a whole number", "FLOAT": "a number", "{FLOAT FLOAT}": "two numbers"}
_REWORDED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"Missing from .*?: (\S+) .*", r"\1 is missing"),
    (r"Missing value for argument '(\S+)'.*", r"\1 needs a value"),
    (
        r"Error parsing (\S+): no type matching (.*?) could be instantiated from \[(.*)\]",
        lambda found: f"{found[1]} takes {_KINDS.get(found[2], found[2])}, but got {found[3]}",
    ),
    (r"Error parsing (\S+): .*: \[(.*)\]", r"\1 does not take \2"),
    (
        r"invalid choice (.*?) for argument '(\S+)'\. Expected one of (.*)",
        lambda found: f"{found[2]} is one of {_choices(found[3])}, but got {found[1]}",
    ),
    (r"Unrecognized options: (.*?) Perhaps you meant: (\S+).*", r"\1 is not understood; perhaps \2 was meant"),
    (r"Unrecognized options: (.*)", r"\1 is not understood"),
)
"""What tyro says of wrong arguments, and how it reads here."""


def _sentence(box: str) -> str:
    """What tyro's box of text says, without its frame and advice, in plain words."""
    words = re.sub(r"(?:[╭╮╰╯│─\s]|-{10,})+", " ", box)
    words = re.sub(r"(Got errors|Argument helptext|For full helptext).*|[(]required[)]", " ", words)
    words = " ".join(words.split())
    words = re.sub(
        r"^(Value error|Missing argument|Invalid choice|Parsing error|\w+ options) (?=\S)", "", words
    )
    for pattern, wording in _REWORDED:
        words = re.sub(f"^{pattern}$", wording, words.rstrip(".:"))
    return words or "These options are not understood"


def changed(function: Callable[..., object], options: Mapping[str, object]) -> dict[str, object]:
    """Of the options of a function, those that have another value than by default."""
    known = inspect.signature(function).parameters
    return {name: value for name, value in options.items() if value != known[name].default}
