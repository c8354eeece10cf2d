"""Routes of folders: what is in one, and the one at a path that somebody typed."""

from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from unnoise.app.folders import find_place, listing, named, place_id
from unnoise.app.workspace import Workspace

_LONGEST_PAGE = 6


async def folder(request: Request) -> JSONResponse:
    """Lists the folder of an id, or the workspace."""
    return JSONResponse(await run_in_threadpool(_listed, request.app.state.workspace, request.query_params))


async def named_folder(request: Request) -> JSONResponse:
    """Lists the folder at a typed path, or that of a file there; `chosen` is the id of either."""
    return JSONResponse(await run_in_threadpool(_named, request.app.state.workspace, request.query_params))


def _listed(workspace: Workspace, words: QueryParams) -> dict[str, Any]:
    return listing(workspace, find_place(workspace, words.get("id", "")), _page(words))


def _named(workspace: Workspace, words: QueryParams) -> dict[str, Any]:
    place: Path = named(workspace, words.get("text", ""))
    chosen = "" if place == workspace.root else place_id(workspace, place)
    return {**listing(workspace, place, _page(words)), "chosen": chosen}


def _page(words: QueryParams) -> int:
    text = words.get("page", "1")
    return max(1, int(text)) if text.isascii() and text.isdigit() and len(text) <= _LONGEST_PAGE else 1


ROUTES = [
    Route("/api/folders", folder, methods=["GET"]),
    Route("/api/folders/named", named_folder, methods=["GET"]),
]
