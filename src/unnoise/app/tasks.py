"""Tasks: drawing, editing, examining and exporting, done by the worker, one folder each in .unnoise/tasks.

The server writes request.json and tells the worker the id; the worker writes state.json and files beside it.
So a task is found again by any tab, and by a server that was started again.
"""

import json
import re
import secrets
import shutil
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from unnoise.app.commands import task_command
from unnoise.app.errors import ConflictError, NotFoundError, RequestError
from unnoise.app.jobs import live_run
from unnoise.app.workspace import Workspace, run_id
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import atomic_write

MOST_KEPT = 300
"""Tasks that are kept; the oldest are removed first, except for those with favourites."""

MOST_WAITING = 20
"""Tasks that may wait at once."""

OF_RUNS = {
    *("draw", "reverse", "morph", "redraw", "vary", "inpaint", "outpaint", "restore", "forward"),
    *("report", "export"),
}

_ID = re.compile(r"[0-9a-f]{16}")
_SOON, _MOST_SOON = 10.0, 3
"""A worker that ends within so many seconds, so many times in a row, cannot work here."""
_FILE = re.compile(r"[a-z0-9_-]{1,60}\.[a-z0-9]{2,5}")


def _folder(workspace: Workspace) -> Path:
    return workspace.hidden / "tasks"


def task_folder(workspace: Workspace, number: str) -> Path:
    """The folder of a task.

    Raises:
        NotFoundError: where there is none of this id.
    """
    folder = _folder(workspace) / number
    if not _ID.fullmatch(number) or not (folder / "request.json").is_file():
        raise NotFoundError("There is no task with this id: old ones are removed. Ask for it again.")
    return folder


def task_file(workspace: Workspace, number: str, name: str) -> Path:
    """A file that a task wrote."""
    folder = task_folder(workspace, number)
    path = folder / name
    if not _FILE.fullmatch(name) or name in {"request.json", "state.json"} or not path.is_file():
        raise NotFoundError("The task has no file of this name.")
    return path


def begin(workspace: Workspace, worker: "Worker", kind: str, run: str | None, words: dict[str, Any]) -> str:
    """Asks the worker for a task, and returns its id.

    Args:
        kind: one that the worker knows.
        run: the folder of the run.
        words: what the worker is told, every id resolved.
    """
    if (kind in OF_RUNS) and run is None:
        raise RequestError(f"The task {kind} needs a run: name its id.")
    _tidy(workspace)
    number = secrets.token_hex(8)
    request = {"kind": kind, "run": run, "busy": live_run(workspace) is not None, **words}
    with atomic_write(_folder(workspace) / number / "request.json") as file:
        file.write_text(json.dumps(request), encoding="utf-8")
    worker.tell(number)
    return number


def _tidy(workspace: Workspace) -> None:
    """Removes the oldest tasks, and refuses more than a few that wait."""
    found = sorted(_ids(workspace), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in found[MOST_KEPT:]:
        if not (old / "kept").exists():
            shutil.rmtree(old, ignore_errors=True)
    waiting = sum(_state(path)["state"] in {"waiting", "working"} for path in found[: 2 * MOST_WAITING])
    if waiting >= MOST_WAITING:
        raise ConflictError(f"{waiting} tasks wait already: let them end, or cancel some.")


def _ids(workspace: Workspace) -> list[Path]:
    with suppress(OSError):
        return [path for path in _folder(workspace).iterdir() if _ID.fullmatch(path.name) and path.is_dir()]
    return []


def _state(folder: Path) -> dict[str, Any]:
    with suppress(OSError, ValueError):
        found = json.loads((folder / "state.json").read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return found
    return {"state": "waiting", "progress": 0.0, "doing": "", "error": None, "result": {}, "files": []}


def request_of(folder: Path) -> dict[str, Any]:
    """What was asked of a task."""
    try:
        found = json.loads((folder / "request.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {"kind": "", "run": None}
    return found if isinstance(found, dict) else {"kind": "", "run": None}


def describe(workspace: Workspace, number: str) -> dict[str, Any]:
    """A task as pages see it."""
    folder = task_folder(workspace, number)
    request, state = request_of(folder), _state(folder)
    words = {name: value for name, value in request.items() if name not in {"kind", "run", "busy", "mask"}}
    pictures = {name: value for name, value in words.items() if name not in {"picture", "pictures"}}
    run = request.get("run")
    return state | {
        "id": number,
        "kind": request["kind"],
        "run": run_id(run) if run else None,
        "words": pictures,
        "files": {name: f"/files/tasks/{number}/{name}" for name in state["files"]},
        "command": task_command(request["kind"], run, _shown(workspace, words)),
    }


def _shown(workspace: Workspace, words: dict[str, Any]) -> dict[str, Any]:
    """Words with the path of pictures as one types it in the workspace."""
    source = str(words.get("pictures", ""))
    path = Path(source)
    inside = path.is_absolute() and path.is_relative_to(workspace.root)
    return words | {"pictures": workspace.relative(path) if inside else source}


def recent(workspace: Workspace, run: str, kind: str, number: int = 20) -> list[dict[str, Any]]:
    """The newest tasks of a run and a kind that are not failed."""
    found = sorted(_ids(workspace), key=lambda path: path.stat().st_mtime, reverse=True)
    asked = [(path, request_of(path)) for path in found]
    kept = [path for path, one in asked if one.get("run") == run and one["kind"] == kind][:number]
    return [described for path in kept if (described := describe(workspace, path.name))["state"] != "failed"]


def keep(workspace: Workspace, number: str) -> None:
    """Keeps what a task drew for good, since it is a favourite."""
    (task_folder(workspace, number) / "kept").touch()


def cancel(workspace: Workspace, number: str) -> None:
    """Ends a task at the worker's next step."""
    (task_folder(workspace, number) / "cancel").touch()


def state_stamp(workspace: Workspace, number: str) -> int:
    """What changes when the state of a task does."""
    try:
        return (task_folder(workspace, number) / "state.json").stat().st_mtime_ns
    except OSError:
        return 0


def _give_up(folder: Path) -> None:
    """Says of a task that there is no worker to do it."""
    state = _state(folder) | {
        "state": "failed",
        "error": "The program that draws does not start: .unnoise/worker.log in the workspace says why.",
    }
    with suppress(UnnoiseError), atomic_write(folder / "state.json") as file:
        file.write_text(json.dumps(state), encoding="utf-8")


class Worker:
    """The process that does tasks, started when the first one waits.

    It ends when this server does, since its standard input is closed then. Tasks that it left are done by the
    next one.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._started, self._ended_soon = 0.0, 0

    def tell(self, number: str) -> None:
        """Hands it a task; a worker that has ended is started again, and finds what waits."""
        with self._lock:
            for _ in range(2):
                process = self._running()
                try:
                    assert process.stdin is not None
                    process.stdin.write(f"{number}\n".encode())
                    process.stdin.flush()
                except OSError:
                    continue
                return

    def look_after(self) -> None:
        """Starts it again where it died and tasks wait; where it cannot start, they are told so."""
        waiting = [path for path in _ids(self._workspace) if _state(path)["state"] in {"waiting", "working"}]
        if not waiting:
            return
        with self._lock:
            self._running()
            if self._ended_soon < _MOST_SOON:
                return
            self._ended_soon = 0  # what is asked for from now on is tried again
        for path in waiting:
            _give_up(path)

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._process is None or self._process.poll() is not None:
            if self._process is not None:
                soon = time.monotonic() - self._started < _SOON
                self._ended_soon = self._ended_soon + 1 if soon else 0
                if self._ended_soon >= _MOST_SOON:
                    return self._process
                if self._process.stdin is not None:
                    with suppress(OSError):  # of what was told, but never read
                        self._process.stdin.close()
            self._started = time.monotonic()
            log = self._workspace.hidden / "worker.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            with log.open("wb") as output:
                self._process = subprocess.Popen(  # noqa: S603 (our own program, no shell)
                    [sys.executable, "-m", "unnoise.app.worker", str(self._workspace.root)],
                    cwd=self._workspace.root,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        return self._process

    def close(self) -> None:
        """Ends it."""
        with self._lock:
            process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            with suppress(OSError):
                process.stdin.close()
            end = time.monotonic() + 5
            while process.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            if process.poll() is None:
                process.kill()
