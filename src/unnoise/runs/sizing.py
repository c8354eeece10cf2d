"""Size of the network: which preset suits a budget, and how many levels suit the pictures."""

from typing import Literal, NamedTuple

from unnoise.utils.errors import require

# The guesses of this project are these constants; `python -m benchmarks.presets` measures what they guess.
DEVICE_SPEEDS = {"cpu": 1.0, "mps": 5.0, "cuda": 40.0}
"""Speed of a device, where a CPU has 1."""

PRESET_LIMITS = (("nano", 90.0), ("small", 12 * 60.0), ("medium", 4 * 24 * 60.0), ("large", float("inf")))
"""The presets of our family, each with the minutes of a CPU on 32 x 32 pictures below which it is chosen."""

IMAGES_PER_MINUTE = 10_000.0
"""Pictures of 32 x 32 that `nano` trains on in a minute of a CPU; converts steps and images to minutes."""

REFERENCE_SIDE = 32
_SMALLEST_SIDE = 16
"""Smaller pictures are not cut into patches, and count as much as these."""


def num_levels(height: int, width: int, patch_size: int, most: int = 5) -> int:
    """Number of resolution levels, so that the lowest is at most 8 positions across, but from 2 to `most`.

    Fewer where a position of the lowest would be higher than the pictures, which are strips then.
    """
    positions, levels = max(height, width) // patch_size, 1
    while positions > 8 and levels < most and min(height, width) >= patch_size * 2**levels:
        positions, levels = (positions + 1) // 2, levels + 1
    return max(2, levels)


def is_middling(height: int, width: int) -> bool:
    """Whether patches of 4 x 4 leave only two levels: sides of at most 67."""
    return num_levels(height, width, 4) == 2


class PresetChoice(NamedTuple):
    """A preset, and one sentence that gives the reason."""

    name: str
    why: str


def choose_preset(
    device_type: str,
    height: int,
    width: int,
    amount: float,
    unit: Literal["minutes", "steps", "images"] = "minutes",
    batch_size: int = 64,
    devices: int = 1,
) -> PresetChoice:
    """Chooses the preset of our family that suits the devices, the pictures and the budget.

        CPU minutes = minutes * (32 * 32) / (height * width) * speed of a device * number of devices

    Args:
        device_type: cpu, cuda or mps; any other counts as a CPU.
        height, width: of the pictures.
        amount, unit: the budget. Steps and images say how much a network can learn, whatever they cost: device
            and size of pictures don't matter then.
        batch_size: images per step.
        devices: number of devices that train together.
    """
    require_devices(devices)
    if unit == "minutes":
        pixels = max(height * width, _SMALLEST_SIDE**2)
        cpu_minutes = amount * REFERENCE_SIDE**2 / pixels * DEVICE_SPEEDS.get(device_type, 1.0) * devices
    else:
        cpu_minutes = amount * (batch_size if unit == "steps" else 1) / IMAGES_PER_MINUTE
    name, most = next((name, most) for name, most in PRESET_LIMITS if cpu_minutes < most)
    least = max((below for _, below in PRESET_LIMITS if below <= cpu_minutes), default=0.0)
    where = device_type if devices == 1 else f"{devices} x {device_type}"
    budget = _budget_text(where, height, width, amount, unit, cpu_minutes)
    return PresetChoice(name, f"{budget}, and {name} is for {_range_text(least, most)}.")


def require_devices(devices: int) -> None:
    """Raises `UnnoiseError` for fewer than one device."""
    require(devices >= 1, f"At least 1 device trains, but got {devices}. Leave --devices out for 1.")


def _budget_text(device: str, height: int, width: int, amount: float, unit: str, cpu_minutes: float) -> str:
    where = f" on {device} for pictures of {height} x {width}" if unit == "minutes" else ""
    budget = f"{amount:,.12g} {unit if amount != 1 else unit.removesuffix('s')}{where}"
    verb = "is" if amount == 1 else "are"
    side = REFERENCE_SIDE
    return f"{budget} {verb} worth {_duration_text(cpu_minutes)} of a CPU at {side} x {side}"


def _range_text(least: float, most: float) -> str:
    if most == float("inf"):
        return f"{_duration_text(least)} or more"
    return (
        f"{_duration_text(least)} to {_duration_text(most)}" if least else f"less than {_duration_text(most)}"
    )


def _duration_text(minutes: float) -> str:
    """`90 minutes`, `12 hours`, `4 days`: two digits, in the largest unit of which there are at least two."""
    for unit, size in (("days", 24 * 60.0), ("hours", 60.0), ("minutes", 1.0)):
        if minutes >= 2 * size:
            return f"{float(f'{minutes / size:.2g}'):,g} {unit}"
    return "less than 2 minutes" if minutes < 1.5 else "2 minutes"
