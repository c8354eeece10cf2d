"""Mean velocity between two noise levels, against the exact one of a Gaussian and of a mixture."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from helpers.sampling import last
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.mean_velocity import (
    MeanVelocity,
    Steps,
    Walking,
    mean_velocity_target,
    pair_through,
    step_lengths,
)
from unnoise.diffusion.noise_levels import LogNormal
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.objectives import Objective, velocity
from unnoise.diffusion.oracles import ExactJumps, Gaussian, Mixture
from unnoise.diffusion.samplers import consistency, ddim, spaced_times, time_grid
from unnoise.diffusion.samplers.step_ends import step_ends
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import RatePair, mix
from unnoise.networks import UNet
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.utils.errors import UnnoiseError

ORACLES = [Gaussian(0.3, 0.5), Mixture()]


def rates(angle):
    return RatePair(angle.sin(), angle.cos())


def exact(oracle, noisy_images, begin, end):
    """u(x_t, t, s), from the end of the flow."""
    arrived = oracle.flow(noisy_images, rates(begin), rates(end))
    return ((begin - end).cos() * noisy_images - arrived) / (begin - end).sin()


def target(oracle, noisy_images, begin, end, part):
    first = part * (begin - end)
    velocities = velocity(oracle(noisy_images, *rates(begin)), *rates(begin))
    there = first.cos() * noisy_images - first.sin() * velocities
    later = exact(oracle, there, begin - first, end) if part < 1 else torch.zeros_like(noisy_images)
    return mean_velocity_target(noisy_images, velocities, later, begin - end, first)


@pytest.fixture
def noisy_images():
    return torch.randn(64, 1, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def angle(value):
    return torch.full((64, 1, 1, 1), value, dtype=torch.float64)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: type(oracle).__name__)
@pytest.mark.parametrize(("begin", "end"), [(1.2, 0.2), (1.55, 0.0), (0.5, 0.1)])
def test_the_exact_mean_velocity_fulfils_the_equation_ever_better(oracle, begin, end, noisy_images):
    """Its error is of second order in the first part of the step."""
    begin, end = angle(begin), angle(end)
    wanted = exact(oracle, noisy_images, begin, end)
    errors = [
        float((target(oracle, noisy_images, begin, end, part) - wanted).abs().max())
        for part in (1e-2, 1e-3, 1e-4)
    ]
    assert errors[0] / errors[1] == pytest.approx(100, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(100, rel=0.1)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: type(oracle).__name__)
def test_the_mean_velocity_of_a_short_step_is_the_velocity(oracle, noisy_images):
    begin = angle(0.9)
    now = velocity(oracle(noisy_images, *rates(begin)), *rates(begin))
    torch.testing.assert_close(exact(oracle, noisy_images, begin, begin - 1e-5), now, atol=1e-4, rtol=1e-4)


def test_a_step_that_is_all_first_part_is_flow_matching(noisy_images):
    velocities = noisy_images.roll(1, 0)
    for whole in (angle(0.0), angle(0.7)):
        found = mean_velocity_target(noisy_images, velocities, noisy_images.roll(2, 0), whole, whole)
        torch.testing.assert_close(found, velocities)


def test_a_step_to_the_image_is_consistency_training(noisy_images):
    """The target's image is the one that is predicted at the level between."""
    begin, first = angle(1.3), angle(0.2)
    velocities, later = noisy_images.roll(1, 0), noisy_images.roll(2, 0)
    wanted = mean_velocity_target(noisy_images, velocities, later, begin, first)
    there = first.cos() * noisy_images - first.sin() * velocities
    between = begin - first
    image = between.cos() * there - between.sin() * later
    torch.testing.assert_close(begin.cos() * noisy_images - begin.sin() * wanted, image)


def test_a_pair_of_image_and_noises_moves_along_its_own_velocity(noisy_images):
    """So x_r is the same pair, mixed at the level between."""
    images, noises, begin, first = noisy_images, noisy_images.roll(1, 0), angle(1.1), angle(0.4)
    velocities = begin.cos() * noises - begin.sin() * images
    there = first.cos() * mix(images, noises, *rates(begin)) - first.sin() * velocities
    torch.testing.assert_close(there, mix(images, noises, *rates(begin - first)))


def test_lengths_are_parts_of_a_quarter_circle():
    begin, end = rates(angle(torch.pi / 2)), rates(angle(torch.pi / 8))
    torch.testing.assert_close(step_lengths(*begin, *end), angle(0.75))
    assert (step_lengths(*begin, *begin) == 0).all()


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: type(oracle).__name__)
@pytest.mark.parametrize("num_steps", [1, 2, 5])
@pytest.mark.parametrize("spacing", ["uniform", "log_snr"])
def test_few_jumps_with_the_exact_mean_velocity_end_where_the_flow_does(
    oracle, num_steps, spacing, noisy_images
):
    schedule = OffsetCosine(0.002, 0.9999)
    times = spaced_times(spacing, num_steps, schedule)
    grid = time_grid(num_steps, schedule, times)
    jumps = ExactJumps(oracle, step_ends(grid, at_image=False))
    found = last(ddim(jumps, noisy_images, num_steps, schedule, times=times)).images
    first = RatePair(*(rate[:1].expand(64, 1, 1, 1) for rate in grid))
    wanted = oracle.flow(noisy_images, first, rates(angle(0.0)))
    torch.testing.assert_close(found, wanted, atol=1e-7, rtol=1e-7)


def test_consistency_steps_with_the_exact_mean_velocity_have_the_distribution_of_the_data():
    """Every one, however few: here the quantiles of a mixture, of 20,000 samples."""
    schedule, mixture, count = OffsetCosine(0.002, 0.99999), Mixture(), 20_000
    generator = torch.Generator().manual_seed(1)

    def draw():
        return torch.randn(count, 1, 1, 1, dtype=torch.float64, generator=generator)

    for num_steps in (1, 2, 3):
        jumps = ExactJumps(mixture, step_ends(time_grid(num_steps, schedule), at_image=True))
        found = last(consistency(jumps, draw(), num_steps, schedule, draw_noises=draw)).images
        ranks = mixture.below(found, *rates(torch.zeros_like(found))).flatten().sort().values
        even = (torch.arange(count) + 0.5) / count
        assert (ranks - even).abs().max() < 1.63 / count**0.5  # Kolmogorov and Smirnov, 1 %


class ExactNetwork(nn.Module):
    """The exact mean velocity of an oracle, plus weights, which are 0, times 1, x_t and x_t^2."""

    config = SimpleNamespace(step_length=True)

    def __init__(self, oracle):
        super().__init__()
        self.oracle, self.weights = oracle, nn.Parameter(torch.zeros(3))

    def forward(self, noisy_images, conditions, step_lengths):
        x, begin = noisy_images.double(), conditions.double().asin()
        with torch.no_grad():
            found = exact(self.oracle, x, begin, begin - step_lengths.double() * torch.pi / 2)
        return found + sum(weight * x**power for power, weight in enumerate(self.weights))


def gradients_of(oracle, pairs, steps, weights=(0.0, 0.0, 0.0)):
    """Mean gradient of the loss by each weight, in standard errors, and the losses."""
    network = ExactNetwork(oracle)
    with torch.no_grad():
        network.weights.copy_(torch.tensor(weights))
    denoiser = Denoiser(
        network,
        (1, 1, 1),
        normalizer=Normalizer(mean=(0.0,), std=(1.0,)),
        schedule=OffsetCosine(0.002, 0.9999),
        objective=Objective("velocity", "velocity", "l2"),
        condition="rate",
    )
    found, parts = [], []
    for some in zip(
        *(each.float().chunk(len(each) // 250 + 1) for each in (*pairs, steps.lengths)), strict=True
    ):
        losses = denoiser.losses(*some[:4], steps=steps._replace(lengths=some[4])).losses
        parts.append(losses.detach())
        found.append(torch.autograd.grad(losses.mean(), network.weights)[0])
    each = torch.stack(found)
    return each.mean(0) / (each.std(0) / len(each) ** 0.5), torch.cat(parts)


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: type(oracle).__name__)
def test_the_loss_of_pictures_has_no_gradient_at_the_exact_mean_velocity(oracle):
    """Its target is noisy, and right on average: the mean gradient is chance."""
    count, generator = 10_000, torch.Generator().manual_seed(0)
    images = Mixture().sample(count, generator)
    if isinstance(oracle, Gaussian):
        images = 0.3 + 0.5 * torch.randn(count, 1, 1, 1, generator=generator)
    noises = torch.randn(count, 1, 1, 1, generator=generator)
    begin = 0.3 + 1.2 * torch.rand(count, 1, 1, 1, generator=generator)
    lengths = begin * torch.rand(count, 1, 1, 1, generator=generator).clamp(min=0.1)
    pairs, steps = (images, noises, *rates(begin)), Steps(lengths, 0.01)
    at_it, _ = gradients_of(oracle, pairs, steps)
    assert at_it.abs().max() < 4
    for weights in ((0.1, 0.0, 0.0), (0.0, 0.1, 0.0), (0.0, 0.0, 0.1)):
        beside, _ = gradients_of(oracle, pairs, steps, weights)
        assert beside.abs().max() > 8


@pytest.mark.parametrize("oracle", ORACLES, ids=lambda oracle: type(oracle).__name__)
def test_the_loss_of_exact_walks_is_zero_at_the_exact_mean_velocity(oracle):
    count, generator = 500, torch.Generator().manual_seed(0)
    begin = 0.3 + 1.2 * torch.rand(count, 1, 1, 1, generator=generator, dtype=torch.float64)
    end = begin * 0.9 * torch.rand(count, 1, 1, 1, generator=generator, dtype=torch.float64)
    noisy = torch.randn(count, 1, 1, 1, generator=generator, dtype=torch.float64)
    images, noises = pair_through(noisy, oracle.flow(noisy, rates(begin), rates(end)), begin, end)
    steps = MeanVelocity(walking=Walking()).steps(begin - end, 0.5)
    gradients, losses = gradients_of(oracle, (images, noises, *rates(begin)), steps)
    assert losses.max() < 1e-8
    _, beside = gradients_of(oracle, (images, noises, *rates(begin)), steps, (0.1, 0.0, 0.0))
    assert beside.mean() > 1e-3
    assert gradients.isfinite().all()


class Tiny(nn.Module):
    """A network of one pixel that is told the length of a step."""

    config = SimpleNamespace(step_length=True)

    def __init__(self):
        super().__init__()
        width = 64
        self.layers = nn.Sequential(
            nn.Linear(3, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 1)
        )

    def forward(self, noisy_images, conditions, step_lengths=None):
        lengths = torch.zeros_like(conditions) if step_lengths is None else step_lengths
        return self.layers(torch.cat([noisy_images, conditions, lengths], 1).flatten(1)).view(-1, 1, 1, 1)


@pytest.mark.slow
def test_a_small_network_trained_on_a_mixture_reaches_the_exact_jumps():
    torch.manual_seed(0)
    mixture, steps = Mixture(), 1000
    diffusion = Diffusion(
        Tiny(),
        (1, 1, 1),
        normalizer=Normalizer(mean=(0.0,), std=(1.0,)),
        schedule=OffsetCosine(0.002, 0.9999),
        objective=Objective("velocity", "velocity", "l2"),
        noise_levels=LogNormal(0.0, 1.6),
        condition="rate",
        mean_velocity=MeanVelocity(),
        optimizer=OptimizerConfig(learning_rate=3e-3, weight_decay=0.0),
    )
    for step in range(steps):
        diffusion.spent = step / steps
        diffusion.weights.set_learning_rate(3e-3 * (1 - step / steps))
        diffusion.train_step(mixture.sample(256))
    for begin, end in ((1.5, 0.0), (1.2, 0.0), (1.5, 0.8)):
        noisy_images = torch.linspace(-1.8, 1.8, 64).view(-1, 1, 1, 1)
        first, then = (rates(torch.full_like(noisy_images, value)) for value in (begin, end))
        with torch.no_grad():
            jump = diffusion.ema.denoise(noisy_images, *first, ends=then)
            still = diffusion.ema.denoise(noisy_images, *first)
        wanted = mixture.flow(noisy_images, first, then)
        error = (mix(jump.images, jump.noises, *then) - wanted).abs().mean()
        assert error < 0.15
        assert error < (mix(still.images, still.noises, *then) - wanted).abs().mean() / 2


def test_a_network_that_is_not_told_the_length_of_a_step_is_refused():
    with pytest.raises(UnnoiseError, match="Build it with step_length=True"):
        Diffusion(UNet(1, (8, 16)), (1, 8, 8), mean_velocity=MeanVelocity())


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"to_image": 0.8, "standing": 0.3}, "add up to at most 1, but got 0.8 and 0.3"),
        ({"standing": -0.1}, "add up to at most 1"),
        ({"first_part": 0.1, "last_part": 0.2}, "parts fall from at most 1 to above 0, but got 0.1 and 0.2"),
        ({"last_part": 0.0}, "parts fall from at most 1"),
    ],
)
def test_values_out_of_range_are_refused(values, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        MeanVelocity(**values)
