"""Command lines that do the same as the app, to be typed in the workspace."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unnoise.app.workspace import Workspace

_OF_PICTURES = {
    "redraw": "generate",
    "vary": "vary",
    "inpaint": "inpaint",
    "outpaint": "outpaint",
    "restore": "restore",
}
_OPTIONS = {
    "number": "--num-images",
    "seed": "--seed",
    "steps": "--num-steps",
    "sampler": "--sampler",
    "label": "--label",
    "best": "--best",
    "guidance": "--guidance",
    "seeds": "--seeds",
    "frames": "--frames",
    "strength": "--strength",
    "versions": "--versions",
    "amount": "--amount",
    "task": "--task",
    "factor": "--factor",
    "size": "--size",
    "minutes": "--minutes",
    "to": "--to",
}
_OF_KINDS = {
    "draw": {"label": "--labels"},
    "reverse": {"label": "--labels"},
    "redraw": {"label": "--labels", "versions": "--num-images"},
    "vary": {"number": "--num-variations"},
    "restore": {"spoil": "--spoil"},
}
"""Where a command has another name for an option than the others."""
_OUTPUTS = {"draw": "grid.png", "reverse": "reverse.gif", "morph": "morph.gif"}
_COMMANDS = {"draw": "generate", "reverse": "generate", "morph": "morph", "checkup": "info"}


def typed(*words: str) -> str:
    """A command as one types it."""
    return shlex.join(["unnoise", *words])


def train_words(workspace: Workspace, run: Path, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The command that trains or distils such a run, from its settings."""
    data, budget = config.get("data", {}), config.get("budget", {})
    of_run = distilled(config)
    source = str(config.get("init") or "RUN") if of_run else (data.get("source") or "PICTURES")
    words = ["distill" if of_run else "train", named_source(workspace, source), "--out", f"runs/{run.name}"]
    if budget:
        words += [f"--{budget['unit']}", f"{budget['amount']:g}"]
    if of_run:
        return (*words, *_scales(config))
    if config.get("preset"):
        words += ["--preset", str(config["preset"])]
    if data:
        words += ["--size", f"{data['height']}x{data['width']}"]
    return tuple(words)


def _scales(config: Mapping[str, Any]) -> list[str]:
    """Options for the guidance that a distilled run learned; only one with classes takes that of classes."""
    learned = config["recipe"]["mean_velocity"]
    scales = {"autoguidance": learned["walking"].get("autoguidance", 1)}
    if config.get("data", {}).get("classes"):
        scales = {"guidance": learned.get("guidance", 1), **scales}
    known = {name: scale for name, scale in scales.items() if isinstance(scale, int | float)}
    return [word for name, scale in known.items() for word in (f"--{name}", f"{scale:g}")]


def distilled(config: Mapping[str, Any]) -> bool:
    """Whether the run of these settings learned to jump from another."""
    recipe = config.get("recipe")
    learned = recipe.get("mean_velocity") if isinstance(recipe, dict) else None
    return isinstance(learned, dict) and bool(learned.get("walking"))


def named_source(workspace: Workspace, source: str) -> str:
    """A source of pictures as commands name it in the workspace."""
    path = Path(source)
    return workspace.relative(path) if path.is_absolute() and path.is_relative_to(workspace.root) else source


def task_command(kind: str, run: str | None, words: Mapping[str, Any]) -> str | None:
    """The command that does what a task does; None for what only the app and Python do."""
    place = f"runs/{run}"
    if kind == "report":
        return typed("report", place)
    if kind == "export":
        return typed("export", place, "--to", str(words.get("to")), "--out", _export_name(str(words.get("to"))))
    options = _options(kind, words)
    if kind == "checkup":
        return typed("info", str(words.get("pictures")), *options)
    if kind in _COMMANDS:
        return typed(_COMMANDS[kind], place, *options, "--out", _OUTPUTS[kind])
    if kind in _OF_PICTURES:
        picture = ["--from", "PICTURE.png"] if kind == "redraw" else ["PICTURE.png"]
        mask = ["--mask", "MASK.png"] if kind == "inpaint" else []
        return typed(_OF_PICTURES[kind], place, *picture, *mask, *options, "--out", f"{kind}.png")
    return None


def _options(kind: str, words: Mapping[str, Any]) -> list[str]:
    names = _OPTIONS | (_OF_KINDS.get(kind) or {})
    found: list[str] = []
    for name, option in names.items():
        value = words.get(name)
        if value is None or value == "" or value is False:
            continue
        values = [] if value is True else map(str, value) if isinstance(value, list) else [str(value)]
        found += [option, *values]
    if kind == "outpaint" and words.get("height") and words.get("width"):
        found += ["--size", f"{words['height']}x{words['width']}"]
    if kind == "reverse":
        found += ["--num-images", "1"]
    return found


def _export_name(to: str) -> str:
    return {"web": "page.html", "onnx": "model.onnx"}.get(to, "pipeline")
