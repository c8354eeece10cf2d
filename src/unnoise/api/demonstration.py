"""Demonstration: digits learned in minutes, with a sheet, the reverse process and a morph."""

from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.reporting import Progress, reporting, tell, tell_result
from unnoise.api.train_run import train
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.diffusion.tensors import Trajectory

_MARKER = "Made by `unnoise demo`; the next demo replaces it.\n"


def demo(
    *,
    out: str | Path = "demo",
    minutes: float = 2.3,
    seed: int = 0,
    device: str = "auto",
    progress: Progress | None = None,
) -> "OpenRun":
    """Trains on 1,797 handwritten digits, and draws new ones: about three minutes in all.

    Args:
        out: Folder for all of it. An earlier demo there is replaced.
        minutes: How long to train, in minutes.
        seed: Seed of the training; another one gives another model.
        device: auto, cpu, cuda, cuda:1 or mps. auto uses a GPU if there is one.
        progress: called with the fraction that is done, and what is being done.

    Raises:
        UnnoiseError: for a folder with a run that no demo made.
    """
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.lock import lock_run
    from unnoise.utils.files import atomic_write

    folder = Path(out)
    path, marker = folder / "run", folder / "README.txt"
    if (path / "config.json").exists():
        require(marker.exists(), f"{path} holds a run that no demo made, and stays: choose another --out.")
        with lock_run(path):  # another demo may still train it
            Run.open(path).remove()
    with atomic_write(marker) as file:
        file.write_text(_MARKER)
    with reporting(progress):
        # At twice their 8 x 8 pixels the same digits are far easier to read, and patches cost nothing more.
        run = train("digits", out=path, size=16, minutes=minutes, seed=seed, device=device)
        if run.folder.states():  # else it was stopped before there was anything to show
            _draw(run, folder)
    return run


def _draw(run: "OpenRun", out: Path) -> None:
    tell("Drawing digits.")
    sheet, strip, reverse, morph = (
        out / name for name in ("digits.png", "reverse.png", "reverse.gif", "morph.gif")
    )
    run.generate(100, lazy=True).save(sheet)
    _save_strip(run.generate(6, lazy=True).trajectory(), strip)
    run.reverse(16).save(reverse)
    run.morph(tuple(range(6)), frames=90).save(morph)
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
