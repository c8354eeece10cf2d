"""Records that the app keeps of a run: its job in .unnoise/jobs, and app.json in its folder."""

import json
import math
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from unnoise.app.workspace import Workspace
from unnoise.runs.lock import Start, lives
from unnoise.utils import json_text
from unnoise.utils.files import atomic_write
from unnoise.utils.text import printable

Wanted = Literal["run", "pause", "stop"]


@dataclass(frozen=True)
class Job:
    """A training that was asked for: it waits in the queue until it has a process."""

    run: str
    """Name of the run's folder."""
    words: tuple[str, ...]
    """The command after `unnoise`, as one would type it in the workspace."""
    asked: float
    """When, in seconds since 1970: the queue's order."""
    wanted: Wanted = "run"
    """What its owner wants of it: `pause` keeps the queue waiting, `stop` lets it go on."""
    pid: int | None = None
    """Of the process; None while it waits."""
    started: float = 0.0
    """When the process started, in seconds since 1970: process numbers are given anew."""
    uptime: float | None = None
    """The same in seconds since the system started, which no change of the clock changes."""
    boot: str = ""
    """Which start of the system that was."""

    @property
    def waits(self) -> bool:
        """Whether it is in the queue."""
        return self.pid is None and self.wanted == "run"

    @property
    def runs(self) -> bool:
        """Whether its process lives."""
        return self.pid is not None and lives(self.pid, self.start)

    @property
    def start(self) -> Start:
        """When its process started."""
        return Start(self.started, self.uptime, self.boot)


def _jobs(workspace: Workspace) -> Path:
    return workspace.hidden / "jobs"


def log_path(workspace: Workspace, run: str) -> Path:
    """Where the trainer prints to."""
    return _jobs(workspace) / f"{run}.log"


def read_job(workspace: Workspace, run: str) -> Job | None:
    """The job of a run; None where the app did not start it, or what was written cannot be read."""
    found = read_object(_jobs(workspace) / f"{run}.json")
    try:
        return Job(**{**found, "words": tuple(found["words"])}) if found else None
    except (TypeError, KeyError):
        return None


def read_jobs(workspace: Workspace) -> list[Job]:
    """All jobs, those first that were asked for first."""
    found = [read_job(workspace, path.stem) for path in _jobs(workspace).glob("*.json")]
    return sorted((job for job in found if job is not None), key=lambda job: (job.asked, job.run))


def write_job(workspace: Workspace, job: Job) -> None:
    """Writes a job."""
    _write(_jobs(workspace) / f"{job.run}.json", asdict(job))


def change_job(workspace: Workspace, job: Job, **changes: Any) -> Job:  # noqa: ANN401
    """Writes a job with changes, and returns it."""
    changed = replace(job, **changes)
    write_job(workspace, changed)
    return changed


def remove_job(workspace: Workspace, run: str) -> None:
    """Removes a job and its log."""
    for path in (_jobs(workspace) / f"{run}.json", log_path(workspace, run)):
        path.unlink(missing_ok=True)


@dataclass(frozen=True)
class Remarks:
    """What people say of a run: app.json in its folder."""

    title: str = ""
    note: str = ""
    favourites: tuple[dict[str, Any], ...] = ()
    """The words with which each was drawn, and its seed."""


def read_remarks(run: Path) -> Remarks:
    """The remarks on a run."""
    found = read_object(run / "app.json") or {}
    favourites = found.get("favourites", [])
    kept = tuple(one for one in favourites if isinstance(one, dict)) if isinstance(favourites, list) else ()
    return Remarks(str(found.get("title", "")), str(found.get("note", "")), kept)


def write_remarks(run: Path, remarks: Remarks) -> None:
    """Writes the remarks on a run."""
    _write(run / "app.json", asdict(remarks))


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none, or one that could not be sent on, and for a link."""
    try:
        if path.is_symlink():
            return None
        found = json_text.parse(json_text.read_text(path))
        json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def sendable(value: Any) -> Any:  # noqa: ANN401
    """A value without what JSON cannot say: numbers that are not finite become None, odd characters escapes."""
    if isinstance(value, dict):
        return {sendable(name): sendable(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [sendable(inner) for inner in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return printable(value, lines=True) if isinstance(value, str) else value


def _write(path: Path, what: dict[str, Any]) -> None:
    with atomic_write(path) as file:
        file.write_text(json.dumps(what, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def now() -> float:
    """Seconds since 1970."""
    return time.time()
