"""Measured speed, memory and scores of the presets, and forecasts for pictures of other sizes from them."""

import math
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import NamedTuple

from unnoise.runs.conversion import structured
from unnoise.runs.footprint import memory_bytes, network_size
from unnoise.runs.presets import recipe

MEASURED_CHANNELS = 3
"""The presets are measured on square pictures in colour."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """What training a preset took on square pictures in colour."""

    side: int
    """Of the pictures, in pixels."""
    batch: int
    """Images in each step."""
    images_per_second: float
    """Of whole training steps."""
    megabytes: float
    """Peak memory of a fresh process that trains."""
    peak_share: float
    """Share of the FLOP/s of the fastest operation of the libraries that training reaches."""


@dataclass(frozen=True, kw_only=True)
class PresetCost:
    """What is known of a preset: measurements by size, and a score."""

    score: str | None = None
    measured: tuple[Measurement, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PresetCosts:
    """Measured costs of all presets, and a sentence that says how and where they were measured."""

    how: str = ""
    presets: Mapping[str, PresetCost]


class Figure(NamedTuple):
    """A number, and whether it was measured rather than forecast."""

    value: float
    measured: bool


def images_per_second(name: str, cost: PresetCost, channels: int, height: int, width: int) -> Figure | None:
    """Training speed of a preset on pictures of this shape; None where it was never measured.

    Where this shape was not measured, the time of an image grows with its operations from the nearest size.
    """
    if not cost.measured:
        return None
    exact = _exact(cost, channels, height, width)
    if exact is not None:
        return Figure(exact.images_per_second, measured=True)
    nearest = min(cost.measured, key=lambda one: abs(math.log(one.side**2 / (height * width))))
    there, here = (
        network_size(recipe(name, *shape).network, *shape[1:]).gigaflops
        for shape in ((MEASURED_CHANNELS, nearest.side, nearest.side), (channels, height, width))
    )
    return Figure(nearest.images_per_second * there / here, measured=False)


def megabytes(name: str, cost: PresetCost, channels: int, height: int, width: int) -> Figure:
    """Peak memory of training a preset with its own batch size, in 10^6 bytes; see `footprint.memory_bytes`."""
    exact, chosen = _exact(cost, channels, height, width), recipe(name, channels, height, width)
    if exact is not None and exact.batch == chosen.batch_size:
        return Figure(exact.megabytes, measured=True)
    return Figure(memory_bytes(chosen, height, width) / 1e6, measured=False)


def _exact(cost: PresetCost, channels: int, height: int, width: int) -> Measurement | None:
    if channels != MEASURED_CHANNELS or height != width:
        return None
    return next((one for one in cost.measured if one.side == height), None)


def read_preset_costs(text: str | None = None) -> PresetCosts:
    """Reads what `python -m benchmarks.presets` has written: this text, or measured.toml beside this module."""
    if text is None:
        text = files("unnoise.runs").joinpath("measured.toml").read_text("utf-8")
    return structured(tomllib.loads(text), PresetCosts, "measured.toml")


def preset_costs_to_toml(costs: PresetCosts) -> str:
    """The text that `read_preset_costs` reads; leaves out what was not measured."""
    lines = [
        "# What `unnoise presets` shows beside each preset; written by python -m benchmarks.presets.",
        f'how = "{costs.how}"',
    ]
    for name, cost in costs.presets.items():
        lines += ["", f"[presets.{name}]"]
        if cost.score is not None:
            lines.append(f'score = "{cost.score}"')
        for one in cost.measured:
            lines += ["", f"[[presets.{name}.measured]]"]
            lines += [f"{key} = {value:.4g}" for key, value in asdict(one).items()]
    return "\n".join(lines) + "\n"
