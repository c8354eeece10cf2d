"""Tasks that draw: pictures of seeds, their reverse process, morphs, and downloads of them."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise import api
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.api import OpenRun

_SAMPLING = ("seed", "sampler", "guidance", "best")


def open_run(task: TaskFolder, workspace: Workspace) -> "OpenRun":
    """The run of a task."""
    return api.open_run(workspace.runs / task.request["run"])


def sampling_words(request: dict[str, Any]) -> dict[str, Any]:
    """The words of `generate` among those of a task."""
    words = {name: request[name] for name in _SAMPLING if request.get(name) not in (None, "")}
    if request.get("steps"):
        words["num_steps"] = request["steps"]
    if request.get("label"):
        words["labels"] = [request["label"]]
    return words


def draw(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """Pictures of seeds, one file each, and a sheet."""
    number = task.request.get("number", 16)
    words = sampling_words(task.request)
    drawing = api.generate(open_run(task, workspace), number, **words, progress=task.progress)
    names = list(drawing.names)
    task.save_pictures(drawing.tensor, names)
    drawing.save(task.add("sheet.png"))
    return {"seeds": list(drawing.seeds), "names": names}


def reverse(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """The reverse process of one seed: noisy picture, predicted picture and predicted noise of each step."""
    words = sampling_words(task.request)
    steps = api.reverse_steps(open_run(task, workspace), 1, **words, progress=task.progress)
    for kind, pictures in (("noisy", steps.noisy), ("image", steps.images), ("noise", steps.noises)):
        task.save_pictures(pictures[:, 0], [f"{kind}-{step:03d}" for step in range(len(pictures))])
    rates = {"noise_rates": steps.noise_rates, "signal_rates": steps.signal_rates}
    return {"steps": len(steps.noisy), **rates}


def morph(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A morph through seeds, one file for each frame."""
    made = _morph(task, workspace, task.request)
    names = [f"frame-{place:03d}" for place in range(len(made.tensor))]
    task.save_pictures(made.tensor, names)
    return {"frames": len(names)}


def _morph(task: TaskFolder, workspace: Workspace, request: dict[str, Any]) -> Any:  # noqa: ANN401
    run = api.open_run(workspace.runs / request["run"])
    return api.morph(
        run,
        request["seeds"],
        frames=request.get("frames", 24),
        num_steps=request.get("steps"),
        label=request.get("label") or None,
        progress=task.progress,
    )


def save(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A download of what another task drew: drawn again from the same seeds, which gives the same pictures."""
    request = json.loads((_folder(task) / "request.json").read_text(encoding="utf-8"))
    kind = str(task.request.get("format", "png"))
    path = task.add(f"download.{kind}")
    if request["kind"] == "morph":
        _save_morph(_morph(task, workspace, request), path)
    elif request["kind"] in {"draw", "reverse"}:
        number = request.get("number", 16) if request["kind"] == "draw" else 1
        run = api.open_run(workspace.runs / request["run"])
        words = sampling_words(request)
        api.generate(run, number, lazy=True, **words, progress=task.progress).save(path)
    elif kind == "png":
        path.write_bytes((_folder(task) / "sheet.png").read_bytes())
    else:
        raise UnnoiseError(f"What was edited is saved as png only, but {kind} was asked for.")
    return {}


def _save_morph(made: Any, path: Path) -> None:  # noqa: ANN401
    """A morph as an animation, or its frames as one sheet or array."""
    if path.suffix in api.ANIMATIONS:
        made.save(path)
    else:
        names = [f"{place:06d}" for place in range(len(made.tensor))]
        api.Drawing(made.tensor, names).save(path)


def _folder(task: TaskFolder) -> Path:
    """The folder of the task that another one names."""
    return task.path.parent / Path(str(task.request.get("task"))).name
