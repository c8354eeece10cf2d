"""Tasks that write files for others: the report page, and exports."""

import shutil
from typing import Any

from unnoise import api
from unnoise.app.errors import RequestError
from unnoise.app.worker.drawing import open_run
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace


def report(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """The page about a run."""
    task.progress(0.1, "Writing the page")
    api.report(open_run(task, workspace), out=task.add("report.html"))
    return {}


def export(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """A run for other programs, as one file."""
    run, to = open_run(task, workspace), str(task.needed("to"))
    if to == "onnx":
        api.export(run, task.add("model.onnx"), to=to, progress=task.progress)
    elif to == "web":
        api.export(run, task.add("page.html"), to=to, single_file=True, progress=task.progress)
    elif to == "diffusers":
        folder = task.path / "pipeline"
        shutil.rmtree(folder, ignore_errors=True)  # of a worker that was killed
        api.export(run, folder, to=to, progress=task.progress)
        shutil.make_archive(str(task.path / "pipeline"), "zip", folder)
        shutil.rmtree(folder)
        task.files.append("pipeline.zip")
    else:
        targets = ", ".join(api.TARGETS)
        raise RequestError(f"There is nothing to export to called {to[:20]!r}: choose from {targets}.")
    return {"file": task.files[-1]}
