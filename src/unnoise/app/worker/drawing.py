"""Tasks that draw: pictures of seeds, their reverse process, and morphs."""

from typing import TYPE_CHECKING, Any

from unnoise import api
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace

if TYPE_CHECKING:
    from unnoise.api import OpenRun

_SAMPLING = {"seed": "seed", "steps": "num_steps", "sampler": "sampler", "guidance": "guidance", "best": "best"}
"""Words of a task, and what `generate` calls them."""
NUMBER = 16


def open_run(task: TaskFolder, workspace: Workspace) -> "OpenRun":
    """The run of a task, which is open already if it was used last."""
    return task.runs.open(workspace, str(task.needed("run")))


def sampling_words(task: TaskFolder) -> dict[str, Any]:
    """The words of `generate` among those of a task."""
    words = {name: task.word(word) for word, name in _SAMPLING.items() if task.word(word) is not None}
    if task.word("label"):
        words["labels"] = [task.word("label")]
    return words


def draw(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """Pictures of seeds, one file each, and a sheet."""
    words = sampling_words(task)
    drawing = api.generate(
        open_run(task, workspace), task.word("number", NUMBER), **words, progress=task.progress
    )
    names = list(drawing.names)
    task.save_pictures(drawing.tensor, names)
    drawing.save(task.add("sheet.png"))
    return {"seeds": list(drawing.seeds), "names": names}


def reverse(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """The reverse process of one seed: noisy picture, predicted picture and predicted noise of each step."""
    words = sampling_words(task)
    steps = api.reverse_steps(open_run(task, workspace), 1, **words, progress=task.progress)
    for kind, pictures in (("noisy", steps.noisy), ("image", steps.images), ("noise", steps.noises)):
        task.save_pictures(pictures[:, 0], [f"{kind}-{step:03d}" for step in range(len(pictures))])
    rates = {"noise_rates": steps.noise_rates, "signal_rates": steps.signal_rates}
    return {"steps": len(steps.noisy), **rates}


def morph(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A morph through seeds, one file for each frame."""
    made = api.morph(
        open_run(task, workspace),
        task.needed("seeds"),
        frames=task.word("frames", 24),
        num_steps=task.word("steps"),
        label=task.word("label"),
        progress=task.progress,
    )
    names = [f"frame-{place:03d}" for place in range(len(made.tensor))]
    task.save_pictures(made.tensor, names)
    return {"frames": len(names)}
