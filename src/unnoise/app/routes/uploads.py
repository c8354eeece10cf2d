"""Routes of uploads: begin, add a piece, tell what has arrived, finish, cancel."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from unnoise.app import uploads
from unnoise.app.bodies import json_words
from unnoise.app.errors import RequestError
from unnoise.app.folders import place_id
from unnoise.app.judging import ARCHIVES

_LONGEST_NUMBER = 12


async def begin(request: Request) -> JSONResponse:
    """Begins an upload."""
    words = await json_words(request)
    upload = await run_in_threadpool(
        uploads.begin, request.app.state.workspace, words.get("name"), words.get("size"), words.get("set")
    )
    return JSONResponse(upload.told(), 201)


async def piece(request: Request) -> JSONResponse:
    """Adds a piece at an offset."""
    offset = request.query_params.get("offset", "")
    if not (offset.isascii() and offset.isdigit() and len(offset) <= _LONGEST_NUMBER):
        raise RequestError("A piece needs its offset, a number of bytes.")
    body = await request.body()
    number = request.path_params["id"]
    upload = await run_in_threadpool(uploads.add_piece, request.app.state.workspace, number, int(offset), body)
    return JSONResponse({"received": upload.received})


async def progress(request: Request) -> JSONResponse:
    """Tells what has arrived."""
    upload = await run_in_threadpool(uploads.find, request.app.state.workspace, request.path_params["id"])
    return JSONResponse(upload.told())


async def finish(request: Request) -> JSONResponse:
    """Puts an upload in its place, and answers with the id of the set or of the single picture."""
    workspace = request.app.state.workspace
    place = await run_in_threadpool(uploads.finish, workspace, request.path_params["id"])
    if place.parent == workspace.hidden / "pictures":
        return JSONResponse({"picture": place.stem})
    source = place if place.suffix in ARCHIVES else place.parent
    return JSONResponse({"set": place_id(workspace, source), "name": place.name})


async def cancel(request: Request) -> JSONResponse:
    """Removes an upload that has begun."""
    await run_in_threadpool(uploads.cancel, request.app.state.workspace, request.path_params["id"])
    return JSONResponse({})


ROUTES = [
    Route("/api/uploads", begin, methods=["POST"]),
    Route("/api/uploads/{id}", piece, methods=["PUT"]),
    Route("/api/uploads/{id}", progress, methods=["GET"]),
    Route("/api/uploads/{id}", cancel, methods=["DELETE"]),
    Route("/api/uploads/{id}/finish", finish, methods=["POST"]),
]
