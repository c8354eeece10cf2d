"""Samples and features within a time budget, and classes as in the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.fake_extractors import Clock, Numbers
from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.data import ImageSet
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation import (
    TimeBudget,
    affordable_pictures,
    classes_as_in,
    draw_progress,
    draw_samples,
)
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 2)
    last(train(made, digits()))
    return made


def drawing(trained, monkeypatch, seconds: float, value: float = 0.5):
    """A diffusion that takes so long for each sample by the clock, and what it was asked for."""
    diffusion, clock, asked = trained.load(), Clock(), []

    def generate(count, *, seed, sampling, classes, batch_size):
        clock.now += count * seconds
        asked.append((count, seed, classes))
        return torch.full((count, 1, 8, 8), value)

    monkeypatch.setattr(diffusion, "generate", generate)
    return diffusion, clock, asked


@pytest.mark.parametrize(("minutes", "drawn"), [(10.0, 420), (5.0, 210), (0.1, 12)])
def test_samples_are_drawn_in_their_share_of_the_time(trained, monkeypatch, minutes, drawn):
    """A second each: 420 and 210 fit into 0.7 of the time, and 12 are drawn in any case."""
    diffusion, clock, asked = drawing(trained, monkeypatch, 1.0)
    budget = TimeBudget(minutes, clock)
    found = sum(map(len, draw_samples(diffusion, Sampling(), budget, seed=3)))
    assert found == pytest.approx(drawn, abs=1)  # as 0.7 is no binary fraction
    counts = [count for count, _, _ in asked]
    assert [seed for _, seed, _ in asked] == [3 + sum(counts[:place]) for place in range(len(counts))]
    assert max(counts) == min(64, drawn)
    assert budget.spent() == pytest.approx(found / 60 / minutes)


@pytest.mark.parametrize("after", [0.0, 30.0, 100.0, 200.0])
@pytest.mark.parametrize("slower", [0.25, 1.0, 2.0, 5.0])
def test_the_number_of_samples_follows_the_speed_of_the_machine(trained, monkeypatch, after, slower):
    """From some moment on each second takes `slower` seconds: the share of the time is kept all the same."""
    diffusion, clock = trained.load(), Clock()
    begin = clock.now

    def generate(count, **_):
        for _ in range(count):
            clock.now += 1.0 if clock.now - begin < after else slower
        return torch.full((count, 1, 8, 8), 0.5)

    monkeypatch.setattr(diffusion, "generate", generate)
    budget = TimeBudget(5, clock)
    drawn = sum(map(len, draw_samples(diffusion, Sampling(), budget)))
    ideal = after + (210 - after) / slower
    # Whatever is slower than half is noticed within a batch of at most half of the time that was left.
    assert budget.spent() <= 0.7 * max(1.0, slower / 2)
    assert drawn == pytest.approx(ideal, rel=0.02 if slower <= 2 else 0.6)


def test_time_between_batches_counts_and_a_number_of_samples_is_exact(trained, monkeypatch):
    diffusion, clock, _ = drawing(trained, monkeypatch, 1.0)
    count = 0
    for batch in draw_samples(diffusion, Sampling(), TimeBudget(5, clock)):
        clock.now += len(batch)
        count += len(batch)
    assert count == pytest.approx(105, abs=1)
    late = TimeBudget(1e-9, clock)
    assert [len(batch) for batch in draw_samples(diffusion, Sampling(), late, num_samples=150)] == [64, 64, 22]
    assert [len(batch) for batch in draw_samples(diffusion, Sampling(), late, batch_size=5)] == [5, 5, 2]
    diffusion, clock, _ = drawing(trained, monkeypatch, 0.0)
    assert sum(map(len, draw_samples(diffusion, Sampling(), TimeBudget(1, clock), batch_size=2048))) == 10_000


def test_progress_of_drawing_is_of_the_number_or_of_the_time():
    clock = Clock()
    budget = TimeBudget(1, clock)
    assert draw_progress(30, 40, budget) == 0.75
    assert draw_progress(5_000, None, budget) == 0.5
    clock.now += 21.0
    assert draw_progress(64, None, budget) == pytest.approx(0.5)
    clock.now += 60.0
    assert draw_progress(3, None, budget) == 0.25  # 12 are drawn in any case
    assert draw_progress(64, None, budget) == 1.0


def test_samples_with_nan_and_too_few_samples_are_refused(trained, monkeypatch):
    diffusion, clock, _ = drawing(trained, monkeypatch, 1.0, float("nan"))
    budget = TimeBudget(1, clock)
    with pytest.raises(UnnoiseError, match="contain NaN or infinity"):
        next(draw_samples(diffusion, Sampling(), budget))
    with pytest.raises(UnnoiseError, match="at least 12 samples, but got --num-samples 3"):
        next(draw_samples(diffusion, Sampling(), budget, num_samples=3))
    with pytest.raises(UnnoiseError, match="more than 0 minutes, but got 0"):
        TimeBudget(0)


def test_features_of_real_pictures_take_at_most_a_fifth_of_the_time():
    """0.2 * 60 seconds are enough for 1,200 pictures of a hundredth of a second: 1,000 in round numbers."""
    clock = Clock()
    budget = TimeBudget(1, clock)
    assert affordable_pictures(Numbers(clock, 0.01), digits(), budget) == 1_000
    assert affordable_pictures(Numbers(clock, 1e-6), digits(), budget) == 10_000
    assert affordable_pictures(Numbers(clock, 9.0), digits(), budget) == 500
    assert affordable_pictures(Numbers(clock, 0.01), digits(), budget, parts=[1708, 89]) == 1_000
    assert affordable_pictures(Numbers(clock, 0.01), digits(), budget, parts=[900, 900]) == 500  # of each


def test_classes_have_the_frequencies_of_the_data(trained):
    labels = np.repeat(np.array([0, 1, 2]), [60, 30, 10])
    images = ImageSet(digits().pixels[:100], "some", "", labels=labels, class_names=("a", "b", "c"))
    config = replace(trained.config, data=replace(trained.config.data, classes=("a", "b", "c")))
    choose = classes_as_in(config, images, np.arange(100))
    assert torch.bincount(choose(range(100))).tolist() == [60, 30, 10]
    assert torch.bincount(choose(range(50, 250))).tolist() == [120, 60, 20]
    assert torch.equal(torch.cat([choose(range(7)), choose(range(7, 20))]), choose(range(20)))
    unknown = classes_as_in(config, digits(), np.arange(100))
    assert unknown(range(5)).tolist() == [0, 1, 2, 0, 1]
    assert classes_as_in(trained.config, digits(), np.arange(9))(range(5)) is None
