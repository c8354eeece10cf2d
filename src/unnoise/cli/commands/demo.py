"""`unnoise demo`: two minutes from nothing to drawn digits."""

from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.cli.console import result, say
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.diffusion.tensors import Trajectory

_MARKER = "Made by `unnoise demo`; the next demo replaces it.\n"


def demo(out: Path = Path("demo"), minutes: float = 2.3, seed: int = 0, device: str = "auto") -> None:
    """Learns to draw digits from 1,797 handwritten ones, and shows how.

    Leaves a contact sheet, an animation of the reverse process, and one of digits that turn into one another.

    Args:
        out: The folder for all of it; an earlier demo there is replaced.
        minutes: How long to train.
        seed: Of the training.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.cli.commands.generate import Drawing, save_images, save_reverse_process
    from unnoise.cli.commands.morph import save_morph
    from unnoise.cli.commands.train import run_training
    from unnoise.cli.stopping import Stop
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.config import Budget
    from unnoise.runs.plan import Wishes
    from unnoise.training.loop import choose_device
    from unnoise.utils.files import atomic_write

    path, marker = out / "run", out / "README.txt"
    if (path / "config.json").exists():
        require(marker.exists(), f"{path} holds a run that no demo made, so it stays: name another --out.")
        Run.open(path).remove()
    with atomic_write(marker) as file:
        file.write_text(_MARKER)
    # At twice their 8 x 8 pixels the same digits are far easier to read, and patches cost nothing more.
    wishes = Wishes(size=(16, 16), seed=seed, budget=Budget(unit="minutes", amount=minutes))
    run = None
    with Stop(patient=False) as stop:
        run = run_training("digits", path, wishes, stop, device=device)
    if run is None or not run.states():  # it was stopped before there was anything to show
        return
    sampling = run.config.recipe.sampling
    drawing = Drawing(run.load(choose_device(device)), run.config, sampling)
    say("Drawing ...")
    sheet, steps_shown = out / "digits.png", out / "reverse.png"
    reverse, loop = out / "reverse.gif", out / "morph.gif"
    save_images(drawing, range(100), sheet)
    _save_strip(drawing.trajectory(range(6)), steps_shown)
    save_reverse_process(drawing, range(16), reverse)
    save_morph(drawing, tuple(range(6)), 90, loop)
    result("contact sheet", sheet)
    result("reverse process", steps_shown)
    result("reverse process, moving", reverse)
    result("morph", loop)


def _save_strip(shown: "Trajectory", path: Path) -> None:
    """The reverse process of a few pictures, noise at the left, under the time of each step."""
    from unnoise import pictures

    num_steps = len(shown) - 1
    labels = [f"t = {1 - step / num_steps:.2f}" for step in range(num_steps)]
    pictures.save_png(pictures.strip(shown, [*labels, "result"]), path)
