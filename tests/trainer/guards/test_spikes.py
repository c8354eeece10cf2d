"""Loss spikes: found within three reports, and never in the losses of a healthy run."""

from itertools import pairwise

import numpy as np
import pytest

from helpers.runs import digits, start
from unnoise.data.batches import Batches, split
from unnoise.trainer.guards.spikes import LossSpikes
from unnoise.trainer.loop import steps


def faults(losses, watch=None):
    """Those found in reports after steps 1, 2, 3, ..."""
    watch = watch or LossSpikes()
    return [fault for step, loss in enumerate(losses, 1) if (fault := watch.add(step, float(loss))) is not None]


def falling(count, seed, *, spread=0.1, floor=0.2):
    """Means of a loss that falls from 1 to about the floor, with a lopsided chance."""
    random = np.random.default_rng(seed)
    mean = floor + (1 - floor) * np.exp(-np.arange(count) / 40)
    return mean * np.exp(spread * random.standard_normal(count) - spread**2 / 2)


@pytest.mark.parametrize("spread", [0.01, 0.1, 0.5, 1.5])
@pytest.mark.parametrize("sign", ["positive", "any"])
def test_random_losses_are_not_a_spike(spread, sign):
    """Ten thousand reports of steady batches, and of batches of a single picture."""
    for seed in range(5):
        losses = falling(2_000, seed, spread=spread)
        if sign == "any":  # as with learned uncertainty
            losses = losses - 1.0 if spread <= 0.1 else np.log(losses)
        assert faults(losses) == []


@pytest.mark.parametrize("loss", ["l1", "l2", "huber"])
def test_training_on_digits_has_no_spike(tmp_path, loss):
    """With two pictures a step, as single reports and as means of five."""
    run = start(tmp_path / "run", 150, recipe_changes=[f"objective.loss={loss}"])
    images = digits()
    batches = Batches(images, split(len(images), 89, 0).training, 2, seed=0)
    losses = [float(step.result.loss) for step in steps(run.config.build(), batches, run.config.budget)]
    assert faults(losses) == []
    assert faults(np.reshape(losses, (-1, 5)).mean(1)) == []


@pytest.mark.parametrize("spread", [0.01, 0.1])
@pytest.mark.parametrize("offset", [0.0, -1.0])
def test_a_rise_that_stays_is_a_spike_at_the_third_report(spread, offset):
    losses = falling(100, 0, spread=spread) + offset
    losses[60:] += 2
    first = faults(losses)[0]
    assert (first.kind, first.step, first.last_good_step) == ("loss spike", 63, 60)
    median, lowest = np.median(losses[40:60]), losses[60:63].min()
    assert first.cause == f"The loss rose from about {median:.3g} to {lowest:.3g} and stayed there"


def test_two_high_reports_a_small_rise_or_the_first_reports_are_not_a_spike():
    losses = falling(100, 0)
    losses[60:62] += 100
    losses[70:72] += 100
    assert faults(losses) == []
    steady = falling(200, 1, spread=1e-3, floor=1.0)
    steady[150:] *= 1.4
    assert faults(steady) == []
    steady[150:] *= 1.6 / 1.4
    assert [fault.step for fault in faults(steady)][:1] == [153]
    assert faults([1.0, 1.1, *[0.9, 1.0] * 8, 50.0, 50.0, 50.0]) == []


def test_an_exploding_loss_is_a_spike():
    """Also where the logarithm of what chance explains is beyond all numbers."""
    wild = np.exp(np.tile([-80.0, 80.0], 20))
    assert faults(wild) == []
    found = faults([*np.linspace(1, 0.5, 40), *10.0 ** np.arange(5, 30)])
    assert found[0].step == 43
    assert all(before.step < after.step for before, after in pairwise(found))


def test_the_trusted_step_is_never_after_the_last_good_step_of_a_later_fault():
    """So a state up to it can be kept as one to go back to."""
    for begin in range(20, 60):
        losses, trusted = LossSpikes(), []
        for step in range(1, begin + 6):
            fault = losses.add(step, 9.0 if step >= begin else 1.0 + 0.01 * (step % 3))
            if fault is not None:
                break
            trusted.append(losses.trusted_step)
        known = [step for step in trusted if step is not None]
        assert fault is not None
        assert known == sorted(known)
        assert max(known, default=0) <= fault.last_good_step
