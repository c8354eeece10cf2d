"""Rows of the benchmark `growth` on machines that follow power laws exactly."""

from benchmarks.growth import BASES, BATCHES, COUNTS, SIDES
from benchmarks.growth_report import Row

POWERS = {"resolution": -1.0, "batch": 0.2, "width": -1.5, "pictures": -0.01}
SIZES = {"resolution": SIDES, "batch": BATCHES, "width": BASES, "pictures": COUNTS}


def rows(machine: str = "One", factor: float = 1e5) -> list[Row]:
    found = []
    for grown, sizes in SIZES.items():
        for size in sizes:
            extent = size**2 if grown == "resolution" else size
            work = None if grown == "pictures" else 0.5
            numbers = None if work else 0.25
            rate = factor * extent ** POWERS[grown]
            command, measured = f"python -m benchmarks.growth --device {machine}", f"Measured on {machine}."
            found.append(Row(machine, grown, size, rate, command, measured, work, numbers, numbers, numbers))
    return found
