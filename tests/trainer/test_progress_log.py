"""progress.jsonl: a line a minute, each whole, cut back where a run goes back; and the same line for people."""

import json
import os
from dataclasses import replace
from datetime import datetime

import pytest

from helpers.clocks import Clock
from helpers.previews import draw_previews
from helpers.runs import digits, start
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.config import Budget
from unnoise.trainer.loop import train
from unnoise.trainer.monitoring import Monitor
from unnoise.trainer.progress_log import PROGRESS, ProgressLine, ProgressLog

FIELDS = set(ProgressLine._fields)


def lines(run) -> list[dict]:
    data = (run / PROGRESS).read_bytes()
    assert data.endswith(b"\n")
    assert len(data) % 512 == 0
    return [json.loads(line) for line in data.decode().splitlines()]


def add(log: ProgressLog, step: int, seconds: float, spent: float = 0.5, **more) -> ProgressLine:
    values = {"learning_rate": 1e-3, "held_out_loss": None, "kid": None, **more}
    return log.add(Progress(step, 64 * step, seconds), spent, **values)


@pytest.fixture
def timed(tmp_path, monkeypatch):
    """A run of ten minutes with steps of 25 seconds."""
    Clock(monkeypatch, 25.0)
    draw_previews(monkeypatch, lambda _: False)
    monkeypatch.setattr(Monitor, "due", lambda *_: False)
    run = start(tmp_path / "run", 1)
    return run.with_config(replace(run.config, budget=Budget(unit="minutes", amount=10.0)))


def test_a_run_writes_a_line_a_minute_and_one_at_its_end(timed):
    yielded = list(train(timed, digits()))
    found = lines(timed.path)
    assert [line["seconds"] for line in found] == [75, 150, 225, 300, 375, 450, 525, 600]
    assert [step.line.step for step in yielded if step.line is not None] == [line["step"] for line in found]
    assert all(line.keys() == FIELDS for line in found)
    assert [line["images"] for line in found] == [16 * line["step"] for line in found]
    assert all(line["images_per_second"] == pytest.approx(16 / 25, abs=1e-3) for line in found)
    assert [line["seconds_left"] for line in found] == [600 - line["seconds"] for line in found]
    assert [line["spent"] for line in found] == pytest.approx([line["seconds"] / 600 for line in found])
    assert all(datetime.fromisoformat(line["time"]).utcoffset() is not None for line in found)
    assert found[0]["held_out_loss"] is None
    assert found[-1]["held_out_loss"] == yielded[-1].held_out_loss
    losses = [step.result.loss.item() for step in yielded]
    assert found[0]["loss"] == pytest.approx(sum(losses[:3]) / 3)  # a report after each step
    assert found[-1]["learning_rate"] == yielded[-1].learning_rate


def test_a_resumed_run_cuts_its_lines_back_and_goes_on(timed):
    iterator = train(timed, digits())
    while next(iterator).progress.step < 7:
        pass
    iterator.close()
    assert [line["step"] for line in lines(timed.path)] == [3, 6, 7]
    timed.states()[0].unlink()
    newest = int(timed.states()[0].stem)
    iterator = train(Run.open(timed.path), digits())
    assert next(iterator).progress.step == newest + 1
    assert [line["step"] for line in lines(timed.path)] == [step for step in (3, 6) if step <= newest]
    iterator.close()


def test_a_reader_never_sees_half_a_line(tmp_path, monkeypatch):
    """Each line is written by one call, and none lies across a page of memory, whatever its numbers are."""
    written, write = [], os.write
    monkeypatch.setattr(os, "write", lambda file, data: written.append(data) or write(file, data))
    log = ProgressLog(tmp_path, Progress(), 0.0)
    for step in (1, 10**6, 10**15):
        add(log, step, step / 7e3, held_out_loss=-1.234567890123456e-300, kid=1e300, learning_rate=1e-300)
    assert [len(data) for data in written] == [512] * 3
    assert all(data.endswith(b"\n") for data in written)
    assert len(lines(tmp_path)) == 3


@pytest.mark.parametrize("tail", [b'{"step": 3, "ima', b"\x00" * 40, b"\n", b"[1]\n", b'{"step": "x"}\n'])
def test_what_a_power_cut_left_behind_is_cut_off(tmp_path, tail):
    add(ProgressLog(tmp_path, Progress(), 0.0), 2, 60.0)
    with (tmp_path / PROGRESS).open("ab") as file:
        file.write(tail)
    log = ProgressLog(tmp_path, Progress(2, 128, 60.0), 0.1)
    add(log, 4, 120.0)
    assert [line["step"] for line in lines(tmp_path)] == [2, 4]


def test_a_full_disk_costs_a_line_and_never_half_of_one(tmp_path, monkeypatch):
    log, write = ProgressLog(tmp_path, Progress(), 0.0), os.write
    add(log, 1, 60.0)
    for broken in (lambda file, data: write(file, data[:100]), lambda *_: os.fstat(-1)):
        monkeypatch.setattr(os, "write", broken)
        add(log, 2, 120.0)
        monkeypatch.setattr(os, "write", write)
        assert [line["step"] for line in lines(tmp_path)] == [1]
    add(log, 3, 180.0)
    assert [line["step"] for line in lines(tmp_path)] == [1, 3]


def test_numbers_that_json_does_not_know_are_null(tmp_path):
    add(ProgressLog(tmp_path, Progress(), 0.0), 1, 60.0, kid=float("inf"), held_out_loss=float("nan"))
    (line,) = lines(tmp_path)
    assert (line["kid"], line["held_out_loss"], line["loss"]) == (None, None, None)


def test_the_sentence_holds_speed_losses_and_the_time_left(tmp_path):
    log = ProgressLog(tmp_path, Progress(), 0.0)
    log.add_loss(0.25)
    log.add_loss(0.75)
    found = add(log, 1240, 60.0, 0.05, held_out_loss=0.6, kid=0.0123)
    assert found.sentence == (
        "step 1,240 (5%), 1,323 images/s, loss 0.5000, held-out loss 0.6000, KID 0.0123, 19 min left"
    )
    slow = add(log, 1241, 3660.0, 0.10)
    assert slow.sentence == "step 1,241 (10%), 0.02 images/s, 18 h 0 min left"
    assert add(log, 1241, 3660.0, 0.10).sentence == "step 1,241 (10%)"  # nothing since
