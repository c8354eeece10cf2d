"""Checkup of a source of pictures: the planned run, its cost, and all findings."""

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unnoise.data import DecodeSettings, ImageSet, Summary
from unnoise.data.decoding.conversion import background_pixel
from unnoise.data.sources.source import LARGEST_NATURAL_SIDE
from unnoise.reports.doctor.balance import Balance
from unnoise.reports.doctor.copies import Copies, find_copies
from unnoise.reports.doctor.disk import disk_use
from unnoise.reports.doctor.file_findings import header_findings, skipped_findings
from unnoise.reports.doctor.findings import (
    Finding,
    blank_findings,
    class_findings,
    copy_findings,
    count_findings,
    machine_findings,
)
from unnoise.reports.doctor.forecast import Forecast, forecast_run
from unnoise.reports.doctor.speed import Speed, measure_speed
from unnoise.runs.config import RunConfig
from unnoise.runs.footprint import DiskUse
from unnoise.runs.plan import TrainOptions, default_preset, plan
from unnoise.trainer.loop import choose_device
from unnoise.trainer.precision_choice import choose_precision
from unnoise.utils.precision import DeviceCapabilities

_BLANK = 2.0
"""Standard deviation, in grey levels, below which a picture is blank."""

MOST_BRIEF_PICTURES = 20_000
MOST_BRIEF_VALUES = 128 * 2**20
"""More pictures, or numbers in all of them, are not searched for copies while a run waits to start."""


@dataclass(frozen=True, eq=False)
class Checkup:
    """Everything the data doctor knows about a source."""

    summary: Summary
    images: ImageSet
    names: tuple[str, ...]
    """Names of the pictures, in order; those of an array are numbered."""
    config: RunConfig
    """The run that training would start."""
    reasons: dict[str, str]
    """Why this size, these channels and this preset."""
    devices: int
    """How many devices would train together."""
    copies: Copies
    balance: Balance | None
    speed: Speed | None
    disk: DiskUse
    forecast: Forecast | None
    findings: tuple[Finding, ...]


def examine(
    summary: Summary,
    images: ImageSet,
    options: TrainOptions,
    *,
    device: str = "auto",
    measure: bool = True,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[str, float], object] = lambda _, __: None,
) -> Checkup:
    """Plans a run on these pictures, measures a second of training, and examines every picture.

    Args:
        summary, images: of the same source, the images loaded as asked for.
        device: to train on.
        measure: false leaves out the second of training, and with it speed and forecast.
        clock: seconds.
        progress: called with the current task and the part of it that is done.

    Raises:
        UnnoiseError: for options that cannot be met.
    """
    chosen = choose_device(device)
    config = plan(images, options, DeviceCapabilities.of(chosen))
    if measure and chosen.type == "cpu" and options.precision is None:
        config = replace(config, precision=choose_precision(config).precision)  # as training does
    choice = default_preset(images, options, chosen.type)
    progress("Training for a second", 0)
    devices = options.devices or 1
    speed = measure_speed(config, images, chosen, devices, clock=clock) if measure else None
    copies = find_copies(images.pixels, progress=lambda part: progress("Looking for copies", part))
    checkup = Checkup(
        summary=summary,
        images=images,
        names=_names(summary, images),
        config=config,
        reasons=_reasons(summary, options, choice.why if choice else "as asked"),
        devices=devices,
        copies=copies,
        balance=_balance(summary, images),
        speed=speed,
        disk=disk_use(config, images),
        forecast=None if speed is None else forecast_run(config, len(images), speed),
        findings=(),
    )
    # Serious ones first. Python's sort is stable, so each half keeps its order.
    findings = sorted(_findings(checkup), key=lambda finding: not finding.serious)
    return replace(checkup, findings=tuple(findings))


def brief_findings(images: ImageSet, config: RunConfig) -> list[str]:
    """The texts of the findings that take a moment, without names of pictures: for the start of a run."""
    findings = _blank_findings(images, config, tuple("" for _ in range(len(images))))
    if len(images) <= MOST_BRIEF_PICTURES and images.pixels.size <= MOST_BRIEF_VALUES:
        findings += _copy_findings(
            find_copies(images.pixels), images, config, tuple("" for _ in range(len(images)))
        )
    findings += count_findings(len(images), flip=config.data.flip)
    counts = images.class_counts()
    return [finding.text for finding in findings + (class_findings(Balance(counts)) if counts else [])]


def blank_pictures(images: ImageSet) -> list[int]:
    """Indices of blank pictures: the standard deviation of each channel is below 2 grey levels."""
    means = images.moments / (images.height * images.width)
    variances = means[:, 1] - np.square(means[:, 0])
    places: list[int] = np.flatnonzero(variances.max(1) < _BLANK**2).tolist()
    return places


def _blank_findings(images: ImageSet, config: RunConfig, names: tuple[str, ...]) -> list[Finding]:
    """Findings on blank pictures; those of the background's colour may be drawings on a transparent one."""
    places = np.array(blank_pictures(images), int)
    if images.channels in {1, 3}:  # others keep transparency
        behind = background_pixel(images.channels, config.data.background)
        means = images.moments[places, 0] / (images.height * images.width)
        hidden = np.abs(means - behind).max(1) < _BLANK
    else:
        hidden = np.zeros(len(places), bool)
    parts = (places[~hidden], places[hidden])
    return blank_findings(*([names[place] for place in part] for part in parts))


def _findings(checkup: Checkup) -> list[Finding]:
    images, config, names = checkup.images, checkup.config, checkup.names
    data = config.data
    settings = DecodeSettings((data.height, data.width), data.channels, data.fit, data.background)
    minutes = config.budget.amount if config.budget.unit == "minutes" else None
    free = shutil.disk_usage(Path.cwd()).free
    return [
        *skipped_findings(images.skipped),
        *header_findings(checkup.summary.headers, settings),
        *_blank_findings(images, config, names),
        *_copy_findings(checkup.copies, images, config, names),
        *count_findings(len(images), flip=data.flip),
        *(class_findings(checkup.balance) if checkup.balance else []),
        *machine_findings(checkup.forecast, checkup.disk.run, free, minutes),
    ]


def _copy_findings(
    copies: Copies, images: ImageSet, config: RunConfig, names: tuple[str, ...]
) -> list[Finding]:
    split_copies = copies.held_out_copies(config.split(images))
    return copy_findings(copies, split_copies, names, channels=images.channels)


def _names(summary: Summary, images: ImageSet) -> tuple[str, ...]:
    skipped = {one.name for one in images.skipped}
    named = tuple(name for name in summary.headers if name not in skipped)
    return named if len(named) == len(images) else tuple(f"#{place}" for place in range(len(images)))


def _balance(summary: Summary, images: ImageSet) -> Balance | None:
    counts = images.class_counts() or summary.classes
    return Balance(counts) if counts else None


def _reasons(summary: Summary, options: TrainOptions, preset: str) -> dict[str, str]:
    height, width = summary.largest
    alike = summary.smallest == summary.largest
    if options.size:
        size = "as asked"
    elif alike and max(height, width) <= LARGEST_NATURAL_SIDE:
        size = "the size of all pictures"
    else:
        size = (
            f"all are {height} x {width}, which is large to start with"
            if alike
            else "the pictures differ in size"
        )
    grey = "all pictures are grey" if summary.proposed_channels == 1 else "some pictures have colours"
    if not summary.headers:
        grey = "as in the array"
    return {
        "size": size,
        "channels": "as asked" if options.channels else grey,
        "preset": preset,
    }
