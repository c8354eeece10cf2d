"""Rollbacks where looks at samples are dear: a run goes back to the last sound look, never to its start."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest

from helpers.clocks import Clock
from helpers.runs import digits, start
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.config import Budget
from unnoise.runs.history import PREVIEWS, PreviewRow, read_events
from unnoise.trainer import loop as training
from unnoise.trainer.guards import Fault, Guards
from unnoise.trainer.loop import train
from unnoise.trainer.monitoring import Monitor
from unnoise.utils.tables import read_table
from unnoise.utils.tensor_files import read_facts

LENGTH, STEP, CALL = 10_000.0, 100.0, 2.5
"""Seconds of a run, of a step, and of a call of the network for a picture: the smallest preview takes 30 s, so
there are about nine, an eighth of the run apart, with two saved states between them."""


@pytest.fixture
def dear(tmp_path, monkeypatch):
    """A run whose looks are dear, and what its next sheets show, of which the last one is repeated."""
    images, clock, shown = digits(), Clock(monkeypatch, STEP), ["real"]
    real = images.take(np.arange(36)).float() / 255

    def draw(_, __, places, num_steps, **___):
        clock.now += CALL * len(places) * num_steps
        what = shown.pop(0) if len(shown) > 1 else shown[0]
        return real[places.start : places.stop] * (what == "real")

    monkeypatch.setattr(training, "draw_samples", draw)
    monkeypatch.setattr(Monitor, "due", lambda *_: False)
    run = start(tmp_path / "run", 1)
    run = run.with_config(replace(run.config, budget=Budget(unit="minutes", amount=LENGTH / 60)))
    return run, images, shown


def looks(run: Run) -> list[int]:
    return [row.step for row in read_table(run.path / PREVIEWS, PreviewRow)]


def states(run: Run) -> list[int]:
    return [int(path.stem) for path in run.states()]


def walk(iterator, run: Run, until):
    """Takes steps until this is true; returns the steps, and those of model.safetensors after each of them."""
    taken, weights = [], []
    for step in iterator:
        taken.append(step.progress.step)
        weights.append(int(read_facts(run.path / "model.safetensors").get("step", -1)))
        if until():
            break
    return taken, weights


def test_the_last_sound_state_stays_however_many_are_saved_after_it(dear):
    run, images, _ = dear
    iterator = train(run, images)
    walk(iterator, run, lambda: len(looks(run)) == 4)
    last = looks(run)[-1]
    newest = states(run)[0]
    walk(iterator, run, lambda: len(states(run)) == 3 and states(run)[1] > newest)
    assert looks(run)[-1] == last
    assert states(run)[-1] == newest <= last  # older than the two newest ones
    iterator.close()
    assert newest in states(run)


@pytest.mark.parametrize("resumed", [False, True])
def test_a_rollback_goes_to_the_last_sound_look(dear, resumed):
    """Both newest states are younger than it; also where the run was stopped and started again in between."""
    run, images, shown = dear
    iterator = train(run, images)
    walk(iterator, run, lambda: len(looks(run)) == 4)
    sound = states(run)[0]  # saved at the look, or shortly before
    assert looks(run)[-1] - 3 <= sound <= looks(run)[-1]
    _, before = walk(iterator, run, lambda: len(states(run)) == 3 and states(run)[1] > sound)
    if resumed:
        iterator.close()
        iterator = train(Run.open(run.path), images)
    shown[:] = ["black", "real"]
    with pytest.warns(UserWarning, match=f"All samples became all black .*: going on from step {sound} with"):
        taken, weights = walk(iterator, run, lambda: bool(read_events(run.path)))
    iterator.close()
    assert read_events(run.path)[0].back_to == sound
    assert taken[-1] == sound + 1
    assert min(before + weights) > 0
    assert weights[-1] in (sound, sound + 1)


def test_a_run_ends_with_trained_weights_whatever_its_looks_show(dear):
    """After each fault there is a sound state to go back to, and the run never begins again."""
    run, images, shown = dear
    shown[:] = ["real"] * 3 + ["black", "real", "real", "black", "real"]
    with pytest.warns(UserWarning, match="going on from step"):
        steps = [step.progress.step for step in train(run, images)]
    events = read_events(run.path)
    assert len(events) == 2
    assert all(event.back_to > 0 for event in events)
    falls = [(before, after) for before, after in itertools.pairwise(steps) if after <= before]
    assert [after for _, after in falls] == [event.back_to + 1 for event in events]
    assert int(read_facts(run.path / "model.safetensors")["step"]) == steps[-1] == states(run)[0]
    assert len(looks(run)) >= 6


def test_losing_all_sound_states_keeps_the_weights_to_sample_from(dear, tmp_path):
    """Untrained weights never replace trained ones, also where a run has to begin again."""
    run, images, _ = dear
    iterator = train(run, images)
    walk(iterator, run, lambda: bool(states(run)))
    iterator.close()
    kept = (run.path / "model.safetensors").read_bytes()
    guards = Guards(run, images, np.arange(9))
    with pytest.warns(UserWarning, match="going on from the start"):
        guards.roll_back(Fault("loss spike", "The loss rose", step=9, last_good_step=0), Progress(9, 144, 77.0))
    assert states(run) == [0]
    assert (run.path / "model.safetensors").read_bytes() == kept
    resumed = train(Run.open(run.path), images)
    assert next(resumed).progress.step == 1
    resumed.close()


def test_weights_of_another_step_than_the_state_are_put_right(dear, tmp_path):
    """As a kill between the two leaves them, or a kill in the midst of a rollback."""
    run, images, _ = dear
    iterator = train(run, images)
    walk(iterator, run, lambda: len(states(run)) == 2)
    iterator.close()
    whole = (run.path / "model.safetensors").read_bytes()
    older = states(run)[1]
    shutil.copy(run.path / "model.safetensors", tmp_path / "newer.safetensors")
    run.states()[0].unlink()
    assert run.restore(run.config.build()).step == older
    assert read_facts(run.path / "model.safetensors")["step"] == str(older)
    assert (run.path / "model.safetensors").read_bytes() != whole
