"""Routes of files: sheets of samples, what tasks wrote, reports; each by ids alone."""

from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from unnoise.app.errors import NotFoundError
from unnoise.app.requests import workspace_of
from unnoise.app.security import SANDBOX
from unnoise.app.tasks import request_of, task_file, task_folder
from unnoise.app.thumbnails import thumbnail

_FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}


async def sheet(request: Request) -> Response:
    """A sheet of samples, or its thumbnail."""
    workspace, words = workspace_of(request), request.path_params

    def find() -> Path:
        folder = workspace.find_run(words["id"], trash=words["place"] == "trash")
        path = folder / "samples" / f"{words['step']:010d}.png"
        if len(path.stem) > 10 or not path.is_file():
            raise NotFoundError("The run has no sheet of this step: it may have gone back to an earlier one.")
        return thumbnail(workspace, path) if request.query_params.get("small") else path

    return FileResponse(await run_in_threadpool(find), media_type="image/png", headers=_FOREVER)


async def of_task(request: Request) -> Response:
    """A file that a task wrote; with ?download its name is that of what was drawn."""
    workspace, words = workspace_of(request), request.path_params
    path = await run_in_threadpool(task_file, workspace, words["id"], words["name"])
    headers = dict(_FOREVER)
    if path.suffix == ".html":
        headers |= SANDBOX
    asked = request_of(task_folder(workspace, words["id"]))
    name = f"{asked.get('run') or asked['kind']}-{path.name}" if "download" in request.query_params else None
    return FileResponse(path, headers=headers, filename=name)


ROUTES = [
    Route("/files/{place:str}/{id:str}/sheet/{step:int}", sheet),
    Route("/files/tasks/{id:str}/{name:str}", of_task),
]
