"""Routes of pages: HTML from templates, with the data of their first moment, so that nothing jumps in later."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from unnoise import __version__
from unnoise.app.commands import typed
from unnoise.app.languages import COOKIE, dictionary, language_of, patterns, sentence_translator, translator
from unnoise.app.pictures import has_digits, known_sets
from unnoise.app.requests import workspace_of
from unnoise.app.routes.runs import find, queue_told
from unnoise.app.runs import details, list_runs
from unnoise.app.tasks import recent
from unnoise.app.workspace import Workspace
from unnoise.runs.preset_notes import PRESET_NOTES

_HERE = Path(__file__).parent.parent
_templates = Environment(
    loader=FileSystemLoader(_HERE / "templates"), autoescape=True, undefined=StrictUndefined
)
_YEAR = 365 * 24 * 3600

Data = dict[str, Any]


def render(request: Request, page: str, data: Data, run: Data | None = None, status: int = 200) -> HTMLResponse:
    """A page in the language of the request."""
    language = language_of(request)
    html = _templates.get_template(f"{page}.html").render(
        _=translator(language),
        language=language,
        tr=sentence_translator(language),
        words=dict(dictionary(language)),
        patterns=patterns(language),
        page=page,
        run=run,
        data=data,
        version=__version__,
        path=request.url.path,
        workspace=str(workspace_of(request).root),
    )
    response = HTMLResponse(html, status_code=status, headers={"Cache-Control": "no-store"})
    if request.query_params.get("language") in {"en", "ko"}:
        response.set_cookie(COOKIE, language, max_age=_YEAR, samesite="strict", httponly=True)
    return response


def _page(name: str, read: Callable[[Request, Workspace], Data]) -> Callable[[Request], Any]:
    """A page without a run."""

    async def answer(request: Request) -> HTMLResponse:
        return render(request, name, await run_in_threadpool(read, request, workspace_of(request)))

    return answer


def _run_page(name: str) -> Callable[[Request], Any]:
    """A page of a run."""

    async def answer(request: Request) -> HTMLResponse:
        workspace = workspace_of(request)

        def read() -> Data:
            folder = find(workspace, request.path_params["id"])
            found = details(workspace, folder)
            drawn = None if name == "run" else _drawn(workspace, folder)
            return {"run": found, "command": found["command"], "drawn": drawn}

        data = await run_in_threadpool(read)
        return render(request, name, data, data["run"])

    return answer


def _drawn(workspace: Workspace, run: str) -> Data | None:
    """The newest pictures that were drawn of a run, so that they stand on the page at once."""
    return next((task for task in recent(workspace, run, "draw") if task["state"] == "done"), None)


def _runs(request: Request, workspace: Workspace) -> Data:
    search = request.query_params.get("search", "")[:200]
    page = request.query_params.get("page", "1")
    found = list_runs(workspace, search, int(page) if page.isdecimal() and len(page) < 9 else 1)
    told = {"search": search, "status": queue_told(workspace), "digits": has_digits(), "command": typed("app")}
    return {**vars(found), **told}


def _pictures(_: Request, workspace: Workspace) -> Data:
    return {"sets": known_sets(workspace), "command": typed("info", "PICTURES")}


def _train(request: Request, workspace: Workspace) -> Data:
    presets = [
        {"name": name, "for": note.purpose, "source": note.source} for name, note in PRESET_NOTES.items()
    ]
    command = typed("train", "PICTURES", "--minutes", "10")
    chosen = request.query_params.get("set", "")[:4000]
    queue = queue_told(workspace)
    return {
        "set": chosen,
        "sets": known_sets(workspace),
        "presets": presets,
        "status": queue,
        "command": command,
    }


def _compare(request: Request, workspace: Workspace) -> Data:
    ids = request.query_params.getlist("run")[:6]
    found = [details(workspace, find(workspace, one)) for one in ids]
    command = typed("compare", *(f"runs/{one['folder']}" for one in found))
    return {"runs": found, "command": command}


def _trash(_: Request, workspace: Workspace) -> Data:
    return {**vars(list_runs(workspace, trash=True)), "command": "mv trash/NAME runs/NAME"}


ROUTES = [
    Route("/", _page("runs", _runs)),
    Route("/pictures", _page("pictures", _pictures)),
    Route("/train", _page("train", _train)),
    Route("/compare", _page("compare", _compare)),
    Route("/trash", _page("trash", _trash)),
    Route("/run/{id:str}", _run_page("run")),
    *(Route(f"/run/{{id:str}}/{name}", _run_page(name)) for name in ("draw", "play", "understand")),
    Mount("/static", StaticFiles(directory=_HERE / "static")),
]
