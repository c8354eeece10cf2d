"""`unnoise demo`: train on handwritten digits and draw new ones."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from unnoise.api.reporting import tell, tell_result
from unnoise.cli import arguments as cli
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.diffusion.tensors import Trajectory
    from unnoise.runs.checkpoint import Run

_MARKER = "Made by `unnoise demo`; the next demo replaces it.\n"


def demo(
    out: Annotated[Path, arg(metavar="DIR")] = Path("demo"),
    minutes: cli.Minutes = 2.3,
    seed: cli.Integer = 0,
    device: cli.Device = "auto",
) -> None:
    """Train on 1,797 handwritten digits, and draw new ones: about three minutes in all.

    Writes a sheet of digits, an animation of noise turning into digits, and one of digits that turn into one
    another.

      unnoise demo

    Args:
        out: Folder for all of it. An earlier demo there is replaced.
        minutes: How long to train, in minutes.
        seed: Seed of the training; another one gives another model.
    """
    from unnoise.api.stopping import StopSignals
    from unnoise.api.training import Invocation, run_training
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import Budget
    from unnoise.runs.lock import lock_run
    from unnoise.runs.plan import TrainOptions
    from unnoise.utils.files import atomic_write

    path, marker = out / "run", out / "README.txt"
    if (path / "config.json").exists():
        require(marker.exists(), f"{path} holds a run that no demo made, and stays: choose another --out.")
        with lock_run(path):  # another demo may still train it
            Run.open(path).remove()
    with atomic_write(marker) as file:
        file.write_text(_MARKER)
    # At twice their 8 x 8 pixels the same digits are far easier to read, and patches cost nothing more.
    options = TrainOptions(size=(16, 16), seed=seed, budget=Budget(unit="minutes", amount=minutes))
    run = None
    with StopSignals(graceful=False) as stop:
        run = run_training("digits", path, options, stop, Invocation(device))
    if run is not None and run.states():  # else it was stopped before there was anything to show
        _draw(run, device, out)


def _draw(run: "Run", device: str, out: Path) -> None:
    from unnoise.api.generation import SeededGenerator, save_images, save_morph, save_reverse_process
    from unnoise.trainer.loop import choose_device

    sampling = run.config.recipe.sampling
    generator = SeededGenerator(run.load(choose_device(device)), run.config, sampling)
    tell("Drawing digits.")
    sheet, strip = out / "digits.png", out / "reverse.png"
    reverse, morph = out / "reverse.gif", out / "morph.gif"
    save_images(generator, range(100), sheet)
    _save_strip(generator.trajectory(range(6)), strip)
    save_reverse_process(generator, range(16), reverse)
    save_morph(generator, tuple(range(6)), 90, morph)
    tell_result("contact sheet", sheet)
    tell_result("reverse process", strip)
    tell_result("reverse process, moving", reverse)
    tell_result("morph", morph)


def _save_strip(trajectory: "Trajectory", path: Path) -> None:
    """Writes the reverse process of a few pictures, noise at the left, under the time of each step."""
    from unnoise import pictures

    num_steps = len(trajectory) - 1
    labels = [f"t = {1 - step / num_steps:.2f}" for step in range(num_steps)]
    pictures.save_png(pictures.strip(trajectory, [*labels, "result"]), path)
