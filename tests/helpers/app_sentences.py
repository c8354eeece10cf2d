"""Findings and facts of the doctor, of each kind, as the code makes them from small inputs."""

import itertools
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from helpers.runs import digits
from unnoise.api.doctor_report import cost_facts, picture_facts, plan_facts
from unnoise.data import DecodeSettings, ImageSet, Skipped
from unnoise.data.decoding.decode import Header
from unnoise.reports.doctor import Balance, Speed
from unnoise.reports.doctor.copies import Copies
from unnoise.reports.doctor.file_findings import header_findings, skipped_findings
from unnoise.reports.doctor.findings import (
    blank_findings,
    class_findings,
    copy_findings,
    count_findings,
    machine_findings,
)
from unnoise.reports.doctor.forecast import Forecast
from unnoise.runs.config import Budget
from unnoise.runs.footprint import DiskUse
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.sizing import choose_preset


def findings():
    """Findings of the doctor of each kind, on one picture and on several."""
    return [*_file_findings(), *_picture_findings(), *_machine_findings()]


def _file_findings():
    square, wide = (64, 64), (64, 160)
    odd = {"animated": True, "alpha": True, "turned": True}
    kinds = [
        Header("GIF", "RGB", square, **odd),
        Header("TIFF", "CMYK", wide, **odd),
        Header("TIFF", "F", square, **odd),
        Header("PNG", "L", (16, 16), **odd),
    ]
    settings = DecodeSettings((64, 64), 3)
    found = []
    for times in (1, 2):
        headers = {f"{number}-{copy}": kind for number, kind in enumerate(kinds) for copy in range(times)}
        small = {name: header for name, header in headers.items() if header.size == (16, 16)}
        found += [*header_findings(headers, settings), *header_findings(small, settings)]
        for reason in ("broken", "a password: zip it without one"):
            found += skipped_findings((Skipped("a.png", reason),) * times)
    return found


def _picture_findings():
    names = tuple("abcdefgh")
    colours = np.zeros(8, bool)
    found = []
    for groups in (((0, 1),), ((0, 1), (2, 3, 4, 5, 6))):
        copies = Copies(8, 8, groups, groups, 1.0, 1, colours)
        found += [
            *copy_findings(copies, len(groups), names, channels=3),
            *blank_findings(*[names[: len(groups)]] * 2),
        ]
    for count, flip in itertools.product((1, 50, 500, 2000), (False, True)):
        found += count_findings(count, flip=flip)
    for counts in ({"a": 1, "b": 900}, {"a": 1, "b": 2, "c": 900}):
        found += class_findings(Balance(counts))
    return found


def _machine_findings():
    return machine_findings(Forecast(100, 1, (6000, 60000)), 2 * 10**9, 10**6, minutes=0.5)


def facts():
    """Names and values of what the doctor tells."""
    told = [*_picture_facts(), *_plan_facts(), *_cost_facts()]
    return [text for one in told for fact in one.items() for text in fact]


def _picture_facts():
    sizes = {"smallest": (8, 8), "median": (8, 9), "largest": (9, 9)}
    alike = dict.fromkeys(sizes, (8, 8))
    for shape, number in ((sizes, 3), (alike, 12)):
        ignored = Counter({"": 2, ".txt": 1})
        counted = {"formats": Counter(PNG=2, JPEG=1), "modes": Counter(L=2), "ignored": ignored}
        summary = SimpleNamespace(count=3, source="photos", **shape, **counted)
        balance = Balance({f"class {place}": place + 1 for place in range(number)})
        yield picture_facts(
            SimpleNamespace(summary=summary, balance=balance, images=SimpleNamespace(without_class=number))
        )


def _plan_facts():
    budgets = [(1, "cpu"), (10, "cuda"), (90, "cpu"), (10**5, "cuda")]
    said = ("as asked", "as in the array", "all pictures are grey", "some pictures have colours")
    for channels, (minutes, device), why in zip((1, 2, 3, 4), budgets, said, strict=True):
        pixels = np.random.default_rng(0).integers(0, 255, (20, 16, 16, channels), np.uint8)
        config = plan(ImageSet(pixels, "test", "f"), TrainOptions(preset="nano", held_out=2))
        preset = choose_preset(device, 32, 32, minutes).why
        reasons = {"size": "the pictures differ in size", "channels": why, "preset": preset}
        yield plan_facts(SimpleNamespace(config=config, reasons=reasons))
        data = replace(config.data, held_out_ranges=((0, 2),))
        yield plan_facts(SimpleNamespace(config=replace(config, data=data), reasons=reasons))


def _cost_facts():
    images = digits()
    disks = (DiskUse(10**6, 10**7, 10**8, 10**3), *2 * [DiskUse(10**6, 10**7, 0)], DiskUse(1, 10, 9))
    waits = ((2, 7), (120, 420), (7200, 36000), (200000, 900000))
    budgets = [("minutes", 1), ("minutes", 10), ("steps", 5), ("images", 900)]
    for disk, (unit, number), wait, devices in zip(disks, budgets, waits, (1, 2, 1, 1), strict=True):
        options = TrainOptions(budget=Budget(unit=unit, amount=number))
        yield cost_facts(
            SimpleNamespace(
                disk=disk,
                speed=Speed(371.4, 64, number, 10**9, "cpu", devices),
                forecast=Forecast(210000.0, number, wait),
                config=plan(images, options),
            )
        )
