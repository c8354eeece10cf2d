"""What is random in a training step, and the losses that need more than the image."""

import math

import pytest
import torch
from torch import nn

from unnoise import Diffusion, Normalizer
from unnoise.diffusion.conditioning import Abilities
from unnoise.diffusion.learned_variance import variance_loss
from unnoise.diffusion.noise_levels import UniformTimes
from unnoise.diffusion.noising import Noising
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.diffusion.tensors import Prediction, mix
from unnoise.networks import UNet
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.utils.errors import UnnoiseError

IMAGES = torch.rand(16, 2, 8, 8, generator=torch.Generator().manual_seed(5))
CLASSES = torch.arange(16) % 3


def drawn(noising, classes=None, network=None, seed=0, *, training=True):
    generator = torch.Generator().manual_seed(seed)
    images = torch.zeros(4000, 2, 2, 2)
    abilities = Abilities(network or nn.Identity())
    return noising.draw(
        images, classes, UniformTimes(), OffsetCosine(), abilities, generator, training=training
    )


@pytest.mark.row("L3")
def test_offset_noise_is_shared_by_a_channel_and_changes_nothing_of_the_callers():
    """Of noise with std 1 and 4 pixels a channel mean has variance 1/4; an offset of 0.5 adds 1/4."""
    for strength, variance in ((0.0, 0.25), (0.5, 0.5)):
        means = drawn(Noising(offset_noise=strength)).noises.mean(dim=(2, 3))
        assert means.var().item() == pytest.approx(variance, abs=5 * variance * math.sqrt(2 / 8000))
    given = IMAGES.clone()
    diffusion = Diffusion(UNet(2, (8, 8), 1), (2, 8, 8), offset_noise=0.1)
    diffusion.train_step(given)
    assert torch.equal(given, IMAGES)


@pytest.mark.row("L10")
def test_classes_are_hidden_sometimes_and_only_in_training():
    network = UNet(2, (8, 8), 1, num_classes=3)
    classes = torch.arange(4000) % 3
    told = drawn(Noising(class_dropout=0.2), classes, network).classes
    hidden = told == 3
    assert hidden.float().mean().item() == pytest.approx(0.2, abs=4 * math.sqrt(0.16 / 4000))
    assert torch.equal(told[~hidden], classes[~hidden])
    assert torch.equal(drawn(Noising(class_dropout=0.2), classes, network, training=False).classes, classes)
    assert drawn(Noising(), classes).classes is None  # this network knows none


@pytest.mark.row("L4")
def test_every_other_step_looks_twice_and_every_test_does():
    network = UNet(2, (8, 8), 1, self_conditioning=True)
    looks = [drawn(Noising(), network=network, seed=seed).self_condition for seed in range(60)]
    assert 18 < sum(looks) < 42
    assert all(drawn(Noising(), network=network, seed=k, training=False).self_condition for k in range(5))
    assert not drawn(Noising()).self_condition


@pytest.mark.parametrize("choices", [{"class_dropout": 1.5}, {"offset_noise": -0.1}])
def test_values_are_checked(choices):
    with pytest.raises(UnnoiseError, match="but got"):
        Noising(**choices)


@pytest.mark.row("L10")
def test_the_variance_that_the_hybrid_loss_wants_is_the_true_one():
    """For N(0, 1) data and the exact denoiser the reverse step has variance beta: v = 1 costs least."""
    schedule = LinearBeta(50)
    images = torch.randn(5000, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    step = torch.full((5000, 1, 1, 1), 11 / 50)
    rates = schedule(step)
    noisy_images = mix(images, torch.randn(images.shape, generator=torch.Generator().manual_seed(1)), *rates)
    prediction = Gaussian()(noisy_images, *rates)
    costs = {}
    for value in (0.0, 0.5, 0.9, 1.0, 1.1):
        told = prediction._replace(variances=torch.full_like(images, value))
        costs[value] = variance_loss(told, images, *rates, schedule).mean().item()
    assert min(costs, key=costs.get) == 1.0
    assert costs[1.0] < costs[0.9] < costs[0.5] < costs[0.0]


@pytest.mark.row("L10")
def test_the_hybrid_loss_moves_the_variance_alone_and_spares_the_last_step():
    schedule = LinearBeta(50)
    images, predicted = torch.randn(2, 6, 1, 2, 2)
    variances = torch.full_like(images, 0.3, requires_grad=True)
    predicted.requires_grad_()
    rates = schedule(torch.tensor([1, 2, 10, 30, 49, 50]).view(-1, 1, 1, 1) / 50)
    losses = variance_loss(Prediction(predicted, predicted, variances), images, *rates, schedule)
    losses.sum().backward()
    assert predicted.grad is None
    assert losses[0] == 0
    assert (variances.grad[0] == 0).all()
    assert (variances.grad[1:] != 0).all()
    assert torch.isfinite(losses).all()


@pytest.mark.row("L10", "L4")
@pytest.mark.parametrize(
    "abilities",
    [
        {"num_classes": 3},
        {"self_conditioning": True},
        {"learned_variance": True},
        {"uncertainty": True},
        {"num_classes": 3, "self_conditioning": True, "learned_variance": True, "uncertainty": True},
    ],
    ids=lambda chosen: "+".join(chosen),
)
def test_a_network_of_every_ability_learns_and_draws(abilities):
    torch.manual_seed(0)
    diffusion = Diffusion(
        UNet(2, (8, 16), 1, frequencies="timesteps", **abilities),
        (2, 8, 8),
        schedule=LinearBeta(100),
        objective=Objective("velocity", "velocity", "l2"),
        condition="timestep",
        optimizer=OptimizerConfig(learning_rate=3e-3),
    )
    diffusion.generator.manual_seed(0)
    classes = CLASSES if "num_classes" in abilities else None
    losses = [float(diffusion.train_step(IMAGES, classes).loss) for _ in range(60)]
    assert sum(losses[-10:]) < 0.95 * sum(losses[:10])
    sampling = Sampling(sampler="ancestral", num_steps=4, clip="static")
    if abilities.get("learned_variance"):
        sampling = Sampling(sampler="ancestral", num_steps=4, variance="learned")
    pictures = diffusion.ema.generate(3, sampling=sampling, classes=None if classes is None else classes[:3])
    assert pictures.shape == (3, 2, 8, 8)
    assert torch.isfinite(pictures).all()


@pytest.mark.row("L10")
def test_uncertainty_is_the_logarithm_of_the_loss_where_it_is_best():
    """EDM2 (2312.02696, eq. 21): d/du (L e^-u + u) = 0 at u = log L, where the value is 1 + log L."""

    class Constant(nn.Module):
        config = type("Config", (), {"uncertainty": True})()

        def __init__(self):
            super().__init__()
            self.u = nn.Parameter(torch.zeros(()))

        def forward(self, noisy_images, conditions):
            return torch.cat([torch.zeros_like(noisy_images), self.u.expand(len(noisy_images), 1, 8, 8)], dim=1)

    network = Constant()
    diffusion = Diffusion(network, (2, 8, 8), objective=Objective("noise", "noise", "l2"))
    noises = 0.5 * torch.ones(16, 2, 8, 8)
    rates = OffsetCosine()(torch.full((16, 1, 1, 1), 0.5))
    network.u.data.fill_(math.log(0.25))
    loss = diffusion.denoiser.losses(IMAGES, noises, *rates).losses.mean()
    loss.backward()
    assert loss.item() == pytest.approx(1 + math.log(0.25), abs=1e-6)
    assert network.u.grad.item() == pytest.approx(0, abs=1e-6)


def test_a_class_that_is_learned_is_drawn():
    """Two constant pictures, one a class: after a short training each class gives its own."""
    torch.manual_seed(0)
    shades = torch.tensor([0.2, 0.8]).repeat(32).view(-1, 1, 1, 1).expand(-1, 1, 4, 4)
    classes = torch.arange(64) % 2
    diffusion = Diffusion(
        UNet(1, (8, 16), 1, num_classes=2),
        (1, 4, 4),
        schedule=OffsetCosine(0.002, 0.9999),
        objective=Objective("velocity", "velocity", "l2"),
        optimizer=OptimizerConfig(learning_rate=5e-3, betas=(0.9, 0.99)),
        ema=EMAConfig(decay=0.9),
        normalizer=Normalizer((0.5,), (0.3,)),
    )
    diffusion.generator.manual_seed(0)
    for _ in range(200):
        diffusion.train_step(shades, classes)
    drawn_classes = torch.tensor([0, 1, 0, 1, 0, 1])
    means = diffusion.ema.generate(6, 10, classes=drawn_classes).mean(dim=(1, 2, 3))
    assert (means[0::2] < 0.4).all()
    assert (means[1::2] > 0.6).all()
    with pytest.raises(UnnoiseError, match="was trained without classes"):
        Diffusion(UNet(1, (8, 8), 1), (1, 8, 8)).ema.generate(1, 1, classes=torch.tensor([0]))
