"""Walks of a run: their noisy images are those of its sampler, and their pairs know where the flow leads."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.mean_velocity import MeanVelocity, Walking, angles
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective, of_velocity, velocity
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction, RatePair, mix
from unnoise.diffusion.walks import Walks
from unnoise.networks import UNet
from unnoise.optim.process_group import BatchPart
from unnoise.utils.errors import UnnoiseError

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
    return Walks(run, MeanVelocity(to_image=0.4, walking=Walking(look=0, **walking)))


def draw(count, **walking):
    return walks(**walking).draw(count, torch.Generator().manual_seed(7))


def pairs_of(chosen, step, count=8, part=None, **options):
    chosen.step = step
    return chosen.draw(count, torch.Generator().manual_seed(step), part, **options)


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
        chosen = Walks(run, MeanVelocity(guidance=scale, walking=Walking(calls=50, look=0)))
        noises = run.noises(range(400))()
        classes = torch.arange(400) % 4
        images = chosen.walk(noises, classes)[-1]
        found.append([images[classes == each].mean().item() for each in range(4)])
    assert found[0] == pytest.approx([-0.6, 0.0, 0.6, 0.0], abs=0.05)
    assert found[1][0] < 2 * found[0][0]
    assert found[1][2] > 2 * found[0][2]
    assert found[1][3] == pytest.approx(found[0][3], abs=1e-4)


@pytest.mark.parametrize(("step", "spacing"), [(0, "log_snr"), (40, "log_snr"), (40, "karras")])
def test_pairs_mix_to_both_ends_of_a_step_of_the_exact_flow(step, spacing):
    """With 200 calls a walk is the flow itself, to a thousandth; pairs of three blocks of walks."""
    batch = pairs_of(walks(calls=200, kept=3, spacing=spacing), step, 24)
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
    batch = draw(4000, calls=12, kept=1, from_noise=0.4)
    begins = angles(batch.noise_rates, batch.signal_rates).flatten()
    ends = begins - batch.lengths.flatten()
    levels = len(begins.unique())
    assert levels == 13  # the first block takes one call more than the least
    assert (begins == begins.max()).float().mean() == pytest.approx(0.4 + 0.6 / levels, abs=0.03)
    assert (ends < 1e-4).float().mean() > 0.4
    assert (batch.lengths > 1e-3).all()


def test_walks_of_many_batches_meet_many_noise_levels():
    chosen = walks(calls=4, pairs=2)
    rates = torch.cat([pairs_of(chosen, step).noise_rates for step in range(30)])
    assert len(rates.unique()) > 10  # of 4, 5 and 6 calls


def test_a_walk_is_taken_once_and_gives_as_many_pairs_as_asked_for():
    """61 steps of 8 images with 5 pairs of a walk take 12 blocks besides the first 3."""
    chosen, taken = walks(calls=4, pairs=5, kept=3), []
    walk = chosen.walk
    chosen.walk = lambda noises, classes, calls: taken.append(len(noises)) or walk(noises, classes, calls=calls)
    for step in range(61):
        pairs_of(chosen, step)
    assert taken == [8] * 15


def test_pairs_depend_on_the_seed_and_on_the_step_alone():
    """A stopped training goes on with the pairs that it would have had."""
    through, later, other = walks(), walks(), walks()
    other.seed = 1
    for step in range(50):
        expected = pairs_of(through, step)
    found, different = pairs_of(later, 49), pairs_of(other, 49)
    assert torch.equal(found.images, expected.images)
    assert torch.equal(found.lengths, expected.lengths)
    assert not torch.isclose(different.images, expected.images).any()


def test_pairs_to_measure_with_stay_the_same_and_are_never_learned_from():
    chosen = walks(calls=4, pairs=1)
    starts = [noise_of(pairs_of(chosen, step, training=False)) for step in (0, 9)]
    chosen.step = 9
    again = chosen.draw(8, torch.Generator().manual_seed(0), training=False)
    assert torch.equal(noise_of(again), starts[0])
    learned = torch.cat([noise_of(pairs_of(chosen, step)) for step in range(30)])
    assert torch.cdist(starts[0], learned).min() > 0.1


def noise_of(batch):
    """Where the walks of pairs begin, by the exact flow back to pure noise."""
    here, top = RatePair(batch.noise_rates, batch.signal_rates), SCHEDULE(torch.ones(1, 1, 1, 1))
    return Gaussian(0.3, 0.5).flow(mix(batch.images, batch.noises, *here), here, RatePair(*top)).flatten(1)


@pytest.mark.parametrize("step", [0, 50])
def test_parts_of_several_processes_are_those_of_the_whole_batch(step):
    whole = pairs_of(walks(), step, 12)
    parts = [pairs_of(walks(), step, 5, BatchPart(0, 12)), pairs_of(walks(), step, 7, BatchPart(5, 12))]
    for name in ("images", "noises", "noise_rates", "signal_rates", "lengths"):
        both = torch.cat([getattr(part, name) for part in parts])
        torch.testing.assert_close(both, getattr(whole, name), atol=1e-5, rtol=1e-5)


def seeing():
    """Walks of a small U-Net with random weights, and a batch of noisy images of one level."""
    torch.manual_seed(0)
    network = UNet(1, (8, 16), 1, num_classes=2)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    run = Denoiser(
        network.eval().requires_grad_(False),
        (1, 8, 8),
        normalizer=Normalizer(),
        schedule=SCHEDULE,
        objective=Objective("velocity", "velocity", "l2"),
        condition="log_snr",
    )
    level = RatePair(torch.full((5, 1, 1, 1), 0.6), torch.full((5, 1, 1, 1), 0.8))
    return Walks(run, MeanVelocity(walking=Walking())), torch.randn(5, 1, 8, 8), level


def test_what_is_equal_looks_equal_and_each_image_is_compared_with_its_own():
    sight, images, level = seeing()
    classes = torch.tensor([0, 1, 2, 0, 1])
    moved = images.clone()
    moved[3] += 0.1
    found = sight.look(moved, images, level, classes)
    assert found[3] > 1e-4
    assert found[[0, 1, 2, 4]].tolist() == pytest.approx([0] * 4, abs=1e-9)
    assert (
        sight.look(images + 0.2, images, level, classes) > sight.look(images + 0.1, images, level, classes)
    ).all()


def test_a_picture_without_noise_is_seen_as_one_of_the_lowest_level():
    sight, images, _ = seeing()
    none, lowest = RatePair(torch.zeros(5, 1, 1, 1), torch.ones(5, 1, 1, 1)), SCHEDULE(torch.zeros(5, 1, 1, 1))
    found = [sight.look(images + 0.1, images, RatePair(*level), None) for level in (none, lowest)]
    torch.testing.assert_close(*found)


def test_what_a_jump_arrives_at_learns_from_its_look_and_the_target_does_not():
    sight, images, level = seeing()
    found, wanted = images.clone().requires_grad_(), (images + 1).requires_grad_()
    sight.look(found, wanted, level, None).sum().backward()
    assert found.grad.abs().sum() > 0
    assert wanted.grad is None
    assert all(parameter.grad is None for parameter in sight.run.network.parameters())


def test_the_look_of_a_jump_is_that_of_where_it_arrives():
    """With velocities that lead 0.1 too far the two ends differ by 0.1 sin(t - s)."""
    sight, images, _ = seeing()
    t, s = torch.full((5, 1, 1, 1), 1.2), torch.full((5, 1, 1, 1), 0.5)
    begin, end = RatePair(t.sin(), t.cos()), RatePair(s.sin(), s.cos())
    truth = of_velocity(torch.randn_like(images), images, *begin)
    false = of_velocity(velocity(truth, *begin) + 0.1, images, *begin)
    steps = sight.learned.steps(t - s, 0.0, sight.look)
    nothing = torch.zeros(5)
    assert steps.weighted(nothing, truth, truth, images, *begin).tolist() == pytest.approx([0] * 5, abs=1e-9)
    arrived = (t - s).cos() * images - (t - s).sin() * velocity(truth, *begin)
    wanted = sight.look(arrived - 0.1 * (t - s).sin(), arrived, end, None)
    weight = sight.learned.walking.look
    torch.testing.assert_close(steps.weighted(nothing, false, truth, images, *begin), weight * wanted)


def test_a_network_without_levels_cannot_say_how_things_look():
    with pytest.raises(UnnoiseError, match=r"Walking\(look=0\)"):
        Walks(walks().run, MeanVelocity(walking=Walking()))


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"calls": 0}, "from 1 to 1,000, but got 0"),
        ({"kept": 1001}, "from 1 to 1,000, but got 1,001"),
        ({"from_noise": 1.5}, "from 0 to 1, but got 1.5"),
        ({"look": -1.0}, "but got -1"),
    ],
)
def test_walking_names_the_values_that_it_takes(value, told):
    with pytest.raises(UnnoiseError, match=told):
        Walking(**value)
