"""Importance-sampled times: more where the loss is large, and the same loss on average."""

import pytest
import torch

from helpers.sampling import column
from unnoise import Diffusion
from unnoise.diffusion.noise_levels import LossAware, LossHistory
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.networks import UNet
from unnoise.utils.errors import UnnoiseError


def filled(levels=LossAware(4, 3, 0.0)):  # noqa: B008 (frozen)
    """Slices whose losses are always 1, 2, 3, 4."""
    history = LossHistory(levels)
    for place in range(4):
        times = column(*[(place + 0.5) / 4] * 3)
        history.record(times, torch.full((3,), place + 1.0))
    return history


def test_equal_until_each_slice_is_known_then_as_the_losses():
    history = LossHistory(LossAware(4, 3, 0.0))
    history.record(column(0.1, 0.1, 0.1), torch.tensor([9.0, 9.0, 9.0]))
    assert history.probabilities().tolist() == [0.25] * 4
    assert filled().probabilities().tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4])
    mixed = filled(LossAware(4, 3, 0.5)).probabilities()
    assert mixed.tolist() == pytest.approx([0.175, 0.225, 0.275, 0.325])


def test_the_oldest_loss_is_forgotten_first():
    history = filled()
    history.record(column(0.9), torch.tensor([8.0]))
    assert sorted(history.losses[3].tolist()) == [4, 4, 8]
    history.record(column(0.9, 0.9, 0.9), torch.tensor([1.0, 1.0, 1.0]))
    assert history.losses[3].tolist() == [1, 1, 1]


def test_draws_follow_the_probabilities_and_their_weights_undo_them():
    """E[w f(t)] is the plain mean over uniform times, for any f: here exactly 2.5, whatever is drawn."""
    generator = torch.Generator().manual_seed(0)
    levels = filled().draw(20_000, OffsetCosine(), generator)
    times, weights = levels.times, levels.weights
    torch.testing.assert_close(levels.noise_rates, OffsetCosine()(times).noise_rates)
    slices = (times.flatten() * 4).long()
    shares = torch.bincount(slices, minlength=4) / 20_000
    assert shares.tolist() == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.015)
    losses = slices + 1.0
    assert (weights * losses).tolist() == pytest.approx([2.5] * 20_000)  # least variance: none at all
    assert weights.mean().item() == pytest.approx(1, abs=0.03)


def test_a_diffusion_learns_where_its_loss_is_large():
    torch.manual_seed(0)
    diffusion = Diffusion(UNet(1, (8, 8), 1), (1, 4, 4), noise_levels=LossAware(4, 2))
    diffusion.generator.manual_seed(0)
    images = torch.rand(16, 1, 4, 4)
    before = diffusion.test_step(images, generator=torch.Generator().manual_seed(0)).loss
    for _ in range(8):
        diffusion.train_step(images)
    history = diffusion.loss_history
    assert history is not None
    assert int(history.counts.sum()) == 8 * 16
    assert history.probabilities().unique().numel() == 4
    after = diffusion.test_step(images, generator=torch.Generator().manual_seed(0)).loss
    assert int(history.counts.sum()) == 8 * 16  # a test is neither weighted nor remembered
    assert before != after


@pytest.mark.parametrize("arguments", [(0, 10, 0.1), (4, 0, 0.1), (4, 10, 1.5)])
def test_parameters_are_checked(arguments):
    with pytest.raises(UnnoiseError, match="LossAware needs"):
        LossAware(*arguments)
