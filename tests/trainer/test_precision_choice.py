"""Choice of precision before the first step: by measurement, told, written, and not made for short runs."""

import json
from dataclasses import replace
from itertools import accumulate, count, cycle
from pathlib import Path

import pytest
import torch

from helpers.command_line import ok
from helpers.runs import start
from unnoise.runs.config import Budget
from unnoise.trainer import precision_choice
from unnoise.trainer.precision_choice import choose_precision, worth_measuring

LONG = Budget(unit="minutes", amount=10.0)
TINY = ("--batch-size", 4, "--set", "network.widths=[8,16]", 'network.attention=["none","none"]')


@pytest.fixture
def fast(monkeypatch):
    """A processor with units for bfloat16."""
    monkeypatch.setattr(precision_choice, "bfloat16_is_fast", lambda: True)


def clock_of(whole: float, half: float):
    """A clock on which steps in float32 and in bfloat16 take these seconds, in turns."""
    ticks = accumulate(cycle([0.0, whole, 0.0, half]))
    return lambda: next(ticks)


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize(("ratio", "wanted"), [(1.5, "bfloat16"), (1.16, "bfloat16"), (1.14, "float32")])
def test_bfloat16_is_chosen_where_it_is_1_15_times_as_fast(tmp_path, ratio, wanted):
    config = start(tmp_path / "run", budget=LONG).config
    choice = choose_precision(config, clock_of(0.1 * ratio, 0.1))
    assert choice.precision == wanted
    assert (
        f"Precision {wanted}: 16 pictures take 100 ms in bfloat16 and {100 * ratio:.0f} ms in float32."
        in choice.why
    )


def test_a_processor_without_such_units_is_not_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(precision_choice, "bfloat16_is_fast", lambda: False)
    config = start(tmp_path / "run", budget=LONG).config
    assert choose_precision(config, clock=lambda: pytest.fail("timed")) == ("float32", "")


@pytest.mark.parametrize(
    ("budget", "worth"),
    [
        (Budget(unit="minutes", amount=0.4), False),
        (Budget(unit="minutes", amount=1.0), True),
        (Budget(unit="steps", amount=100.0), False),
        (Budget(unit="steps", amount=300.0), True),
        (Budget(unit="images", amount=3000.0), False),
        (Budget(unit="images", amount=30_000.0), True),
    ],
)
def test_short_runs_are_not_measured(budget, worth):
    assert worth_measuring(budget, batch_size=64, count=64) == worth


def test_few_steps_of_a_large_network_are_many():
    """It is timed on one picture, and its 150 steps of 256 pictures take hours."""
    assert worth_measuring(Budget(unit="steps", amount=150.0), batch_size=256, count=1)


@pytest.mark.usefixtures("fast")
def test_a_large_network_is_timed_for_two_turns_only(tmp_path):
    config = start(tmp_path / "run", budget=LONG).config
    ticks = count(0, 6)
    choose_precision(config, lambda: next(ticks))
    assert next(ticks) == 6 * 2 * 2 * 2  # two looks at the clock for each precision and turn


@pytest.mark.usefixtures("fast")
def test_a_step_that_does_not_fit_is_not_measured(tmp_path, monkeypatch):
    """Training cuts its batches, and says so."""

    def full(*_):
        raise torch.OutOfMemoryError("out of memory")

    config = start(tmp_path / "run", budget=LONG).config
    monkeypatch.setattr(precision_choice, "rehearse", full)
    assert choose_precision(config) == ("float32", "")


@pytest.mark.usefixtures("fast")
@pytest.mark.parametrize("changes", [{}, {"accumulate": 4}])
def test_the_measurement_takes_a_piece_of_a_batch_and_no_random_numbers(tmp_path, changes):
    before = torch.random.get_rng_state()
    config = replace(start(tmp_path / "run", budget=LONG).config, **changes)
    choice = choose_precision(config)
    assert f"{16 // config.accumulate} pictures take" in choice.why
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.usefixtures("fast")
def test_a_run_says_and_writes_what_was_chosen(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(precision_choice, "worth_measuring", lambda *_: True)
    common = ("train", "digits", *TINY, "--device", "cpu", "--steps", 1)
    ok(*common, "--out", "measured")
    said = " ".join(capsys.readouterr().err.split())
    chosen = json.loads(Path("measured/config.json").read_text())["precision"]
    assert f"Precision {chosen}: 4 pictures take" in said
    assert f" on cpu in {chosen} for 1 step" in said
    ok(*common, "--out", "named", "--precision", "bfloat16")
    assert "pictures take" not in capsys.readouterr().err
    assert json.loads(Path("named/config.json").read_text())["precision"] == "bfloat16"
