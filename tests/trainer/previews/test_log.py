"""Log of previews: what it expects a preview to take, and what a resumed run remembers of them."""

import math
from dataclasses import replace

import pytest

from helpers.runs import start
from unnoise.runs.checkpoint import Progress
from unnoise.runs.config import Budget
from unnoise.runs.history import PREVIEWS, PreviewRow
from unnoise.trainer.previews.log import PreviewLog
from unnoise.utils.tables import read_table

LENGTH, TESTED = 1200.0, 200


@pytest.fixture
def run(tmp_path):
    run = start(tmp_path / "run", recipe_changes=["sampling.num_steps=20"])
    return run.with_config(replace(run.config, budget=Budget(unit="minutes", amount=LENGTH / 60)))


def simulate(run, *, call: float, charts: float, start: float = 0.0, end: float = LENGTH) -> PreviewLog:
    """A run of steps of 192 calls (64 pictures, forward and twice backward) of so many seconds each."""
    log, now, images = PreviewLog(run, Progress(1, 64, start) if start else Progress(), TESTED), start, 0

    def draw(size, progress) -> float:
        drawing, testing = call * size.calls, call * TESTED * size.complete
        testing += charts * size.complete
        took = drawing + testing + 0.05
        figures = (size.pictures, size.num_steps, drawing, testing, took, "healthy")
        log.add(PreviewRow(*progress, *figures))
        return took

    steps = math.ceil(0.5 / (192 * call))  # of a moment: half a second, or a step that takes longer
    while now < end:
        now, images = now + steps * 192 * call, images + steps * 64
        progress = Progress(images // 64, images, now)
        size = log.due(progress, now / LENGTH) if now < LENGTH else None
        if size is not None:
            now += draw(size, progress)
    if end == LENGTH:
        now += draw(log.last_size(progress), progress)
    assert sum(row.took for row in log.rows) < 0.04 * now
    return log


@pytest.mark.parametrize("call", [1e-4, 2e-3, 2e-2, 0.2])
def test_previews_of_steps_of_any_length_begin_early_and_stay_cheap(run, call):
    """From 20 ms to 38 s a step: eight or more, the first within a minute, less than 4 % of the time in all."""
    rows = simulate(run, call=call, charts=0.3).rows
    assert len(rows) >= 8
    assert rows[0].seconds <= 60
    assert rows[-1].seconds >= LENGTH
    if call <= 2e-3:
        assert (rows[-1].pictures, rows[-1].num_steps) == (36, 20)
        assert sum(row.testing > 0 for row in rows) >= 4
    assert sum(row.testing > 0 for row in rows) >= (1 if call < 0.1 else 0)


def test_what_was_not_measured_yet_is_not_taken_for_free(run):
    """The first complete preview waits until the held-out loss, which was never measured, is affordable."""
    rows = simulate(run, call=1e-2, charts=0.5).rows
    first = next(row for row in rows if row.testing > 0)
    assert first.testing <= 0.0075 * first.seconds


def test_a_resumed_run_remembers_its_previews_and_drops_those_of_later_steps(run):
    before = simulate(run, call=1e-2, charts=0.3, end=300.0).rows
    assert read_table(run.path / PREVIEWS, PreviewRow) == before
    again = PreviewLog(run, Progress(*before[-1][:3]), TESTED)
    assert again.rows == before
    assert [(look.step, look.verdict) for look in again.looks] == [(row.step, "healthy") for row in before]
    now = Progress(*before[-1][:3])._replace(seconds=before[-1].seconds + 2.0)
    assert again.due(now, now.seconds / LENGTH) is None  # not anew from 20 s on
    earlier = before[-2]
    assert PreviewLog(run, Progress(*earlier[:3]), TESTED).rows == before[:-1]
