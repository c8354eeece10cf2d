"""Trace of one plain training step: the files and functions of unnoise that it passes through.

    python tests/step_trace.py

Plain is what the README shows: uniform noise levels, one process, no accumulation, no classes. Comprehensions
and lambdas are not counted, nor what runs inside the network.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import torch

import unnoise
from unnoise import Diffusion, Normalizer, Objective, OffsetCosine, UNet

ROOT = f"{Path(unnoise.__file__).parent}/"


def step() -> Callable[[], object]:
    """A training step that is ready to be taken, after one that warmed up."""
    images = torch.rand(8, 1, 8, 8)
    diffusion = Diffusion(
        UNet(channels=1, widths=(32, 64)),
        image_shape=(1, 8, 8),
        normalizer=Normalizer.fit(images),
        schedule=OffsetCosine(0.02, 0.95),
        objective=Objective("velocity", "velocity", "l2"),
    )
    diffusion.train_step(images)
    return lambda: diffusion.train_step(images)


def traced(act: Callable[[], object]) -> dict[str, list[str]]:
    """{file: functions} in the order of their first call, without those of and called by the networks."""
    seen: dict[str, list[str]] = {}
    inside = 0

    def profile(frame, event: str, _argument: object) -> None:
        nonlocal inside
        code = frame.f_code
        file = code.co_filename.removeprefix(ROOT)
        network = file.startswith("networks/") and code.co_name in {"forward", "backward"}
        inside += network * {"call": 1, "return": -1}.get(event, 0)
        if event != "call" or inside or file == code.co_filename or code.co_name.startswith("<"):
            return
        functions = seen.setdefault(file, [])
        if code.co_qualname not in functions:
            functions.append(code.co_qualname)

    sys.setprofile(profile)
    try:
        act()
    finally:
        sys.setprofile(None)
    return seen


if __name__ == "__main__":
    found = traced(step())
    print(f"{len(found)} files, {sum(map(len, found.values()))} functions")  # noqa: T201
    for file, functions in found.items():
        print(f"{file}: {', '.join(functions)}")  # noqa: T201
