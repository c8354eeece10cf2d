"""Numbers, durations and intervals as text, with no more digits than are meaningful."""

import math

MISSING = "–"


def number(value: float | None) -> str:
    """A number to four digits: `0.01234`, `1,234`, `12.35`; a dash where it is missing or not finite."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    text = f"{value:.4g}".replace("e-0", "e-")
    return text if "e" not in text or abs(value) < 1 else f"{value:,.0f}"


def duration(seconds: float) -> str:
    """A duration: `45 s`, `12.3 min`, `3.4 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


def time_unit(seconds: float) -> tuple[str, float]:
    """The unit for a time axis of so many seconds, and its length in seconds."""
    if seconds < 180:
        return "seconds", 1.0
    return ("minutes", 60.0) if seconds < 10800 else ("hours", 3600.0)


def percent(value: float | None) -> str:
    """A share as a percentage: `4.2 %` for 0.042; a dash where it is missing."""
    return MISSING if value is None or not math.isfinite(value) else f"{100 * value:.3g} %"


def count(amount: int, noun: str) -> str:
    """A number of things: `1 step`, `60,000 steps`."""
    return f"{amount:,} {noun}{'' if amount == 1 else 's'}"


def between(low: float | None, high: float | None, *, percents: bool = False) -> str:
    """An interval: `0.0070 to 0.0163`, to two digits of its half width; empty where unknown."""
    if low is None or high is None or not math.isfinite(high - low):
        return ""
    low, high = (100 * end if percents else end for end in (low, high))
    half = (high - low) / 2 or abs(low) or 1.0
    decimals = min(12, max(0, 1 - math.floor(math.log10(abs(half)))))
    return f"{low:,.{decimals}f} to {high:,.{decimals}f}{' %' if percents else ''}"
