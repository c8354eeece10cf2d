"""What `unnoise train --profile` prints: where the time of a training step goes, and what holds it up."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.reporting import tell, tell_result
from unnoise.api.tables import table

if TYPE_CHECKING:
    from unnoise.runs.checkpoint import Run
    from unnoise.trainer.profiling import StepProfile, StepProfiler

_NOTEWORTHY = 0.05
"""A larger share of a step than this is worth a message."""


def silence_profiler() -> None:
    """Keeps PyTorch's profiler from logging, unless the user set its level; before PyTorch is imported."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")


def step_profiler(run: "Run", device: str) -> "StepProfiler":
    """The profiler of a run's steps, which prints what it finds."""
    import torch

    from unnoise.runs.history import read_events
    from unnoise.trainer.guards.adjustments import Adjustments
    from unnoise.trainer.profiling import StepProfiler

    # A guard may have gone back to float32.
    precision = Adjustments.of(read_events(run.path)).precision(run.config.precision)
    return StepProfiler(run.path / "profile", torch.device(device), precision, _print_profile)


def _print_profile(profile: "StepProfile") -> None:
    """Prints a table of where the time of a step goes, and the share of the device's peak speed."""
    rows = table("time of a training step", "ms", "%")
    whole = sum(profile.kinds.values())
    for kind, spent in profile.kinds.items():
        rows.add_row(kind, f"{spent:.2f}", f"{spent / whole:.1%}".rstrip("%"))
    rows.add_row("all", f"{whole:.2f}", "100")
    tell(rows)
    for sentence in profile_sentences(profile):
        tell(sentence)
    if profile.trace is not None:
        tell_result("profile (open it in ui.perfetto.dev)", Path(profile.trace))


def profile_sentences(profile: "StepProfile") -> list[str]:
    """The speed of a step, and what holds it up."""
    told = [
        f"Without the profiler a step takes {profile.milliseconds:.1f} ms for {profile.gigaflops:.3g} GFLOP: "
        f"{profile.speed:,.0f} GFLOP/s, {profile.peak_share:.0%} of the {profile.peak.gflops:,.0f} that "
        f"{profile.peak.operation}, the fastest of its operations, reaches on this device."
    ]
    if profile.idle is not None and profile.idle > _NOTEWORTHY:
        told.append(
            f"The device is idle for {profile.idle:.0%} of a step, because Python is slower: a larger "
            "--batch-size, or --compile, keeps it busy."
        )
    waits = "waits for them" if profile.data > _NOTEWORTHY else "does not wait for them"
    told.append(f"Loading the pictures takes {profile.data:.1%} of a step: training {waits}.")
    return told
