"""What a preset costs is counted from its network; how fast and good it was stands in a file, or nowhere."""

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import NamedTuple

import torch

from unnoise.networks import NetworkConfig, build
from unnoise.utils.roofline import flops

FILE = "measured.toml"


class Size(NamedTuple):
    """Of a network."""

    parameters: int
    gigaflops: float
    """Of an image's way forward, products and convolutions; training takes about three times as many."""


def size_of(config: NetworkConfig, height: int, width: int) -> Size:
    """Counted without computing anything: fake tensors have a shape, and no values."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode(), torch.no_grad():
        network = build(config).eval()
        images, told = torch.empty(1, config.channels, height, width), torch.empty(1, 1, 1, 1)
        work = flops(lambda: network(images, told))
    return Size(sum(weight.numel() for weight in network.parameters()), work / 1e9)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was measured of one preset; None where nobody has."""

    images_per_second: float | None = None
    """Of whole training steps."""
    megabytes: float | None = None
    """At the highest, of a fresh process that trains."""
    roof_share: float | None = None
    """Of the multiplications that a large product of matrices does."""
    score: str | None = None


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """All of them, and a sentence that says how and where they were taken."""

    how: str = ""
    presets: Mapping[str, Measured]


def measurements(text: str | None = None) -> Measurements:
    """Reads what `python -m benchmarks.presets` has written: this text, or the file that comes with unnoise."""
    if text is None:
        text = files("unnoise.runs").joinpath(FILE).read_text("utf-8")
    found = tomllib.loads(text)
    rows = {name: Measured(**row) for name, row in found.get("presets", {}).items()}
    return Measurements(how=found.get("how", ""), presets=rows)


def to_toml(measured: Measurements) -> str:
    """The text that `measurements` reads; what was not measured is left out."""
    lines = [
        "# What `unnoise presets` shows beside each preset; written by python -m benchmarks.presets.",
        f'how = "{measured.how}"',
    ]
    for name, row in measured.presets.items():
        lines += ["", f"[presets.{name}]"]
        for key, value in asdict(row).items():
            if value is not None:
                lines.append(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value:.4g}")
    return "\n".join(lines) + "\n"
