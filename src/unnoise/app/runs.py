"""Runs of the workspace: what a card of the list and the page of a run say of each."""

import json
import math
import os
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from unnoise.api.reporting import amount
from unnoise.app.commands import distilled, train_words, typed
from unnoise.app.records import Job, log_path, read_job, read_object, read_remarks, sendable
from unnoise.app.states import actions, failure, last_lines, last_progress, state_of
from unnoise.app.workspace import Workspace, first_link, run_id
from unnoise.runs.history import HistoryRow, QualityRow, read_events
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import stamp
from unnoise.utils.tables import read_table

PAGE = 24
"""Runs on a page of the list."""

_POINTS = 300
"""Points of a curve, at most."""


@dataclass(frozen=True)
class RunPage:
    """One page of the list."""

    runs: list[dict[str, Any]]
    page: int
    pages: int
    total: int


def list_runs(workspace: Workspace, search: str = "", page: int = 1, *, trash: bool = False) -> RunPage:
    """Runs, newest first, of which name, title, note or pictures hold all the words of `search`."""
    names = set(workspace.run_names(trash=trash))
    if not trash:
        names |= {path.stem for path in (workspace.hidden / "jobs").glob("*.json")}
    folder = workspace.trash if trash else workspace.runs
    found = sorted(names, key=lambda name: (_changed(workspace, folder / name), name), reverse=True)
    if wanted := search.lower().split():
        found = [name for name in found if all(word in _searched(folder / name) for word in wanted)]
    pages = max(1, math.ceil(len(found) / PAGE))
    page = min(max(page, 1), pages)
    shown = found[(page - 1) * PAGE : page * PAGE]
    plain = [name for name in shown if first_link(folder / name) is None]
    return RunPage([summary(workspace, name, trash=trash) for name in plain], page, pages, len(found))


def _changed(workspace: Workspace, folder: Path) -> float:
    """When a run changed last, in seconds since 1970; called for all runs, hence texts instead of paths."""
    inside, job = f"{folder}{os.sep}", f"{workspace.hidden}/jobs/{folder.name}.json"
    for path in (f"{inside}history.csv", f"{inside}config.json", job):
        try:
            return os.stat(path).st_mtime  # noqa: PTH116
        except OSError:
            continue
    return 0.0


def _searched(folder: Path) -> str:
    remarks = read_remarks(folder)
    source = Path(config_of(folder).get("data", {}).get("source", "")).name
    return f"{folder.name}\n{remarks.title}\n{remarks.note}\n{source}".lower()


def config_of(folder: Path) -> dict[str, Any]:
    """The settings of a run, as in its config.json; empty where they cannot be read."""
    path = folder / "config.json"
    return _config_once(path, _stamp(path))


@lru_cache(maxsize=2048)
def _config_once(path: Path, _stamp: str) -> dict[str, Any]:
    """The settings, read again only where the file has changed. Nobody changes what this returns."""
    found = read_object(path) or {}
    data, budget = found.get("data"), found.get("budget")
    known = isinstance(data, dict) and isinstance(data.get("source"), str) and {"height", "width"} <= set(data)
    if not known or not isinstance(budget, dict) or budget.get("unit") not in _UNITS:
        return {}
    spendable = isinstance(budget.get("amount"), int | float) and budget["amount"] > 0
    return found if spendable else {}


_UNITS = ("minutes", "steps", "images")


def summary(workspace: Workspace, name: str, *, trash: bool = False) -> dict[str, Any]:
    """What the list says of a run."""
    found: dict[str, Any] = sendable(_summary(workspace, name, trash=trash))
    return found


def _summary(workspace: Workspace, name: str, *, trash: bool) -> dict[str, Any]:
    folder = (workspace.trash if trash else workspace.runs) / name
    config, job, history = config_of(folder), read_job(workspace, name), _history(folder)
    data, budget = config.get("data", {}), config.get("budget", {})
    last = history[-1] if history else None
    spent = _spent(folder, budget, last)
    state = "stopped" if trash else state_of(workspace, name, spent)
    remarks, sheets = read_remarks(folder), sheet_steps(folder)
    number = run_id(name)
    return {
        "id": number,
        "name": remarks.title or name,
        "folder": name,
        "state": state,
        "picture": f"/files/{'trash' if trash else 'runs'}/{number}/sheet/{sheets[-1]}?small=1"
        if sheets
        else None,
        "height": data.get("height"),
        "width": data.get("width"),
        "channels": data.get("channels"),
        "classes": data.get("classes", []),
        "preset": config.get("preset"),
        "step": last.step if last else 0,
        "images": last.images if last else 0,
        "seconds": last.seconds if last else 0.0,
        "budget": amount(budget["amount"], budget["unit"]) if budget else None,
        "minutes": budget.get("amount") if budget.get("unit") == "minutes" else None,
        "spent": spent,
        "loss": _last(history, "training_loss"),
        "held_out_loss": _last(history, "held_out_loss"),
        "kid": ((kids := _kids(folder)) and kids[-1].kid) or None,
        "note": remarks.note,
        "source": data.get("source") or (job.words[1] if job else ""),
        "changed": datetime.fromtimestamp(_changed(workspace, folder), UTC).isoformat(timespec="seconds"),
        "has_weights": (folder / "model.safetensors").is_file(),
        "has_best": (folder / "best.safetensors").is_file(),
        "message": _message(workspace, name, state),
        "command": typed(*_command(workspace, folder, config, job)),
        "actions": ["restore"] if trash else actions(state, spent),
    }


def _spent(folder: Path, budget: dict[str, Any], last: HistoryRow | None) -> float:
    """The share of the budget that is spent; exactly 1 only for what has ended."""
    told = last_progress(folder)
    if not budget or last is None:
        return 0.0
    done = {"minutes": last.seconds / 60, "steps": last.step, "images": last.images}[budget["unit"]]
    share = float(min(1.0, done / budget["amount"]))
    if told.get("step") == last.step and isinstance(told.get("spent"), int | float):
        share = max(share, float(told["spent"]))
    return share


def _message(workspace: Workspace, name: str, state: str) -> str | None:
    if state == "failed":
        return failure(workspace, name)
    if state == "crashed":
        return (
            "The training process ended without saving its last steps: it was killed, or the computer was "
            "switched off. Resume goes on from the last saved state; nothing before it is lost."
        )
    return None


def _command(workspace: Workspace, folder: Path, config: dict[str, Any], job: Job | None) -> tuple[str, ...]:
    """The command that makes such a run: the job's own, or one from its settings where it went on."""
    first = job is not None and ("--resume" not in job.words or not config)
    return job.words if job is not None and first else train_words(workspace, folder, config)


def details(workspace: Workspace, name: str) -> dict[str, Any]:
    """What the page of a run says."""
    folder, found = workspace.runs / name, summary(workspace, name)
    history, number = _history(folder), found["id"]
    sheets = [{"step": step, "url": f"/files/runs/{number}/sheet/{step}"} for step in sheet_steps(folder)]
    live = found["state"] in {"training", "stopping"}
    speed, left = _pace(history, found["spent"]) if live else (None, None)
    losses = [[row.seconds, row.training_loss] for row in history if row.training_loss is not None]
    held_out = [[row.seconds, row.held_out_loss] for row in history if row.held_out_loss is not None]
    told: dict[str, Any] = sendable(
        {
            "images_per_second": speed,
            "seconds_left": left,
            "curve": _thinned(losses),
            "held_out": _thinned(held_out),
            "kids": [[row.seconds, row.kid, row.low, row.high] for row in _kids(folder)],
            "guards": _guards(folder),
            "sheets": sheets,
            "log": last_lines(log_path(workspace, name)),
            "settings": _settings(config_of(folder)),
            "distilled": distilled(config_of(folder)),
            "favourites": list(read_remarks(folder).favourites),
        }
    )
    return found | told


def _pace(history: list[HistoryRow], spent: float) -> tuple[float | None, float | None]:
    """Images a second of late, and seconds until the budget is spent at that speed."""
    recent = [row for row in history if row.training_loss is not None][-12:]
    if len(recent) < 2 or recent[-1].seconds <= recent[0].seconds:
        return None, None
    speed = (recent[-1].images - recent[0].images) / (recent[-1].seconds - recent[0].seconds)
    left = recent[-1].seconds * (1 - spent) / spent if spent else None
    return speed, left


def _thinned(points: list[list[float]]) -> list[list[float]]:
    """At most so many points, with the first and the last."""
    if len(points) <= _POINTS:
        return points
    places = {round(k * (len(points) - 1) / (_POINTS - 1)) for k in range(_POINTS)}
    return [points[k] for k in sorted(places)]


def sheet_steps(folder: Path) -> list[int]:
    """The steps of all sheets of samples, the oldest first."""
    return sorted(int(path.stem) for path in (folder / "samples").glob("*.png") if _SHEET.fullmatch(path.name))


_SHEET = re.compile(r"[0-9]{10}\.png")


def _history(folder: Path) -> list[HistoryRow]:
    return _read_once(HistoryRow, folder / "history.csv", _stamp(folder / "history.csv"))


def _kids(folder: Path) -> list[QualityRow]:
    return _read_once(QualityRow, folder / "quality.csv", _stamp(folder / "quality.csv"))


def _stamp(path: Path) -> str:
    try:
        return stamp(path.stat())
    except OSError:
        return ""


@lru_cache(maxsize=256)
def _read_once(row: type[Any], path: Path, _stamp: str) -> list[Any]:
    """The rows of a table, read again only where the file has changed."""
    try:
        return read_table(path, row)
    except UnnoiseError:  # the trainer may write a line at this moment
        return []


def _guards(folder: Path) -> list[dict[str, Any]]:
    try:
        rows = read_events(folder)
    except UnnoiseError:
        return []
    return [{"step": row.step, "kind": row.kind, "cause": row.cause, "action": row.action} for row in rows]


def _last(history: list[HistoryRow], name: str) -> float | None:
    return next((value for row in reversed(history) if (value := getattr(row, name)) is not None), None)


def _settings(config: dict[str, Any]) -> dict[str, str]:
    """The settings of a run as one level of names and texts, as `--set` names them."""
    found: dict[str, str] = {}

    def add(prefix: str, value: object) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                add(f"{prefix}.{name}" if prefix else name, inner)
        else:
            found[prefix.removeprefix("recipe.")] = json.dumps(value).strip('"')

    add("", config)
    return found
