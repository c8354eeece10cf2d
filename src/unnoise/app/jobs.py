"""Queue of trainings: starts, pauses, resumes and ends them, one at a time, in the order of requests."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import FileLock

from unnoise.app.commands import named_source
from unnoise.app.errors import ConflictError
from unnoise.app.records import (
    Job,
    change_job,
    log_path,
    now,
    read_job,
    read_jobs,
    remove_job,
    write_job,
)
from unnoise.app.runs import config_of, summary
from unnoise.app.states import is_live
from unnoise.app.workspace import Workspace, require_name
from unnoise.runs.control import forget_requests, request_stop
from unnoise.runs.lock import Start
from unnoise.utils.errors import UnnoiseError, require

MOST_WAITING = 100
"""Trainings in the queue, at most."""

LONGEST = 60 * 24 * 30
"""Minutes of a training, at most."""

_KEYS = {"preset": "--preset", "size": "--size", "channels": "--channels", "seed": "--seed"}
_FLAGS = {"flip": "--flip", "until_converged": "--until-converged"}
_NICE = 5
"""The trainer yields to the pages: without others it still has all cores."""

_children: list[subprocess.Popen[bytes]] = []
"""Processes that this one started, kept only so that the system can forget them when they end."""


@contextmanager
def _one_at_a_time(workspace: Workspace) -> Iterator[None]:
    """Context in which nobody else, in this server or another, changes the queue."""
    workspace.hidden.mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.hidden / "queue.lock", timeout=10):
        yield


def start(workspace: Workspace, source: str, name: str, words: dict[str, Any]) -> str:
    """Asks for a new run, and returns the name of its folder. It starts when no other run is trained.

    Args:
        source: the pictures, as a command names them in the workspace.
        name: of the run; a number is added where there is one of this name.
        words: preset, size, minutes, channels, labels, flip, seed, until_converged.
    """
    minutes = _minutes(words.get("minutes", 10))
    options = ["--minutes", f"{minutes:g}"]
    for word, option in _KEYS.items():
        if words.get(word) not in (None, ""):
            options += [option, str(words[word])]
    options += [option for word, option in _FLAGS.items() if words.get(word)]
    options += ["--labels", "auto"] if words.get("labels") else []
    require_name(name)
    with _one_at_a_time(workspace):
        waiting = sum(job.waits for job in read_jobs(workspace))
        require(
            waiting < MOST_WAITING, f"{waiting} trainings wait already: let some of them end, or cancel some."
        )
        folder = _free_name(workspace, name)
        words_of_it = ("train", source, "--out", f"runs/{folder}", *options)
        write_job(workspace, Job(folder, words_of_it, now()))
    advance(workspace)
    return folder


def _minutes(given: object) -> float:
    try:
        minutes = float(str(given))
    except ValueError:
        minutes = 0.0
    require(
        0 < minutes <= LONGEST, f"The minutes are above 0 and at most {LONGEST:,}, but got {str(given)[:20]}."
    )
    return minutes


def _free_name(workspace: Workspace, name: str) -> str:
    taken = {*workspace.run_names(), *(job.run for job in read_jobs(workspace))}
    taken = {one.lower() for one in taken}  # file systems that take a for A
    number, found = 2, name
    while found.lower() in taken:
        number, found = number + 1, f"{name}-{number}"
    return found


def advance(workspace: Workspace) -> None:
    """Starts the next training of the queue, if none is live and none is paused before it."""
    for child in [*_children]:
        if child.poll() is not None:
            _children.remove(child)
    if not any(job.waits for job in read_jobs(workspace)):
        return
    with _one_at_a_time(workspace):
        waiting = [job for job in read_jobs(workspace) if job.waits]
        if waiting and not is_held(workspace) and live_run(workspace) is None:
            _launch(workspace, waiting[0])


def live_run(workspace: Workspace) -> str | None:
    """The folder of the run that is trained now, started here or in a terminal; None where none is."""
    held = (path.parent.name for path in workspace.runs.glob("*/.lock.json"))
    started = (job.run for job in read_jobs(workspace) if job.runs)
    return next((name for name in (*started, *held) if is_live(workspace, name)), None)


def is_held(workspace: Workspace) -> bool:
    """Whether the queue waits, since a run is paused."""
    return (workspace.hidden / "queue.held").is_file()


def _hold(workspace: Workspace, *, hold: bool) -> None:
    path = workspace.hidden / "queue.held"
    if hold:
        path.touch()
    else:
        path.unlink(missing_ok=True)


def _launch(workspace: Workspace, job: Job) -> None:
    """Starts the process of a job, detached, so that it outlives the server."""
    forget_requests(workspace.runs / job.run)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "110", "NO_COLOR": "1"}
    with log_path(workspace, job.run).open("ab") as log:
        process = subprocess.Popen(  # noqa: S603 (our own program, words that were checked, no shell)
            [sys.executable, "-m", "unnoise", *job.words],
            cwd=workspace.root,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=environment,
        )
    _children.append(process)
    start = Start(now())
    with suppress(psutil.Error):
        start = Start.of(process.pid)
        psutil.Process(process.pid).nice(_NICE)
    change_job(workspace, job, pid=process.pid, started=start.clock, uptime=start.uptime, boot=start.boot)


def pause(workspace: Workspace, run: str) -> None:
    """Asks a run to save and stop; the queue waits until it goes on."""
    _end(workspace, run, "pause")


def stop(workspace: Workspace, run: str) -> None:
    """Asks a run to save and stop; the next one of the queue begins."""
    _end(workspace, run, "stop")


def _end(workspace: Workspace, run: str, wanted: str) -> None:
    job, folder = read_job(workspace, run), workspace.runs / run
    live = is_live(workspace, run)
    state = summary(workspace, run)["state"]
    if wanted not in summary(workspace, run)["actions"]:
        raise ConflictError(f"The run is {state}: there is nothing to {wanted}.")
    with _one_at_a_time(workspace):
        _hold(workspace, hold=wanted == "pause")
        if job is not None:
            job = change_job(workspace, job, wanted=wanted)
        elif not live:  # it was started in a terminal, and has ended
            write_job(workspace, Job(run, _going_on(workspace, run), now(), wanted="stop", pid=0))
        if live and (folder / "config.json").is_file():
            request_stop(folder)
        elif job is not None and job.runs and job.pid:  # it still reads pictures, and looks at no file
            with suppress(psutil.Error):
                psutil.Process(job.pid).terminate()
    advance(workspace)


def resume(workspace: Workspace, run: str, minutes: object = None) -> None:
    """Goes on with a run: to the end of its budget, or for so many minutes more than it has trained."""
    found = summary(workspace, run)
    asked = "resume" if minutes is None else "longer"
    if asked not in found["actions"]:
        raise ConflictError(f"The run is {found['state']}: it cannot go on{' longer' * (minutes is not None)}.")
    words = _going_on(workspace, run)
    if minutes is not None:
        words += ("--minutes", f"{found['seconds'] / 60 + _minutes(minutes):.4g}")
    with _one_at_a_time(workspace):
        _hold(workspace, hold=False)
        write_job(workspace, Job(run, words, now()))
    advance(workspace)


def _going_on(workspace: Workspace, run: str) -> tuple[str, ...]:
    """The command that goes on with a run, or starts it again where it never began."""
    folder, job = workspace.runs / run, read_job(workspace, run)
    if not any((folder / "training").glob("*.safetensors")) and job is not None:
        return job.words
    source = config_of(folder).get("data", {}).get("source") or "PICTURES"
    return ("train", named_source(workspace, source), "--out", f"runs/{run}", "--resume")


def cancel(workspace: Workspace, run: str) -> None:
    """Takes a run out of the queue."""
    with _one_at_a_time(workspace):
        job = read_job(workspace, run)
        if job is None or not job.waits:
            raise ConflictError("The run does not wait in the queue: it may have started by now.")
        if (workspace.runs / run).is_dir():
            change_job(workspace, job, wanted="stop", pid=0)
        else:
            remove_job(workspace, run)


def delete(workspace: Workspace, run: str) -> None:
    """Moves a run to the trash."""
    if is_live(workspace, run):
        raise ConflictError("The run is being trained: stop it first.")
    source = workspace.runs / run
    if source.is_dir():
        _move(source, workspace.trash)
    remove_job(workspace, run)


def restore(workspace: Workspace, run: str) -> str:
    """Moves a run back from the trash, and returns the name of its folder."""
    return _move(workspace.trash / run, workspace.runs).name


def _move(source: Path, into: Path) -> Path:
    into.mkdir(parents=True, exist_ok=True)
    number, target = 2, into / source.name
    while target.exists():
        number, target = number + 1, into / f"{source.name}-{number}"
    try:
        source.rename(target)
    except OSError as error:
        raise UnnoiseError(f"{source.name} cannot be moved: {error.strerror or error}.") from error
    return target


def empty_trash(workspace: Workspace) -> int:
    """Deletes what is in the trash for good, and returns how many runs that were."""
    names = workspace.run_names(trash=True)
    for name in names:
        shutil.rmtree(workspace.trash / name, ignore_errors=True)  # which follows no link
    return len(names)
