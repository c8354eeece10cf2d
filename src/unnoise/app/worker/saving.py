"""The task that saves what another one drew, as PNG, GIF, MP4 or npz.

Pictures are read from the files that were shown, so that what is saved is what was seen, even if the run has
learned on since. Only the reverse process of drawn pictures is computed again.
"""

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise import api
from unnoise.app.errors import NotFoundError, RequestError
from unnoise.app.worker.drawing import open_run, sampling_words
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace
from unnoise.utils.errors import require
from unnoise.utils.files import atomic_write

if TYPE_CHECKING:
    from unnoise.diffusion.tensors import Images, Trajectory

_FORMATS = ("png", "gif", "mp4", "npz")
_KINDS = ("noisy", "image", "noise")
_MORPH_HOLD, _REVERSE_HOLD = 0.05, 1.5
"""Seconds for which the last frame is shown."""
_ALIKE = 2.5 / 255
"""By how much pictures that are drawn again may differ from the files of the first time."""


def save(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A download of what another task drew."""
    source = TaskFolder(task.path.parent / Path(str(task.needed("task"))).name, task.runs)
    kind, suffix = source.word("kind"), str(task.word("format", "png"))
    if suffix not in _FORMATS:
        raise RequestError(f"Pictures are saved as {', '.join(_FORMATS)}, but {suffix[:20]!r} was asked for.")
    if source.state.get("state") != "done":
        raise NotFoundError("What is to be saved is not drawn yet, or not kept any more: draw it again.")
    path = task.path / f"download.{suffix}"
    if kind == "draw":
        _save_drawn(source, path, task, workspace)
    elif kind == "morph":
        _save_morph(_read(source, "frame"), path)
    elif kind == "reverse":
        _save_reverse(source, path)
    elif suffix == "png" and (source.path / "sheet.png").is_file():
        _copy_sheet(source, path)
    else:
        raise RequestError(f"The task {kind} is saved as png only, but {suffix} was asked for.")
    task.add(path.name)
    return {}


def _copy_sheet(source: TaskFolder, path: Path) -> None:
    with atomic_write(path) as file:
        shutil.copyfile(source.path / "sheet.png", file)


def _save_drawn(source: TaskFolder, path: Path, task: TaskFolder, workspace: Workspace) -> None:
    names = [str(name) for name in source.state["result"]["names"]]
    shown = _pictures([source.path / f"{name}.png" for name in names])
    if path.suffix == ".png":
        _copy_sheet(source, path)
    elif path.suffix == ".npz":
        api.Drawing(shown, names).save(path)
    else:
        _animate(_drawn_again(source, shown, task, workspace), path, _REVERSE_HOLD)


def _drawn_again(source: TaskFolder, shown: "Images", task: TaskFolder, workspace: Workspace) -> "Trajectory":
    """The reverse process of drawn pictures: noise first, and the pictures last.

    Raises:
        UnnoiseError: where the run has learned on since, and draws them otherwise.
    """
    from unnoise.api.reporting import reporting

    with reporting(task.progress):
        words = sampling_words(source)
        steps = api.generate(open_run(source, workspace), len(shown), lazy=True, **words).trajectory()
    require(
        float((steps[-1] - shown).abs().max()) <= _ALIKE,
        "The run has learned on since these were drawn, and draws them otherwise now: draw them again first.",
    )
    return steps


def _save_morph(frames: "Images", path: Path) -> None:
    if path.suffix in api.ANIMATIONS:
        _animate(frames.unsqueeze(1), path, _MORPH_HOLD)
    else:
        api.Drawing(frames, []).save(path)


def _save_reverse(source: TaskFolder, path: Path) -> None:
    """All steps as a sheet or arrays, or noise that turns into the picture."""
    import numpy as np
    import torch

    kinds = {kind: _read(source, kind) for kind in _KINDS}
    if path.suffix == ".png":
        api.Drawing(kinds["image"], [], kinds).save(path)
    elif path.suffix in api.ANIMATIONS:
        _animate(torch.cat([kinds["noisy"], kinds["image"][-1:]]).unsqueeze(1), path, _REVERSE_HOLD)
    else:
        arrays = {kind: api.Drawing(images, []).numpy() for kind, images in kinds.items()}
        for name in ("noise_rates", "signal_rates"):
            arrays[name] = np.asarray(source.state["result"][name])
        with atomic_write(path) as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _animate(steps: "Trajectory", path: Path, hold_last: float) -> None:
    from unnoise import pictures

    api.Animation(pictures.frames(steps), hold_last).save(path)


def _read(source: TaskFolder, kind: str) -> "Images":
    """The files of a kind that a task wrote, in order."""
    return _pictures([source.path / name for name in source.state["files"] if name.startswith(f"{kind}-")])


def _pictures(paths: list[Path]) -> "Images":
    """Pictures of one size as they were written, in [0, 1], (N, C, H, W)."""
    import numpy as np
    import torch
    from PIL import Image

    if not paths or not all(path.is_file() for path in paths):
        raise NotFoundError("The pictures are not kept any more: draw them again.")
    arrays = []
    for path in paths:
        with Image.open(path, formats=["PNG"]) as opened:
            pixels = np.asarray(opened)
        arrays.append(pixels[..., None] if pixels.ndim == 2 else pixels)
    return torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2).float() / 255
