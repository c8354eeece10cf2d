"""A budget is worth what a device makes of it on pictures of a size; the largest network it feeds is chosen."""

from typing import Literal, NamedTuple

# All that is guessed stands here, to be tuned by what `python -m benchmarks.presets` measures.
WORTH = {"cpu": 1.0, "mps": 5.0, "cuda": 40.0}
"""A minute of a device, in minutes of a CPU."""

FITTING = (("nano", 90.0), ("small", 12 * 60.0), ("medium", 4 * 24 * 60.0), ("large", float("inf")))
"""Each size of our family with the CPU-minutes, on pictures of 32 x 32, below which it is enough."""

IMAGES_A_MINUTE = 10_000.0
"""What `nano` sees of 32 x 32 in a minute of a CPU: so budgets of steps and images are minutes, too."""

USUAL_SIDE = 32
_SMALLEST_SIDE = 16
"""Smaller pictures are not cut into patches any more, and cost as much as these."""


class Choice(NamedTuple):
    """A preset, and a sentence that says why."""

    name: str
    why: str


def choose(
    device_type: str,
    height: int,
    width: int,
    amount: float,
    unit: Literal["minutes", "steps", "images"] = "minutes",
    batch_size: int = 64,
) -> Choice:
    """The size of our family that suits a device, pictures, and how long there is.

        CPU-minutes = minutes * (32 * 32) / (height * width) * worth of the device

    Args:
        device_type: cpu, cuda, mps; of any other it is not known that it is faster than a CPU.
        height, width: of the pictures.
        amount, unit: the budget. Of steps and images it is known what a network can learn from them, whatever
            they cost: device and size don't matter then.
        batch_size: images a step.
    """
    if unit == "minutes":
        pixels = max(height * width, _SMALLEST_SIDE**2)
        worth = amount * USUAL_SIDE**2 / pixels * WORTH.get(device_type, 1.0)
    else:
        worth = amount * (batch_size if unit == "steps" else 1) / IMAGES_A_MINUTE
    name, most = next((name, most) for name, most in FITTING if worth < most)
    least = max((below for _, below in FITTING if below <= worth), default=0.0)
    asked = _asked(device_type, height, width, amount, unit, worth)
    return Choice(name, f"{asked}, and {name} is for {_range(least, most)}.")


def _asked(device_type: str, height: int, width: int, amount: float, unit: str, worth: float) -> str:
    where = f" on {device_type} for pictures of {height} x {width}" if unit == "minutes" else ""
    budget = f"{amount:,.12g} {unit if amount != 1 else unit.removesuffix('s')}{where}"
    verb = "is" if amount == 1 else "are"
    side = USUAL_SIDE
    return f"{budget} {verb} worth {_span(worth)} of a CPU at {side} x {side}"


def _range(least: float, most: float) -> str:
    if most == float("inf"):
        return f"{_span(least)} or more"
    return f"{_span(least)} to {_span(most)}" if least else f"less than {_span(most)}"


def _span(minutes: float) -> str:
    """`90 minutes`, `12 hours`, `4 days`: two digits, in the largest unit of which there are at least two."""
    for unit, size in (("days", 24 * 60.0), ("hours", 60.0), ("minutes", 1.0)):
        if minutes >= 2 * size:
            return f"{float(f'{minutes / size:.2g}'):,g} {unit}"
    return "less than 2 minutes" if minutes < 1.5 else "2 minutes"
