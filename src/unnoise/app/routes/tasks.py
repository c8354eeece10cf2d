"""Routes of tasks: to ask for one, to wait for it, to end it."""

import asyncio
import time
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from unnoise.app import tasks
from unnoise.app.bodies import json_words
from unnoise.app.errors import RequestError
from unnoise.app.pictures import resolve_set
from unnoise.app.requests import (
    Check,
    checked,
    list_of,
    number,
    one_of,
    size_text,
    text,
    whole,
    workspace_of,
    yes_or_no,
)
from unnoise.app.routes.runs import find
from unnoise.app.uploads import find_picture
from unnoise.app.workspace import Workspace

_LONGEST_WAIT = 20.0
_POLL = 0.03
"""Seconds between two looks at the state of a task."""
_SEEDS = 2**53
_SIDE = 1024


def _picture(_: str, value: object) -> object:
    """A picture to start from: the id of an upload, a held-out one, or one that a task drew."""
    if isinstance(value, str):
        return {"upload": text(300)("picture", value)}
    if isinstance(value, dict) and set(value) == {"held_out"}:
        return {"held_out": whole(0, 10**9)("held_out", value["held_out"])}
    if isinstance(value, dict) and set(value) == {"task", "name"}:
        return {"task": text(16)("task", value["task"]), "name": text(60)("name", value["name"])}
    raise RequestError("picture is the id of an upload, a held-out picture, or one that was drawn.")


_DRAWING: dict[str, Check] = {
    "seed": whole(0, _SEEDS),
    "steps": whole(1, 1000),
    "sampler": text(40),
    "label": text(200),
    "guidance": number(-20, 100),
    "best": yes_or_no,
}
_EDITING: dict[str, Check] = {"picture": _picture, "seed": whole(0, _SEEDS), "label": text(200)}
_WORDS: dict[str, dict[str, Check]] = {
    "checkup": {"pictures": text(4000), "size": size_text, "minutes": number(0.01, 10**6)},
    "draw": {**_DRAWING, "number": whole(1, 256)},
    "reverse": _DRAWING,
    "save": {"task": text(16), "format": one_of("png", "gif", "mp4", "npz")},
    "morph": {
        "seeds": list_of(whole(0, _SEEDS), 2, 12),
        "frames": whole(2, 240),
        "label": text(200),
        "steps": whole(1, 1000),
    },
    "redraw": {**_EDITING, "strength": number(0, 1), "versions": whole(1, 16)},
    "vary": {**_EDITING, "amount": number(0, 1), "number": whole(1, 16)},
    "inpaint": {**_EDITING, "mask": text(2**21)},
    "outpaint": {**_EDITING, "height": whole(1, _SIDE), "width": whole(1, _SIDE)},
    "restore": {**_EDITING, "task": text(40), "factor": whole(2, 64), "spoil": yes_or_no},
    "forward": {**_EDITING, "time": number(0, 1)},
    "schedules": {
        "schedule": text(40),
        "min_signal_rate": number(0, 1),
        "max_signal_rate": number(0, 1),
    },
    "report": {},
    "export": {"to": one_of("web", "onnx", "diffusers")},
}


async def begin(request: Request) -> JSONResponse:
    """Asks for a task."""
    words, workspace = await json_words(request), workspace_of(request)
    kind, id_ = str(words.pop("kind", "")), words.pop("run", None)
    if kind not in _WORDS:
        raise RequestError(f"There is no task {kind[:40]!r}: choose from {', '.join(sorted(_WORDS))}.")
    checks = _WORDS[kind]

    def work() -> str:
        run = None if id_ is None else find(workspace, str(id_))
        told = _resolved(workspace, checked(words, checks))
        if kind == "save":
            tasks.task_folder(workspace, told.get("task", ""))
        return tasks.begin(workspace, request.app.state.worker, kind, run, told)

    return JSONResponse({"id": await run_in_threadpool(work)}, status_code=202)


def _resolved(workspace: Workspace, words: dict[str, Any]) -> dict[str, Any]:
    """Words whose ids became paths."""
    if "pictures" in words:
        words["pictures"] = resolve_set(workspace, words["pictures"])
    picture = words.get("picture")
    if picture is not None and "upload" in picture:
        words["picture"] = {"path": str(find_picture(workspace, picture["upload"]))}
    elif picture is not None and "task" in picture:
        name = Path(picture["name"]).stem
        words["picture"] = {"path": str(tasks.task_file(workspace, picture["task"], f"{name}.png"))}
    return words


async def one(request: Request) -> JSONResponse:
    """A task; with ?wait=5 after its state has changed, or five seconds."""
    workspace, id_ = workspace_of(request), request.path_params["id"]
    tasks.task_folder(workspace, id_)
    try:
        wait = min(float(request.query_params.get("wait", "0")), _LONGEST_WAIT)
    except ValueError:
        raise RequestError("wait is a number of seconds.") from None
    before, end = request.query_params.get("since"), time.monotonic() + wait
    while time.monotonic() < end and not request.app.state.closing.is_set():
        if await request.is_disconnected():
            break
        stamp = str(tasks.state_stamp(workspace, id_))
        if before is None:
            before = stamp
            if (await run_in_threadpool(tasks.describe, workspace, id_))["state"] in {"done", "failed"}:
                break
        elif stamp != before:
            break
        await asyncio.sleep(_POLL)
    found = await run_in_threadpool(tasks.describe, workspace, id_)
    return JSONResponse(found, headers={"Cache-Control": "no-store"})


async def cancel(request: Request) -> JSONResponse:
    """Ends a task."""
    await run_in_threadpool(tasks.cancel, workspace_of(request), request.path_params["id"])
    return JSONResponse({})


async def recent(request: Request) -> JSONResponse:
    """The newest tasks of a run and a kind."""
    workspace, query = workspace_of(request), request.query_params

    def read() -> list[dict[str, Any]]:
        return tasks.recent(workspace, find(workspace, query.get("run", "")), query.get("kind", "draw"))

    return JSONResponse({"tasks": await run_in_threadpool(read)})


ROUTES = [
    Route("/api/tasks", recent, methods=["GET"]),
    Route("/api/tasks", begin, methods=["POST"]),
    Route("/api/tasks/{id:str}", one, methods=["GET"]),
    Route("/api/tasks/{id:str}", cancel, methods=["DELETE"]),
]
