"""Settings of a run as the command that trains it again, and the differences between several config.json."""

import json
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace

from unnoise.runs.config import RunConfig
from unnoise.runs.conversion import plain
from unnoise.runs.data_config import DataConfig
from unnoise.runs.distillation import knows_classes
from unnoise.runs.presets import recipe
from unnoise.utils.errors import UnnoiseError

_WIDTH = 44
"""Characters in a line of a command, so that it fits on a phone."""


def train_command(config: RunConfig) -> str:
    """The command that trains the same again: the preset, and every setting that differs from it.

    That of an imported run imports it again, and goes on with its pictures if it has any; that of a distilled
    run distils again.
    """
    data, budget = config.data, config.budget
    spent = [f"--{budget.unit}", f"{budget.amount:.12g}"]
    if config.imported is not None:
        again = _wrapped([["unnoise", "import", config.imported], ["--out", "RUN"]])
        resumed = [["unnoise", "train", data.source], ["--out", "RUN"], ["--resume"], spent]
        return f"{again}\n{_wrapped(resumed)}" if data.source else again
    learned = config.recipe.mean_velocity
    if learned is not None and learned.walking is not None:
        guided = [["--guidance", f"{learned.guidance:.12g}"]] if knows_classes(config.recipe.network) else []
        guided.append(["--autoguidance", f"{learned.walking.autoguidance:.12g}"])
        return _wrapped([["unnoise", "distill", config.init or "RUN"], spent, *guided, ["--out", "NEW"]])
    options = [
        ["--preset", config.preset],
        spent,
        ["--size", f"{data.height}x{data.width}"],
        ["--channels", str(data.channels)],
        ["--batch-size", str(config.recipe.batch_size)],
        ["--seed", str(config.seed)],
        ["--precision", config.precision],  # a new run might find another one faster
        ["--split-folders"] if data.held_out_ranges else ["--held-out", str(data.held_out)],
    ]
    if data.fit != "crop":
        options.append(["--fit", data.fit])
    if data.background != (255, 255, 255):
        options.append(["--background", "#{:02x}{:02x}{:02x}".format(*data.background)])
    options += value_options(data)
    flags = {"--flip": data.flip, "--until-converged": config.until_converged}
    flags["--deterministic"] = config.deterministic
    options += [[name] for name, wanted in flags.items() if wanted]
    if data.labels is not None:
        options.append(["--labels", data.labels])
    if config.init is not None:
        options.append(["--init", config.init])
    changes = changed_settings(config)
    if changes:
        options += [["--set", changes[0]], *([change] for change in changes[1:])]
    return _wrapped([["unnoise", "train", data.source], *options])


def value_options(data: DataConfig) -> list[list[str]]:
    """The options --range and --layout of these pictures, as far as they need any."""
    ends = {(one.low, one.high) for one in data.ranges}
    # Several ranges are found again from the pictures, and cannot be named in one option.
    ranges = [["--range", *(f"{end:.12g}" for end in ends.pop())]] if len(ends) == 1 else []
    return [*ranges, *([["--layout", data.layout]] if data.layout is not None else [])]


def _wrapped(groups: Sequence[Sequence[str]]) -> str:
    """A shell command in lines that end in a backslash; an option stays on a line with its value."""
    lines = [""]
    for group in map(shlex.join, groups):
        if lines[-1] and len(lines[-1]) + len(group) >= _WIDTH:
            lines.append(" ")
        lines[-1] += f" {group}" if lines[-1] else group
    return " \\\n".join(lines)


def changed_settings(config: RunConfig) -> list[str]:
    """Settings that differ from the preset, as `--set` takes them; empty for an unknown preset."""
    data = config.data
    try:
        preset = recipe(config.preset, data.channels, data.height, data.width)
    except UnnoiseError:
        return []
    preset = replace(preset, batch_size=config.recipe.batch_size)
    # --labels sets them, or the run of --init, or else the number of pictures, up to a setting of their own.
    chosen = data.classes or config.init is not None or config.recipe.clusters >= config.num_clusters > 0
    told = {"network.num_classes", "network.clusters"} if chosen else set()
    own = config.recipe
    own = own.with_polish(0.0) if own.find_polish else own  # it was found, not chosen
    pairs = _unlike(plain(preset), plain(own))
    return [f"{path}={_word(value)}" for path, value in pairs if path not in told]


def _unlike(before: object, after: object, path: str = "") -> list[tuple[str, object]]:
    if isinstance(before, dict) and isinstance(after, dict) and before.keys() == after.keys():
        return [
            pair
            for name in after
            for pair in _unlike(before[name], after[name], f"{path}.{name}" if path else str(name))
        ]
    # Tuples and lists are the same in JSON.
    return [] if json.dumps(before) == json.dumps(after) else [(path, after)]


def _word(value: object) -> str:
    # A word needs no quotes, unless JSON would read it as a constant.
    word = isinstance(value, str) and re.fullmatch(r"[a-z][\w-]*", value) and value not in _JSON_WORDS
    return str(value) if word else json.dumps(value)


_JSON_WORDS = {"true", "false", "null"}


def flat(values: object, path: str = "") -> dict[str, str]:
    """Nested settings as one level, by path: {"recipe.objective.loss": "l2", ...}."""
    if isinstance(values, dict) and values:
        leaves: dict[str, str] = {}
        for name, value in values.items():
            leaves |= flat(value, f"{path}.{name}" if path else str(name))
        return leaves
    return {path: values if isinstance(values, str) else json.dumps(values)}


def differences(configs: Sequence[RunConfig]) -> dict[str, list[str | None]]:
    """The paths at which config.json differs between runs, with each run's value, or None where it has none."""
    leaves = [flat(plain(config)) for config in configs]
    paths = list(dict.fromkeys(path for each in leaves for path in each))
    values = {path: [each.get(path) for each in leaves] for path in paths}
    return {path: each for path, each in values.items() if len(set(each)) > 1}


def shortened(values: Sequence[str | None]) -> list[str | None]:
    """Values with numbers cut to six digits and hashes to eight, unless different values would look alike."""
    short = [None if value is None else _LONG.sub(_short, value) for value in values]
    return short if len(set(short)) == len(set(values)) else list(values)


_LONG = re.compile(r"\b[0-9a-f]{16,}\b|-?\b\d+\.\d+(?:e-?\d+)?\b")


def _short(found: re.Match[str]) -> str:
    return f"{float(found[0]):.6g}" if "." in found[0] else found[0][:8]
