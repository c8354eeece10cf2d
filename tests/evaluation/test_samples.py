"""Samples and features within a time budget, and classes as in the data."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.fake_extractors import Clock, Numbers
from helpers.oracles import last
from helpers.runs import digits, start
from unnoise.data import ImageSet
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation import (
    TimeBudget,
    affordable_pictures,
    classes_as_in,
    draw_progress,
    draw_samples,
)
from unnoise.training.loop import train
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


@pytest.mark.parametrize(("minutes", "drawn"), [(10.0, 448), (5.0, 256), (0.1, 64)])
def test_samples_are_drawn_until_their_share_of_the_time_has_passed(trained, monkeypatch, minutes, drawn):
    """A second each: 420 and 210 seconds are over after 7 and 4 batches of 64, and 64 are drawn in any case."""
    diffusion, clock, asked = drawing(trained, monkeypatch, 1.0)
    budget = TimeBudget(minutes, clock)
    assert sum(map(len, draw_samples(diffusion, Sampling(), budget, seed=3))) == drawn
    assert [seed for _, seed, _ in asked] == list(range(3, 3 + drawn, 64))
    assert budget.spent() == pytest.approx(drawn / 60 / minutes)


def test_time_between_batches_counts_and_a_number_of_samples_is_exact(trained, monkeypatch):
    diffusion, clock, _ = drawing(trained, monkeypatch, 1.0)
    count = 0
    for batch in draw_samples(diffusion, Sampling(), TimeBudget(5, clock)):
        clock.now += 64
        count += len(batch)
    assert count == 128
    late = TimeBudget(1e-9, clock)
    assert [len(batch) for batch in draw_samples(diffusion, Sampling(), late, num_samples=150)] == [64, 64, 22]
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
    assert draw_progress(16, None, budget) == 0.25  # 64 are drawn in any case
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
