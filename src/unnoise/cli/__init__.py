"""The command line parses, calls and prints; it decides nothing, and imports PyTorch only to work."""

import importlib
import sys
import warnings
from collections.abc import Sequence

from unnoise import __version__
from unnoise.cli.console import complain, note
from unnoise.cli.parsing import parse
from unnoise.utils.errors import UnnoiseError

HELP = """\
Train diffusion models from scratch on your own images: watch noise turn into pictures.

  unnoise demo                              learns to draw digits, in two minutes
  unnoise train PICTURES --minutes 30       learns from your pictures; leaves a run
  unnoise generate RUN --out grid.png       draws new ones: .png, .gif, .mp4, .npz or a folder
  unnoise morph RUN --seeds 1 2 3           turns one picture into the next
  unnoise evaluate RUN                      measures how good it is, and whether it copies
  unnoise report RUN                        all about a run, on one page
  unnoise compare RUN RUN                   runs side by side: the same seeds, curves, a table
  unnoise solve RUN                         finds the sampler that needs the fewest steps
  unnoise ema RUN --sigma-rel 0.10          chooses the length of the averaging after training
  unnoise info RUN_OR_PICTURES              tells what a run or a pile of pictures holds
  unnoise presets                           lists the recipes, what they cost, and which one suits here

With real pictures (or --held-out 4, to try it at once):

  unnoise generate RUN --from IMAGE         redraws a picture, as freely as --strength says
  unnoise morph RUN --images A.png B.png    turns one picture into another
  unnoise invert RUN IMAGE                  finds the noises that a picture comes from
  unnoise vary RUN IMAGE --amount 0.3       draws pictures like it
  unnoise inpaint RUN IMAGE --mask MASK     draws a part of it anew
  unnoise outpaint RUN IMAGE --size 64x96   draws what lies around it
  unnoise restore RUN IMAGE --task upscale  makes it larger, coloured or sharp

PICTURES is a folder of images, a .zip, a .npy or .npz array, an IDX file, or one of the names
digits and fashion-mnist. RUN is the folder that training leaves.

  unnoise COMMAND --help                    every option of a command
  unnoise --version                         which unnoise this is
"""

COMMANDS = (
    *("demo", "train", "generate", "morph", "evaluate", "solve", "report", "compare", "ema", "info", "presets"),
    *("invert", "vary", "inpaint", "outpaint", "restore"),
)


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code: 0, or 2 after one sentence that says what to mend."""
    warnings.showwarning = note  # type: ignore[assignment]
    try:
        _dispatch(list(arguments))
    except UnnoiseError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        return complain("Stopped.", code=130)
    except OSError as error:
        return complain(f"{error.filename or 'The operating system'}: {error.strerror or error}.")
    except (RuntimeError, MemoryError) as error:
        if not _out_of_memory(error):
            raise
        return complain("There is not enough memory for this: lower --batch-size, --size or --num-images.")
    return 0


def _dispatch(arguments: list[str]) -> None:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        sys.stdout.write(HELP)
        return
    name, *rest = arguments
    if name in ("--version", "-V"):
        sys.stdout.write(f"unnoise {__version__}\n")
        return
    if name not in COMMANDS:
        raise UnnoiseError(
            f"unnoise has the commands {', '.join(COMMANDS)}, but got {name!r}: try unnoise --help."
        )
    command = getattr(importlib.import_module(f"unnoise.cli.commands.{name}"), name)
    parse(command, f"unnoise {name}", rest)()


def _out_of_memory(error: BaseException) -> bool:
    # By name, since naming PyTorch's class would import PyTorch.
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in str(error)
    )
