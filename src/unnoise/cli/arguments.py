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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import tyro
from tyro.conf import Positional, arg

from unnoise.diffusion import sampler_names
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.data.decoding.value_range import RangeChoice


def option(metavar: str | None = None, default: str = "", explanation: str | None = None) -> Any:  # noqa: ANN401
    """What help shows of an option: name of the value, default, and explanation (or that of the docstring)."""
    return arg(metavar=metavar, help_behavior_hint=f"(default: {default})" if default else "", help=explanation)


_OWN = "the run's own"

Run: TypeAlias = Annotated[Path, Positional, option("RUN", "", "Folder of a run, as written by unnoise train.")]
RunSource: TypeAlias = Annotated[
    str | None, Positional, option("[SOURCE]", _OWN, "The run's pictures, if they have moved, or others.")
]
Device: TypeAlias = Annotated[
    str, arg(metavar="DEVICE", help="auto, cpu, cuda, cuda:1 or mps. auto uses a GPU if there is one.")
]
Devices: TypeAlias = Annotated[int, option("N", "1", "How many such devices train together, by torchrun.")]
Integer: TypeAlias = Annotated[int, arg(metavar="N")]
Number: TypeAlias = Annotated[float, arg(metavar="X")]
Minutes: TypeAlias = Annotated[float, arg(metavar="MINUTES")]
Flag: TypeAlias = Annotated[bool, option(default="off")]
OutputFile: TypeAlias = Annotated[Path, arg(metavar="FILE")]

STEPS = option("N", _OWN)
FLAG = option(default="off")
SAMPLING: dict[str, Any] = {
    "num_steps": STEPS,
    **dict.fromkeys(("eta", "guidance", "guidance_rescale"), option("X", _OWN)),
    "guidance_interval": option("LOW HIGH", _OWN),
    **dict.fromkeys(("sampler", "spacing", "variance", "clip"), option(None, _OWN)),
    "autoguidance": option("SCALE", "none"),
    "weak": option("STEP|RUN", "about a quarter of the training"),
    "best": FLAG,
}
"""How the help shows the options of sampling."""

# Of training, and of `unnoise info`, which forecasts it.
_COMMON_SIZE = "the pictures' own if all agree and none is above 128, else 64"
Size: TypeAlias = Annotated[
    str | None, option("H[xW]", _COMMON_SIZE, "Height, or height x width, in pixels, of all pictures.")
]
Channels: TypeAlias = Annotated[
    int | None, option("C", "1 if all are grey, else 3", "1 grey, 3 colour, 2 or 4 with transparency.")
]
BatchSize: TypeAlias = Annotated[
    int | None, option("N", "the preset's", "Pictures in each training step. Less needs less memory.")
]
_RECIPE = "The recipe: network, schedule and all other settings. `unnoise presets` lists them."
Preset: TypeAlias = Annotated[str | None, option("NAME", "what suits device, size and budget", _RECIPE)]
_SHAPES = "For pictures of another shape: crop to the middle, or pad with --background."
Fit: TypeAlias = Annotated[Literal["crop", "pad"] | None, option(None, "crop", _SHAPES)]
_BEHIND = "Colour behind transparent pictures and around padded ones: a name or #rrggbb."
_FULL = "0 to the first of 1, 255, 1023, ... that holds them"
_VALUES = """Values that are black and white, of pictures with more than 8 bits and of arrays of numbers: two
numbers, or percentiles for the 0.1st and 99.9th of all values."""
Range: TypeAlias = Annotated[
    tuple[str, ...],
    option(
        "LOW HIGH|percentiles", "0 to the first of 1, 255, 1023, ... that holds them", " ".join(_VALUES.split())
    ),
]
_AXES = "Axes of an array: N pictures, H rows, W columns, C channels."
Layout: TypeAlias = Annotated[str | None, option("NHWC", "found from the shape", _AXES)]
Background: TypeAlias = Annotated[str | None, option("COLOUR", "white", _BEHIND)]
_MIRROR = "Mirror each picture left to right half of the time. For pictures that may be mirrored."
Flip: TypeAlias = Annotated[bool, option(None, "off", _MIRROR)]
_SHIFT = "More noise, for larger pictures: noise / signal times X; size takes the mean side / 32."
NoiseShift: TypeAlias = Annotated[str | None, option("X|size", "the preset's", _SHIFT)]
_CLASSES = """Learn classes: auto takes them from the source (subfolders, IDX, .npz), auto:2 from the folders a
level below; or an IDX or .csv file."""
Labels: TypeAlias = Annotated[str | None, option("auto|auto:N|FILE", "none", " ".join(_CLASSES.split()))]
_STRICT = "Refuse pictures without a class; otherwise they are learned from without one."
LABELS_REMEDY = "Add --labels auto, or leave it out."
StrictLabels: TypeAlias = Annotated[bool, option(None, "off", _STRICT)]
_FOLDERS = "Learn from the folder train (or training), and hold out test, val and the like."
SplitFolders: TypeAlias = Annotated[bool, option(None, "off", _FOLDERS)]
_ARITHMETIC = """Precision of the network's arithmetic; weights stay in float32. The default is bfloat16 on CUDA
GPUs that compute it, tf32 (float32 with TF32 products) on others, and float32 on CPUs and MPS."""
Precision: TypeAlias = Annotated[
    Literal["float32", "tf32", "bfloat16"] | None,
    option(None, "what suits the device", " ".join(_ARITHMETIC.split())),
]

# Of sampling.
_STEPS = "Steps from noise to picture. More is finer and slower; 10 to 50 is usual."
Steps: TypeAlias = Annotated[int | None, option("N", _OWN, _STEPS)]
RunNumber: TypeAlias = Annotated[float | None, option("X", _OWN)]
RunInterval: TypeAlias = Annotated[tuple[float, float] | None, option("LOW HIGH", _OWN)]
Sampler: TypeAlias = Annotated[sampler_names.SamplerName | None, option(None, _OWN)]
Spacing: TypeAlias = Annotated[sampler_names.Spacing | None, option(None, _OWN)]
_VARIANCE = "Variance of the noise that --sampler ancestral adds. learned needs a network that predicts it."
Variance: TypeAlias = Annotated[sampler_names.Variance | None, option(None, _OWN, _VARIANCE)]
_CLIP = """Keep predicted pictures in the range of pixels in every step: static cuts off, dynamic scales down,
images cuts off and leaves the predicted noises."""
Clip: TypeAlias = Annotated[sampler_names.Clip | None, option(None, _OWN, " ".join(_CLIP.split()))]
_FEATURES = """Network whose features are compared: lite0 (works offline), learned (trained on your pictures),
inception (of published FID and KID), dinov2, or a TorchScript or ONNX file. auto is lite0."""
Extractor: TypeAlias = Annotated[str | None, option("NAME|FILE", "auto", " ".join(_FEATURES.split()))]
_AUTOGUIDANCE = """Scale of guidance away from a weaker version of the run, with or without classes. Above 1
it can improve pictures, and takes twice as long; try 1.5. --guidance-interval and --guidance-rescale apply to
it too."""
AutoguidanceScale: TypeAlias = Annotated[float | None, option("SCALE", "none", " ".join(_AUTOGUIDANCE.split()))]
_WEAK = """The weaker version for --autoguidance: a step whose average the run stored, or the folder of a
smaller run on the same pictures."""
Weak: TypeAlias = Annotated[
    str | None, option("STEP|RUN", "about a quarter of the training", " ".join(_WEAK.split()))
]
_BEST = "Use the weights whose samples scored best during training, instead of the last ones."
Best: TypeAlias = Annotated[bool, option(None, "off", _BEST)]

# Of editing.
_GIVEN = "Pictures, or .npy or .npz arrays, cut and scaled as the run's own were."
Images: TypeAlias = Annotated[tuple[Path, ...], Positional, option("[IMAGE ...]", "", _GIVEN)]
_HELD_OUT = "Instead of images: this many of the run's own pictures that it was not trained on."
HeldOut: TypeAlias = Annotated[int, option("N", "", _HELD_OUT)]
InversionSteps: TypeAlias = Annotated[int | None, option("N", "50")]
_JUMPS = "How many steps are taken together before they are repeated."
JumpLength: TypeAlias = Annotated[int | None, option("N", "5", _JUMPS)]
_LABEL = "Class of the pictures, for a run that was trained with --labels."
Label: TypeAlias = Annotated[str | None, option("CLASS", "none", _LABEL)]
_SAVE = 'Also save the results alone: an .npz (the array "images", uint8, N x H x W x C), or a folder of PNGs.'
SavePath: TypeAlias = Annotated[Path | None, option("PATH", "only the sheet is written", _SAVE)]


def sheet_option(name: str) -> Any:  # noqa: ANN401
    """The option of where a sheet of pictures goes."""
    return option("PNG", f"RUN/{name}", "Where the sheet goes, a .png.")


def parse_arguments(command: Callable[..., None], name: str, arguments: Sequence[str]) -> Callable[[], None]:
    """Binds the arguments to the command without calling it; `--help` prints its help and exits with 0.

    Raises:
        UnnoiseError: when the arguments don't fit, in one sentence.
    """
    # One line for each option: tyro would keep a line break before a word such as --out.
    inspect.unwrap(command).__doc__ = re.sub(r"\n {8,}", " ", _docstring(inspect.unwrap(command)))
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


def _docstring(command: Callable[..., None]) -> str:
    """The docstring, with the explanations of the function that the command takes its options from."""
    text, function = _own_docstring(command), getattr(command, "explained_by", None)
    if function is None:
        return text
    explained = _own_docstring(function).partition("\nArgs:\n")[2].partition("\n\n")[0]
    head = text if "\nArgs:\n" in text else f"{text}\n\nArgs:"
    return f"{head}\n{explained}"


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


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`32` -> (32, 32); `24x40` -> (24, 40), height first; None -> None.

    Raises:
        UnnoiseError: for anything else, or less than one pixel.
    """
    if text is None:
        return None
    found = re.fullmatch(r"\s*(\d+)(?:\s*[xX×]\s*(\d+))?\s*", text)
    if not found:
        raise UnnoiseError(f"A size is written H or HxW in pixels, such as 32 or 24x40, but got {text!r}.")
    height, width = int(found[1]), int(found[2] or found[1])
    require(min(height, width) >= 1, f"A size is at least 1 pixel each way, but got {text!r}: try 32.")
    return height, width


def parse_noise_shift(text: str | None) -> float | Literal["size"] | None:
    """`2` -> 2.0; `size` -> the same word; None -> None.

    Raises:
        UnnoiseError: for anything else.
    """
    if text == "size":
        return "size"
    try:
        return None if text is None else float(text)
    except ValueError:
        raise UnnoiseError(f"--noise-shift is a number, or size, but got {text!r}: try size.") from None


def parse_range(words: tuple[str, ...]) -> "RangeChoice":
    """`0 4095` -> the range from 0 to 4095; `percentiles` -> the same word; nothing -> None.

    Raises:
        UnnoiseError: for anything else.
    """
    if not words:
        return None
    from unnoise.data.decoding.value_range import parse_range

    return parse_range(words)


def parse_colour(text: str | None) -> tuple[int, int, int] | None:
    """`white`, `#8899aa` or any other name that CSS knows -> (red, green, blue), 0 to 255; None -> None.

    Raises:
        UnnoiseError: for a name that is no colour.
    """
    if text is None:
        return None
    from PIL import ImageColor

    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        raise UnnoiseError(f"A colour is a name or #rrggbb, but got {text!r}: try white or #808080.") from None
    return red, green, blue
