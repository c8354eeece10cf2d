"""The command line: finds the command, parses its options, calls it, and prints errors as one sentence.

PyTorch is imported only by a command that works, so that `unnoise --help` answers at once.
"""

import importlib
import keyword
import sys
import warnings
from collections.abc import Callable, Sequence

from unnoise import UnnoiseError, __version__
from unnoise.api.amounts import ran_out_of_memory
from unnoise.api.reporting import reporting
from unnoise.api.terminal import TerminalReporter, prepare_terminal, print_error, print_warning
from unnoise.cli.streams import ReaderGone, guarded_output

HELP = """\
Train diffusion models from scratch on your own pictures, and draw new ones.

  unnoise demo                             learns to draw digits in three minutes
  unnoise app                              opens all of this in the browser
  unnoise train PICTURES --minutes 30      trains on your pictures; writes a run
  unnoise generate RUN --out grid.png      draws: .png, .gif, .mp4, .npz, a folder
  unnoise morph RUN --seeds 1 2 3          turns one picture into the next
  unnoise evaluate RUN                     measures quality, and finds copies
  unnoise report RUN                       writes a page about a run
  unnoise compare RUN RUN                  compares runs, on a page and in a table
  unnoise solve RUN                        finds the sampler with the fewest steps
  unnoise distill RUN --minutes 10         makes a run that draws in two steps
  unnoise ema RUN --sigma-rel 0.10         chooses the length of weight averaging
  unnoise info PICTURES                    examines pictures before training
  unnoise info RUN                         shows what a run holds
  unnoise export RUN --to onnx --out FILE  writes the network for other programs
  unnoise import FOLDER --out RUN          makes a run of diffusers' pipeline
  unnoise push RUN OWNER/NAME              uploads a run to the Hugging Face Hub
  unnoise presets                          lists recipes with cost and quality

With your own pictures (or --held-out 4, to try it at once):

  unnoise generate RUN --from IMAGE        draws new versions of a picture
  unnoise morph RUN --images A.png B.png   turns one picture into another
  unnoise vary RUN IMAGE --amount 0.3      draws pictures like it
  unnoise inpaint RUN IMAGE --mask MASK    draws a part of it anew
  unnoise outpaint RUN IMAGE --size 64x96  draws what lies around it
  unnoise restore RUN IMAGE --task upscale enlarges, colours or sharpens it
  unnoise invert RUN IMAGE                 finds the noises that it comes from

PICTURES is a folder of pictures, a .zip, a .npy or .npz array, an IDX file, or
one of the names digits and fashion-mnist. RUN is the folder that train writes.

  unnoise COMMAND --help                   explains a command and its options
  unnoise --version                        prints the version
"""

COMMANDS = (
    *(
        "demo",
        "app",
        "train",
        "generate",
        "morph",
        "evaluate",
        "solve",
        "report",
        "compare",
        "distill",
        "ema",
        "info",
        "presets",
    ),
    *("invert", "vary", "inpaint", "outpaint", "restore", "export", "import", "push"),
)


_BROKEN_PIPE = 128 + 13
"""What a shell reports of a program that SIGPIPE ended, as it ends others."""


def run(arguments: Sequence[str]) -> int:
    """Runs one command; returns the exit code: 0, or 2 after an error, printed as one sentence."""
    warnings.showwarning = print_warning  # type: ignore[assignment]
    prepare_terminal()
    with guarded_output(), reporting(TerminalReporter()):
        return _run(arguments)


def _run(arguments: Sequence[str]) -> int:
    try:
        _dispatch(list(arguments))
        sys.stdout.flush()
    except UnnoiseError as error:
        return print_error(str(error))
    except KeyboardInterrupt:
        return print_error("Stopped.", code=130)
    except (BrokenPipeError, ReaderGone):
        return _BROKEN_PIPE
    except OSError as error:
        where = f"Cannot use {error.filename}" if error.filename else "The operating system reports an error"
        return print_error(f"{where}: {error.strerror or error}.")
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, MemoryError) or ran_out_of_memory(error)):
            raise
        return print_error(
            "Out of memory: lower --batch-size, --size or --num-images, or choose another --device."
        )
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
            f"There is no command {name!r}: try unnoise --help. The commands are {', '.join(COMMANDS)}."
        )
    from unnoise.cli.arguments import parse_arguments  # here, since it imports tyro

    parse_arguments(command_function(name), f"unnoise {name}", rest)()


def command_function(name: str) -> Callable[..., None]:
    """The function of a command. That of `import`, a word of Python, is called `import_`."""
    name = f"{name}_" if keyword.iskeyword(name) else name
    command: Callable[..., None] = getattr(importlib.import_module(f"unnoise.cli.commands.{name}"), name)
    return command
