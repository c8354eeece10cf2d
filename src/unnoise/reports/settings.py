"""A run's config.json is a command that was typed, and two of them differ in a few paths."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

from unnoise.runs.config import RunConfig
from unnoise.runs.conversion import plain
from unnoise.runs.presets import recipe
from unnoise.utils.errors import UnnoiseError

_WIDTH = 44
"""Letters in a line of a command, so that it can be read on a phone."""


def command(config: RunConfig) -> str:
    """What to type to train the same again: the preset, and every choice that is not the preset's."""
    data, budget = config.data, config.budget
    options = [
        ["--preset", config.preset],
        [f"--{budget.unit}", f"{budget.amount:.12g}"],
        ["--size", f"{data.height}x{data.width}"],
        ["--channels", str(data.channels)],
        ["--batch-size", str(config.recipe.batch_size)],
        ["--seed", str(config.seed)],
        ["--held-out", str(data.held_out)],
    ]
    if data.fit != "crop":
        options.append(["--fit", data.fit])
    if data.background != (255, 255, 255):
        options.append(["--background", "#{:02x}{:02x}{:02x}".format(*data.background)])
    if data.flip:
        options.append(["--flip"])
    if config.precision != "float32":
        options.append(["--precision", config.precision])
    if data.labels is not None:
        options.append(["--labels", data.labels])
    changes = changed(config)
    if changes:
        options += [["--set", changes[0]], *([change] for change in changes[1:])]
    return _wrapped([["unnoise", "train", data.source], *options])


def _wrapped(groups: Sequence[Sequence[str]]) -> str:
    """The words for a shell, in lines that go on after a backslash; an option stays with its value."""
    lines = [""]
    for group in map(shlex.join, groups):
        if lines[-1] and len(lines[-1]) + len(group) >= _WIDTH:
            lines.append(" ")
        lines[-1] += f" {group}" if lines[-1] else group
    return " \\\n".join(lines)


def changed(config: RunConfig) -> list[str]:
    """Where the recipe is not the preset's, as `--set` takes it; none of a preset that this unnoise lacks."""
    data = config.data
    try:
        preset = recipe(config.preset, data.channels, data.height, data.width)
    except UnnoiseError:
        return []
    preset = replace(preset, batch_size=config.recipe.batch_size)
    told = {"network.num_classes"} if data.classes else set()  # --labels sets it
    pairs = _unlike(plain(preset), plain(config.recipe))
    return [f"{path}={_word(value)}" for path, value in pairs if path not in told]


def _unlike(before: object, after: object, path: str = "") -> list[tuple[str, object]]:
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        return [
            pair
            for name in after
            for pair in _unlike(before[name], after[name], f"{path}.{name}" if path else str(name))
        ]
    # Tuples and lists are the same in JSON.
    return [] if _packed(before) == _packed(after) else [(path, after)]


def _word(value: object) -> str:
    # A word stands for itself, unless JSON reads it otherwise.
    word = isinstance(value, str) and re.fullmatch(r"[a-z][\w-]*", value) and value not in _JSON_WORDS
    return str(value) if word else _packed(value)


_JSON_WORDS = {"true", "false", "null"}


def _packed(value: object) -> str:
    return json.dumps(value)


def flat(values: object, path: str = "") -> dict[str, str]:
    """Every leaf of nested settings under its path: {"recipe.objective.loss": "l2", ...}."""
    if isinstance(values, dict) and values:
        leaves: dict[str, str] = {}
        for name, value in values.items():
            leaves |= flat(value, f"{path}.{name}" if path else str(name))
        return leaves
    return {path: values if isinstance(values, str) else _packed(values)}


def differences(configs: Sequence[RunConfig]) -> dict[str, list[str | None]]:
    """The paths of config.json at which these runs differ, with each one's value; None where one has none."""
    leaves = [flat(plain(config)) for config in configs]
    paths = list(dict.fromkeys(path for each in leaves for path in each))
    values = {path: [each.get(path) for each in leaves] for path in paths}
    return {path: each for path, each in values.items() if len(set(each)) > 1}


def readable(values: Sequence[str | None]) -> list[str | None]:
    """The same values, numbers to six digits and hashes to eight, as long as that tells the same apart."""
    short = [None if value is None else _LONG.sub(_shortened, value) for value in values]
    return short if len(set(short)) == len(set(values)) else list(values)


_LONG = re.compile(r"\b[0-9a-f]{16,}\b|-?\b\d+\.\d+(?:e-?\d+)?\b")


def _shortened(found: re.Match[str]) -> str:
    return f"{float(found[0]):.6g}" if "." in found[0] else found[0][:8]
