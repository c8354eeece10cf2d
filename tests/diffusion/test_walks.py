"""Walks of a run: their noisy images are those of its sampler, and their pairs know where the flow leads."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.mean_velocity import MeanVelocity, Walking, angles
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective, velocity
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction, RatePair, mix
from unnoise.diffusion.walks import Walks
from unnoise.optim.process_group import BatchPart

SCHEDULE = OffsetCosine(0.002, 0.9999)


class Exact(nn.Module):
    """A network that is the exact denoiser of a Gaussian; it is told the noise rate."""

    def __init__(self):
        super().__init__()
        self.oracle = Gaussian(0.3, 0.5)

    def forward(self, noisy_images, noise_rates):
        rates = noise_rates, (1 - noise_rates.square()).sqrt()
        return velocity(self.oracle(noisy_images, *rates), *rates)


def walks(**walking):
    run = Denoiser(
        Exact(),
        (2, 3, 4),
        normalizer=Normalizer(),
        schedule=SCHEDULE,
        objective=Objective("velocity", "velocity", "l2"),
        condition="rate",
    )
    return Walks(run, MeanVelocity(to_image=0.4, walking=Walking(**walking)))


def draw(count, part=None, **walking):
    return walks(**walking).draw(count, torch.Generator().manual_seed(7), part)


def ends_of(batch):
    there = angles(batch.noise_rates, batch.signal_rates) - batch.lengths
    return RatePair(there.sin(), there.cos())


def test_a_walk_ends_with_what_the_sampler_draws():
    chosen = walks(calls=9)
    noises = chosen.run.noises(range(3))()
    walked = chosen.walk(noises)
    assert torch.equal(walked[0], noises) or torch.allclose(walked[0], noises, atol=1e-6)
    drawn = chosen.run.generate(initial_noises=noises, sampling=chosen.sampling())
    torch.testing.assert_close(chosen.run.normalizer.denormalize(walked[-1]), drawn)
    assert len(walked) == 10


class OfClasses(Exact):
    """The same, of three classes of different brightness, and of all three."""

    config = SimpleNamespace(num_classes=3)

    def forward(self, noisy_images, noise_rates, classes=None):
        means = torch.tensor([-0.6, 0.0, 0.6, 0.0])
        chosen = torch.full((len(noisy_images),), 3) if classes is None else classes
        rates = noise_rates, (1 - noise_rates.square()).sqrt()
        return velocity(Gaussian(means[chosen].view(-1, 1, 1, 1), 0.5)(noisy_images, *rates), *rates)


def test_walks_are_guided_by_their_classes():
    """Guidance of scale 3 moves the mean of each class away from the others, and that of none not at all."""
    plain = walks(calls=50)
    run = plain.run.over(OfClasses())
    found = []
    for scale in (1.0, 3.0):
        chosen = Walks(run, MeanVelocity(guidance=scale, walking=Walking(calls=50)))
        noises = run.noises(range(400))()
        classes = torch.arange(400) % 4
        images = chosen.walk(noises, classes)[-1]
        found.append([images[classes == each].mean().item() for each in range(4)])
    assert found[0] == pytest.approx([-0.6, 0.0, 0.6, 0.0], abs=0.05)
    assert found[1][0] < 2 * found[0][0]
    assert found[1][2] > 2 * found[0][2]
    assert found[1][3] == pytest.approx(found[0][3], abs=1e-4)


@pytest.mark.parametrize("pairs", [1, 3, 4])
def test_pairs_mix_to_both_ends_of_a_step_of_the_exact_flow(pairs):
    """With 200 calls a walk is the flow itself, to a thousandth."""
    batch = draw(24, calls=200, pairs=pairs)
    first, then = RatePair(batch.noise_rates, batch.signal_rates), ends_of(batch)
    begin, end = (mix(batch.images, batch.noises, *level) for level in (first, then))
    wanted = Gaussian(0.3, 0.5).flow(begin, first, then)
    torch.testing.assert_close(end, wanted, atol=5e-3, rtol=0)


def test_the_velocity_of_a_pair_is_the_mean_velocity():
    batch = draw(24, calls=200)
    first, then = RatePair(batch.noise_rates, batch.signal_rates), ends_of(batch)
    begin = mix(batch.images, batch.noises, *first)
    arrived = Gaussian(0.3, 0.5).flow(begin, first, then)
    wanted = (batch.lengths.cos() * begin - arrived) / batch.lengths.sin()
    found = velocity(Prediction(batch.noises, batch.images), *first)
    long = (batch.lengths > 0.2).flatten()
    assert long.sum() > 10
    torch.testing.assert_close(found[long], wanted[long], atol=2e-2, rtol=0)


def test_shares_of_steps_begin_at_noise_and_end_at_the_image():
    batch = draw(4000, calls=12, from_noise=0.4)
    begins = angles(batch.noise_rates, batch.signal_rates).flatten()
    ends = begins - batch.lengths.flatten()
    levels = len(begins.unique())
    assert 12 <= levels <= 18
    assert (begins == begins.max()).float().mean() == pytest.approx(0.4 + 0.6 / levels, abs=0.03)
    assert (ends < 1e-4).float().mean() > 0.4
    assert (batch.lengths > 1e-3).all()


def test_walks_of_many_batches_meet_many_noise_levels():
    chosen, generator = walks(calls=4), torch.Generator().manual_seed(1)
    rates = torch.cat([chosen.draw(8, generator).noise_rates for _ in range(30)])
    assert len(rates.unique()) > 10  # of 4, 5 and 6 calls


@pytest.mark.parametrize("pairs", [1, 3, 4])
def test_parts_of_several_processes_are_those_of_the_whole_batch(pairs):
    whole = draw(12, pairs=pairs)
    parts = [draw(5, BatchPart(0, 12), pairs=pairs), draw(7, BatchPart(5, 12), pairs=pairs)]
    for name in ("images", "noises", "noise_rates", "signal_rates", "lengths"):
        both = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(both, getattr(whole, name), atol=1e-5, rtol=1e-5)
