"""Routes of runs: the list, one run, its stream of news, and what can be asked of it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from unnoise.app import jobs
from unnoise.app.bodies import json_words
from unnoise.app.errors import NotFoundError
from unnoise.app.pictures import known_sets, resolve_set
from unnoise.app.records import read_jobs, read_remarks, write_remarks
from unnoise.app.requests import (
    Check,
    checked,
    number,
    one_of,
    size_text,
    text,
    whole,
    workspace_of,
    yes_or_no,
)
from unnoise.app.runs import details, list_runs
from unnoise.app.tasks import keep
from unnoise.app.workspace import Workspace, require_no_links, run_id
from unnoise.runs.preset_notes import PRESET_NOTES

_TICK = 0.5
"""Seconds between two looks at a folder."""
_KEEP_ALIVE = 15.0
"""Seconds after which a silent stream says that it lives."""

_START: dict[str, Check] = {
    "pictures": text(4000),
    "name": text(60),
    "preset": one_of("default", *PRESET_NOTES),
    "size": size_text,
    "minutes": number(0.01, jobs.LONGEST),
    "channels": whole(1, 4),
    "labels": yes_or_no,
    "flip": yes_or_no,
    "until_converged": yes_or_no,
    "seed": whole(0, 2**31),
}


def find(workspace: Workspace, id_: str) -> str:
    """The folder name of a run, of a job that has none yet too."""
    for job in read_jobs(workspace):
        if run_id(job.run) == id_:
            return require_no_links(workspace.runs / job.run).name
    return workspace.find_run(id_).name


def queue_told(workspace: Workspace) -> dict[str, Any]:
    """Which run is trained, and which wait."""
    live = jobs.live_run(workspace)
    waiting = [
        {"id": run_id(job.run), "name": read_remarks(workspace.runs / job.run).title or job.run}
        for job in read_jobs(workspace)
        if job.waits
    ]
    return {"live": run_id(live) if live else None, "queue": waiting, "held": jobs.is_held(workspace)}


async def status(request: Request) -> JSONResponse:
    """The queue."""
    return JSONResponse(await run_in_threadpool(queue_told, workspace_of(request)))


async def runs(request: Request) -> JSONResponse:
    """A page of the list."""
    query = request.query_params
    page = int(query.get("page", "1")[:8]) if query.get("page", "1").isdecimal() else 1
    found = await run_in_threadpool(
        list_runs, workspace_of(request), query.get("search", "")[:200], page, trash=query.get("trash") == "1"
    )
    return JSONResponse(asdict(found))


async def one(request: Request) -> JSONResponse:
    """A run."""
    workspace = workspace_of(request)

    def read() -> dict[str, object]:
        return details(workspace, find(workspace, request.path_params["id"]))

    return JSONResponse(await run_in_threadpool(read))


async def news(request: Request) -> StreamingResponse:
    """The stream of a run: all of it, whenever something changed."""
    workspace = workspace_of(request)
    name = await run_in_threadpool(find, workspace, request.path_params["id"])

    async def stream() -> AsyncIterator[str]:
        told, silent = "", 0.0
        while not await request.is_disconnected() and not request.app.state.closing.is_set():
            try:
                found = json.dumps(await run_in_threadpool(details, workspace, name))
            except NotFoundError:
                return
            if found != told:
                told, silent = found, 0.0
                yield f"data: {found}\n\n"
            elif silent >= _KEEP_ALIVE:
                silent = 0.0
                yield ": here\n\n"
            silent += _TICK
            await asyncio.sleep(_TICK)

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)


async def start(request: Request) -> JSONResponse:
    """Asks for a new run."""
    workspace, words = workspace_of(request), checked(await json_words(request), _START)

    def begin() -> str:
        source = resolve_set(workspace, words.pop("pictures", ""))
        name = words.pop("name", "") or _name_of(source)
        return jobs.start(workspace, source, name, words)

    return JSONResponse({"id": run_id(await run_in_threadpool(begin))}, status_code=201)


def _name_of(source: str) -> str:
    """The name of a run that was given none."""
    stem = source.rstrip("/").rpartition("/")[2].partition(".")[0]
    return "".join(c if c.isalnum() or c in "-_ " else "-" for c in stem).strip("- ")[:50] or "run"


async def act(request: Request) -> JSONResponse:
    """Pauses a run, goes on with it, ends it, takes it out of the queue, deletes or restores it."""
    workspace, id_, action = (
        workspace_of(request),
        request.path_params["id"],
        request.url.path.rpartition("/")[2],
    )
    words = checked(
        await json_words(request), {"minutes": number(0.01, jobs.LONGEST)} if action == "longer" else {}
    )

    def work() -> str:
        if action == "restore":
            return jobs.restore(workspace, workspace.find_run(id_, trash=True).name)
        name = find(workspace, id_)
        if action == "longer":
            jobs.resume(workspace, name, words.get("minutes", 10.0))
        else:
            _ACTIONS[action](workspace, name)
        return name

    return JSONResponse({"id": run_id(await run_in_threadpool(work))})


_ACTIONS = {
    "pause": jobs.pause,
    "resume": jobs.resume,
    "stop": jobs.stop,
    "cancel": jobs.cancel,
    "delete": jobs.delete,
}
_NAMES = (*_ACTIONS, "longer", "restore")


async def remark(request: Request) -> JSONResponse:
    """Renames a run, writes a note on it, or keeps a favourite."""
    workspace, kind = workspace_of(request), request.url.path.rpartition("/")[2]
    words = checked(await json_words(request), _REMARKS[kind])

    def write() -> dict[str, object]:
        folder = workspace.runs / find(workspace, request.path_params["id"])
        remarks = read_remarks(folder)
        if kind == "rename":
            remarks = replace(remarks, title=words.get("name", "").strip())
        elif kind == "note":
            remarks = replace(remarks, note=words.get("text", ""))
        else:
            if words.get("on"):
                keep(workspace, words.get("task", ""))
            seed = {"task": words.get("task", ""), "name": words.get("name", "")}
            kept = [one for one in remarks.favourites if one != seed]
            remarks = replace(
                remarks, favourites=(*kept, seed)[-_MOST_FAVOURITES:] if words.get("on") else (*kept,)
            )
        if folder.is_dir():
            write_remarks(folder, remarks)
        return asdict(remarks)

    return JSONResponse(await run_in_threadpool(write))


_MOST_FAVOURITES = 200
_REMARKS: dict[str, dict[str, Check]] = {
    "rename": {"name": text(60)},
    "note": {"text": text(4000)},
    "favourite": {"task": text(16), "name": text(60), "on": yes_or_no},
}


async def empty(request: Request) -> JSONResponse:
    """Deletes what is in the trash for good."""
    return JSONResponse({"deleted": await run_in_threadpool(jobs.empty_trash, workspace_of(request))})


async def presets(_: Request) -> JSONResponse:
    """The recipes that can be chosen."""
    notes = [{"name": name, "for": note.purpose, "source": note.source} for name, note in PRESET_NOTES.items()]
    return JSONResponse({"presets": notes})


async def sets(request: Request) -> JSONResponse:
    """The sets of pictures that are known or were uploaded."""
    return JSONResponse({"sets": await run_in_threadpool(known_sets, workspace_of(request))})


ROUTES = [
    Route("/api/sets", sets),
    Route("/api/status", status),
    Route("/api/presets", presets),
    Route("/api/trash/empty", empty, methods=["POST"]),
    Route("/api/runs", runs, methods=["GET"]),
    Route("/api/runs", start, methods=["POST"]),
    Route("/api/runs/{id:str}", one),
    Route("/api/runs/{id:str}/events", news),
    *(Route(f"/api/runs/{{id:str}}/{kind}", remark, methods=["POST"], name=kind) for kind in _REMARKS),
    *(Route(f"/api/runs/{{id:str}}/{name}", act, methods=["POST"], name=name) for name in _NAMES),
]
