"""`unnoise train --profile`: where the time of a step goes, told while the run goes on."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.cli.console import result, say, stderr

if TYPE_CHECKING:
    from unnoise.runs.checkpoint import Run
    from unnoise.training.profiling import Profile, StepProfiler

_WAITS = 0.05
"""A larger part of a step than this is worth a word."""


def quieten() -> None:
    """PyTorch's profiler, once PyTorch is loaded, speaks of its own affairs, unless it was told before."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def profiler(run: "Run", device: str) -> "StepProfiler":
    """What looks at the steps of this run, and shows what it finds."""
    import torch

    from unnoise.training.profiling import StepProfiler

    return StepProfiler(run.path / "profile", torch.device(device), run.config.precision, show)


def show(profile: "Profile") -> None:
    """Prints a table of where the time goes, and how much of the device's roof that is."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("where the time of a step goes")
    table.add_column("ms", justify="right")
    table.add_column("%", justify="right")
    whole = sum(profile.kinds.values())
    for kind, spent in profile.kinds.items():
        table.add_row(kind, f"{spent:.2f}", f"{spent / whole:.1%}".rstrip("%"))
    table.add_row("all", f"{whole:.2f}", "100")
    stderr().print(table)
    for sentence in sentences(profile):
        say(sentence)
    if profile.trace is not None:
        result("profile (for ui.perfetto.dev)", Path(profile.trace))


def sentences(profile: "Profile") -> list[str]:
    """What there is to say besides."""
    told = [
        f"A step takes {profile.milliseconds:.1f} ms where nothing records it, for {profile.gigaflops:.3g} "
        f"GFLOP: {profile.speed:,.0f} GFLOP/s, {profile.roof_share:.0%} of the {profile.roof:,.0f} that a "
        "large product of matrices reaches here."
    ]
    if profile.idle is not None and profile.idle > _WAITS:
        told.append(
            f"The device is idle for {profile.idle:.0%} of a step, so that Python holds it up: a larger "
            "--batch-size, or --compile, keeps it busy."
        )
    waits = "waits for them" if profile.data > _WAITS else "does not wait for them"
    told.append(f"Fetching the pictures takes {profile.data:.1%} of a step: training {waits}.")
    return told


def unfinished(watching: "StepProfiler") -> None:
    """Says so, where the steps ended before all was seen."""
    if not watching.done:
        say(
            f"There is no profile: it takes {watching.needed} steps, but the run ended after {watching.taken}: "
            "give it a larger budget."
        )
