"""The state of a run: who trains it, and how it ended."""

from pathlib import Path
from typing import Any, Literal

from unnoise.app.records import Job, log_path, read_job
from unnoise.app.workspace import Workspace
from unnoise.runs.control import stop_is_requested
from unnoise.runs.lock import Holder, began, holder_of
from unnoise.utils import json_text

State = Literal[
    "waiting",
    "preparing",
    "training",
    "stopping",
    "paused",
    "stopped",
    "finished",
    "failed",
    "crashed",
    "untrained",
]

_ACTIONS: dict[State, tuple[str, ...]] = {
    "waiting": ("cancel",),
    "preparing": ("stop",),
    "training": ("pause", "stop"),
    "stopping": (),
    "paused": ("resume", "longer", "stop", "delete"),
    "stopped": ("resume", "longer", "delete"),
    "finished": ("longer", "delete"),
    "failed": ("resume", "delete"),
    "crashed": ("resume", "longer", "delete"),
    "untrained": ("resume", "delete"),
}
_PROGRESS_TAIL = 2048
_LOG_TAIL = 8192


def actions(state: State, spent: float) -> list[str]:
    """What can be asked of a run now."""
    found = list(_ACTIONS[state])
    if spent >= 1 and "resume" in found:
        found.remove("resume")
    return found


def is_live(workspace: Workspace, run: str) -> bool:
    """Whether a process trains this run now, wherever it was started."""
    return _live(read_job(workspace, run), holder_of(workspace.runs / run))


def _live(job: Job | None, holder: Holder | None) -> bool:
    return (job is not None and job.runs) or (holder is not None and holder.runs_here)


def state_of(workspace: Workspace, run: str, spent: float) -> State:
    """The state of a run.

    Args:
        run: the name of its folder.
        spent: the share of its budget that is spent.
    """
    folder, job = workspace.runs / run, read_job(workspace, run)
    holder = holder_of(folder)
    if job is not None and job.waits:
        return "waiting"
    if _live(job, holder):
        trainer = job if job is not None and job.runs else holder
        since = began(trainer.pid, trainer.start) if trainer is not None and trainer.pid is not None else 0.0
        if stop_is_requested(folder, since) or (job is not None and job.runs and job.wanted != "run"):
            return "stopping"
        return "training" if holder is not None and _has_trained_since(folder, holder) else "preparing"
    if spent >= 1:
        return "finished"
    if holder is not None:  # it did not remove what it wrote down
        return "crashed"
    trained = any((folder / "training").glob("*.safetensors"))
    if job is None:
        return "paused" if trained else "untrained"
    if job.wanted == "run":
        return "failed" if failure(workspace, run) else "paused" if trained else "crashed"
    if job.wanted == "stop" or not trained:
        return "stopped"
    return "paused"


def _has_trained_since(folder: Path, holder: Holder) -> bool:
    """Whether the run has written losses since its trainer took it."""
    try:
        return (folder / "history.csv").stat().st_mtime >= holder.since
    except OSError:
        return False


def failure(workspace: Workspace, run: str) -> str | None:
    """The sentence with which the trainer ended, where it ended with an error."""
    lines = last_lines(log_path(workspace, run))
    if any(line.startswith("Traceback") for line in lines):
        return f"The trainer met a fault of unnoise itself: {lines[-1]}"
    if lines and lines[-1].startswith("unnoise: "):
        return lines[-1].removeprefix("unnoise: ")
    return None


def last_lines(path: Path, number: int = 30) -> list[str]:
    """The last lines of a text file that are not empty; none where there is no file."""
    text = _tail(path, _LOG_TAIL).decode("utf-8", "replace")
    return [line for line in text.splitlines() if line.strip()][-number:]


def last_progress(run: Path) -> dict[str, Any]:
    """The last line of progress.jsonl; empty where there is none."""
    for line in reversed(_tail(run / "progress.jsonl", _PROGRESS_TAIL).splitlines()):
        try:
            found = json_text.parse(line.decode())
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    return {}


def _tail(path: Path, size: int) -> bytes:
    try:
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(max(0, length - size))
            return file.read(size)
    except OSError:
        return b""
