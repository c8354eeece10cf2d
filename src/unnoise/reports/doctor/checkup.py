"""Everything that can be known of pictures before a step is spent on them."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unnoise.data import ImageSet, Settings, Summary
from unnoise.data.batches import split
from unnoise.data.summary import LARGEST_NATURAL_SIDE
from unnoise.reports.doctor.balance import Balance
from unnoise.reports.doctor.copies import Copies, find_copies
from unnoise.reports.doctor.disk import Disk, disk
from unnoise.reports.doctor.file_findings import of_files, unreadable
from unnoise.reports.doctor.findings import Finding, of_classes, of_copies, of_machine, of_number, of_pixels
from unnoise.reports.doctor.forecast import Forecast, forecast
from unnoise.reports.doctor.speed import Speed, measure_speed
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import Wishes, chosen_preset, plan
from unnoise.training.loop import choose_device

_BLANK = 2.0
"""Grey levels by which pictures vary at least if there is anything to be seen."""

_BRIEFLY = 20_000
_BRIEFLY_VALUES = 128 * 2**20
"""More pictures, or values in them, are not searched for copies while a run waits to begin."""


@dataclass(frozen=True, eq=False)
class Checkup:
    """What is known of a source."""

    summary: Summary
    images: ImageSet
    names: tuple[str, ...]
    """Of the pictures, in order; those of an array are numbered."""
    config: RunConfig
    """What training would do."""
    reasons: dict[str, str]
    """Why this size, these channels and this preset."""
    copies: Copies
    balance: Balance | None
    speed: Speed | None
    disk: Disk
    forecast: Forecast | None
    findings: tuple[Finding, ...]


def examine(
    summary: Summary,
    images: ImageSet,
    wishes: Wishes,
    *,
    device: str = "auto",
    measure: bool = True,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[str, float], object] = lambda _, __: None,
) -> Checkup:
    """Plans a run on these pictures, trains for a second unless told not to, and looks at every picture.

    Args:
        summary, images: of the same source; the images are as `wishes` has them.
        progress: hears what is being done, and which part of it is done.

    Raises:
        UnnoiseError: for a wish that can't be had.
    """
    chosen = choose_device(device)
    config, choice = plan(images, wishes, chosen.type), chosen_preset(images, wishes, chosen.type)
    progress("Training for a second", 0)
    speed = measure_speed(config, images, chosen, clock=clock) if measure else None
    copies = find_copies(images.pixels, progress=lambda part: progress("Looking for copies", part))
    checkup = Checkup(
        summary=summary,
        images=images,
        names=_names(summary, images),
        config=config,
        reasons=_reasons(summary, wishes, choice.why if choice else "as asked"),
        copies=copies,
        balance=_balance(summary, images),
        speed=speed,
        disk=disk(config, images),
        forecast=None if speed is None else forecast(config, len(images), speed),
        findings=(),
    )
    # Python sorts stably, so that each half keeps its order.
    findings = sorted(_findings(checkup), key=lambda finding: not finding.serious)
    return replace(checkup, findings=tuple(findings))


def in_brief(images: ImageSet, config: RunConfig) -> list[str]:
    """A few sentences at the start of a run: of what takes a moment to find, and needs no names."""
    findings = of_pixels(["" for _ in blank(images)])
    if len(images) <= _BRIEFLY and images.pixels.size <= _BRIEFLY_VALUES:
        findings += _of_copies(
            find_copies(images.pixels), images, config, tuple("" for _ in range(len(images)))
        )
    findings += of_number(len(images), flip=config.data.flip)
    counts = _counted(images)
    return [finding.text for finding in findings + (of_classes(Balance(counts)) if counts else [])]


def blank(images: ImageSet) -> list[int]:
    """The places of pictures on which nothing is to be seen: no channel varies by 2 grey levels."""
    means = images.moments / (images.height * images.width)
    variances = means[:, 1] - np.square(means[:, 0])
    places: list[int] = np.flatnonzero(variances.max(1) < _BLANK**2).tolist()
    return places


def _findings(checkup: Checkup) -> list[Finding]:
    images, config, names = checkup.images, checkup.config, checkup.names
    data = config.data
    settings = Settings((data.height, data.width), data.channels, data.fit, data.background)
    minutes = config.budget.amount if config.budget.unit == "minutes" else None
    free = shutil.disk_usage(Path.cwd()).free
    return [
        *unreadable(images.skipped),
        *of_files(checkup.summary.headers, settings),
        *of_pixels([names[place] for place in blank(images)]),
        *_of_copies(checkup.copies, images, config, names),
        *of_number(len(images), flip=data.flip),
        *(of_classes(checkup.balance) if checkup.balance else []),
        *of_machine(checkup.forecast, checkup.disk.run, free, minutes),
    ]


def _of_copies(copies: Copies, images: ImageSet, config: RunConfig, names: tuple[str, ...]) -> list[Finding]:
    straddling = copies.straddling(split(len(images), config.data.held_out, config.seed))
    return of_copies(copies, straddling, names, channels=images.channels)


def _names(summary: Summary, images: ImageSet) -> tuple[str, ...]:
    skipped = {one.name for one in images.skipped}
    named = tuple(name for name in summary.headers if name not in skipped)
    return named if len(named) == len(images) else tuple(f"#{place}" for place in range(len(images)))


def _counted(images: ImageSet) -> dict[str, int]:
    """How many pictures each class has that was asked for."""
    if images.labels is None:
        return {}
    numbers = np.bincount(images.labels, minlength=len(images.class_names)).tolist()
    return dict(zip(images.class_names, numbers, strict=True))


def _balance(summary: Summary, images: ImageSet) -> Balance | None:
    counts = _counted(images) or summary.classes
    return Balance(counts) if counts else None


def _reasons(summary: Summary, wishes: Wishes, preset: str) -> dict[str, str]:
    height, width = summary.largest
    alike = summary.smallest == summary.largest
    if wishes.size:
        size = "as asked"
    elif alike and max(height, width) <= LARGEST_NATURAL_SIDE:
        size = "as all of them are"
    else:
        size = f"all are {height} x {width}, much to begin with" if alike else "they differ in size"
    grey = "all are grey" if summary.proposed_channels == 1 else "they have colours"
    if not summary.headers:
        grey = "as in the array"
    return {
        "size": size,
        "channels": "as asked" if wishes.channels else grey,
        "preset": preset,
    }
