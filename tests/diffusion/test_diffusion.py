"""One denoise, called by training, testing and generation alike; only the noisy images differ."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import unnoise
from helpers.sampling import column
from helpers.scarce_memory import ScarceMemory
from unnoise import Diffusion, Normalizer
from unnoise.diffusion.noise_levels import DrawnLevels, LogNormal
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.schedules import Cosine, LogSNRLinear, OffsetCosine
from unnoise.diffusion.tensors import mix
from unnoise.networks import UNet
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.utils.errors import UnnoiseError

SHAPE = (2, 6, 5)


class Spy(nn.Module):
    """A network of one weight that remembers what it was given."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(value))
        self.calls = []

    def forward(self, noisy_images, conditions):
        self.calls.append((noisy_images, conditions, self.training, torch.is_grad_enabled()))
        return noisy_images * self.weight


def images(count: int = 8) -> torch.Tensor:
    return torch.rand(count, *SHAPE, generator=torch.Generator().manual_seed(5))


def spied(**choices) -> Diffusion:
    return Diffusion(Spy(), SHAPE, **choices)


def calls(diffusion: Diffusion) -> list:
    return diffusion.network.calls


@pytest.mark.row("T2")
@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("variance", [0.0975, 0.9996]),
        ("rate", [0.3122499, 0.9997999]),
        ("log_snr", [0.5 - 2.225316 / 40, 0.5 + 7.823646 / 40]),
    ],
)
def test_what_the_network_is_told(condition, expected):
    diffusion = spied(condition=condition)
    rates = OffsetCosine()(column(0, 1))
    diffusion.denoiser.denoise(torch.randn(2, *SHAPE), *rates)
    ((_, told, _, _),) = calls(diffusion)
    torch.testing.assert_close(told.flatten(), torch.tensor(expected), atol=1e-5, rtol=1e-5)


@pytest.mark.row("T2")
def test_the_book_tells_the_variance_in_training_and_in_sampling():
    diffusion = spied()
    diffusion.train_step(images())
    diffusion.ema.generate(2, 5)
    told_in_training = calls(diffusion)[0][1]
    told_in_sampling = torch.stack([call[1][0] for call in calls(diffusion.ema)]).flatten()
    low, high = 0.0975 - 1e-6, 0.9996 + 1e-6
    assert ((told_in_training >= low) & (told_in_training <= high)).all()
    expected = OffsetCosine()(column(1, 0.8, 0.6, 0.4, 0.2)).noise_rates.square().flatten()
    torch.testing.assert_close(told_in_sampling, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.row("T3")
def test_denoise_is_the_equation():
    diffusion = spied()
    with torch.no_grad():
        diffusion.network.weight.fill_(0.3)
    noisy_images, rates = torch.randn(7, *SHAPE), OffsetCosine()(torch.rand(7, 1, 1, 1))
    prediction = diffusion.denoiser.denoise(noisy_images, *rates)
    by_hand = (noisy_images - rates.noise_rates * 0.3 * noisy_images) / rates.signal_rates
    torch.testing.assert_close(prediction.noises, 0.3 * noisy_images)
    torch.testing.assert_close(prediction.images, by_hand)
    torch.testing.assert_close(
        mix(prediction.images, prediction.noises, *rates), noisy_images, atol=1e-5, rtol=1e-5
    )


@pytest.mark.row("T1", "T6")
def test_injected_noises_and_times_reproduce_the_loss():
    diffusion = Diffusion(UNet(2, (8, 16), 1), SHAPE, normalizer=Normalizer.fit(images()))
    with torch.no_grad():
        nn.init.normal_(diffusion.network.head.weight, std=0.1)
    x = diffusion.normalizer.normalize(images())
    noises, rates = torch.randn(8, *SHAPE), OffsetCosine()(torch.rand(8, 1, 1, 1))
    result = diffusion.denoiser.losses(x, noises, *rates)
    output = diffusion.network(rates.signal_rates * x + rates.noise_rates * noises, rates.noise_rates**2)
    torch.testing.assert_close(result.losses, (noises - output).abs().mean(dim=(1, 2, 3)))
    torch.testing.assert_close(result.noise_loss, result.losses.mean())
    guess = (rates.signal_rates * x + rates.noise_rates * (noises - output)) / rates.signal_rates
    torch.testing.assert_close(result.image_loss, (x - guess).abs().mean(), rtol=1e-4, atol=1e-5)


@pytest.mark.row("T1")
def test_a_step_draws_one_time_and_one_noise_for_each_image():
    diffusion = spied(normalizer=Normalizer((0.5,), (0.25,)))
    generator = torch.Generator().manual_seed(9)
    diffusion.train_step(images(64), generator=generator)
    noisy_images, told, training, gradients = calls(diffusion)[0]
    assert told.shape == (64, 1, 1, 1)
    assert len(told.unique()) == 64
    assert training
    assert gradients
    # the same draws by hand: t uniform, then eps normal
    again = torch.Generator().manual_seed(9)
    rates = OffsetCosine()(torch.rand(64, 1, 1, 1, generator=again))
    noises = torch.randn(64, *SHAPE, generator=again)
    x = (images(64) - 0.5) / 0.25
    torch.testing.assert_close(noisy_images, mix(x, noises, *rates))


@pytest.mark.row("T4", "J5", "J6")
def test_training_uses_the_network_and_everything_else_its_average():
    diffusion = spied()
    diffusion.train_step(images())
    assert len(calls(diffusion)) == 1
    assert len(calls(diffusion.ema)) == 0
    diffusion.test_step(images())
    diffusion.ema.generate(3, 4)
    list(diffusion.ema.reverse_diffusion(torch.randn(1, *SHAPE), 2))
    assert len(calls(diffusion)) == 1
    assert len(calls(diffusion.ema)) == 1 + 4 + 2
    assert not any(training or gradients for _, _, training, gradients in calls(diffusion.ema))


@pytest.mark.row("J5")
def test_the_network_is_called_in_one_place():
    source = Path(unnoise.__file__).parent
    lines = [
        line
        for file in source.rglob("*.py")
        for line in file.read_text().splitlines()
        if "self.network(" in line
    ]
    assert len(lines) == 1


@pytest.mark.row("J1", "J2", "J3", "Q5")
def test_only_the_network_learns():
    diffusion = Diffusion(UNet(2, (8, 16), 1), SHAPE)
    assert not isinstance(diffusion, nn.Module)
    held = {id(p) for group in diffusion.weights.optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in diffusion.network.parameters()}
    averaged = list(diffusion.weights.average.network.parameters())
    assert not held & {id(p) for p in averaged}
    assert not any(p.requires_grad for p in averaged)
    assert not hasattr(diffusion.ema, "train_step")  # the average follows the network


@pytest.mark.row("M1", "T4")
def test_a_step_moves_the_network_and_then_the_average():
    diffusion = Diffusion(Spy(1.0), SHAPE, ema=EMAConfig(decay=0.9))
    diffusion.train_step(images())
    moved = diffusion.network.weight.item()
    assert moved != 1.0
    assert diffusion.weights.average.network.weight.item() == pytest.approx(0.9 + 0.1 * moved)
    before = diffusion.network.weight.item()
    diffusion.test_step(images())
    assert diffusion.network.weight.item() == before


@pytest.mark.row("T5")
def test_the_books_optimiser():
    diffusion = spied()
    assert isinstance(diffusion.weights.optimizer, torch.optim.AdamW)
    group = diffusion.weights.optimizer.param_groups[0]
    assert (group["lr"], group["weight_decay"], group["betas"]) == (1e-3, 1e-4, (0.9, 0.999))


@pytest.mark.parametrize(
    ("name", "kind"),
    [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("rmsprop", torch.optim.RMSprop)],
)
def test_every_optimiser_finds_the_best_linear_denoiser(name, kind):
    """For N(0, 1) data at one noise level the best eps = w x has w = noise_rate: all three must find it."""

    class OneLevel:
        def draw(self, count, schedule, generator):
            return DrawnLevels(*OffsetCosine()(torch.full((count, 1, 1, 1), 0.5)))

    diffusion = Diffusion(
        Spy(),
        (1, 8, 8),
        objective=Objective("noise", "noise", "l2"),
        noise_levels=OneLevel(),
        optimizer=OptimizerConfig(name=name, learning_rate=1e-2, weight_decay=0.0, decay="linear"),
    )
    assert isinstance(diffusion.weights.optimizer, kind)
    for step in range(300):
        diffusion.weights.set_learning_rate(diffusion.weights.config.learning_rate_at(step / 300))
        diffusion.train_step(torch.randn(64, 1, 8, 8))
    assert diffusion.network.weight.item() == pytest.approx(0.8041105, abs=0.03)


def test_learning_rate_follows_the_budget():
    config = OptimizerConfig(learning_rate=2.0, warmup=0.1, decay="linear")
    expected = {0.0: 0.02, 0.05: 1.0, 0.1: 2.0, 0.55: 1.0, 1.0: 0.0}
    assert {spent: config.learning_rate_at(spent) for spent in expected} == pytest.approx(expected)
    cosine = OptimizerConfig(learning_rate=1.0, decay="cosine")
    assert cosine.learning_rate_at(0.25) == pytest.approx((1 + math.cos(math.pi / 4)) / 2)
    assert OptimizerConfig(learning_rate=1.0).learning_rate_at(0.9) == 1.0


def test_long_gradients_are_shortened():
    diffusion = Diffusion(Spy(100.0), SHAPE, optimizer=OptimizerConfig(max_gradient_norm=0.5))
    diffusion.train_step(images())
    assert diffusion.network.weight.grad.norm().item() == pytest.approx(0.5, rel=1e-4)


@pytest.mark.row("X6")
def test_initial_noises_are_used_as_they_are_and_must_match():
    diffusion = spied()
    noises = torch.randn(3, *SHAPE)
    assert torch.equal(
        diffusion.ema.generate(initial_noises=noises, num_steps=2),
        diffusion.ema.generate(3, 2, initial_noises=noises),
    )
    assert torch.equal(calls(diffusion.ema)[0][0], noises)
    with pytest.raises(UnnoiseError, match=r"have the shape \(2, 2, 6, 5\) here, but got \(3, 2, 6, 5\)"):
        diffusion.ema.generate(2, initial_noises=noises)
    with pytest.raises(UnnoiseError, match=r"but got \(3, 2, 4, 4\)"):
        diffusion.ema.generate(initial_noises=torch.randn(3, 2, 4, 4))
    with pytest.raises(UnnoiseError, match="At least 1 image"):
        diffusion.ema.generate(0)


@pytest.mark.row("X4")
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_seed_is_the_same_picture_at_any_batch_size(eta):
    diffusion = Diffusion(UNet(2, (8, 16), 1), SHAPE)
    with torch.no_grad():
        nn.init.normal_(diffusion.weights.average.network.head.weight, std=0.05)
    at_once = diffusion.ema.generate(5, 4, seed=10, eta=eta)
    in_pairs = diffusion.ema.generate(5, 4, seed=10, eta=eta, batch_size=2)
    torch.testing.assert_close(at_once, in_pairs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        diffusion.ema.generate(1, 4, seed=13, eta=eta)[0], at_once[3], atol=1e-5, rtol=1e-5
    )
    assert not torch.allclose(at_once[0], at_once[1])
    assert at_once.min() >= 0
    assert at_once.max() <= 1


@pytest.mark.row("X9")
def test_given_noises_are_not_drawn_again_on_the_way():
    """With eta > 0 the first draw of a seed must not come a second time, or noise would be added to itself."""
    diffusion = Diffusion(UNet(2, (8, 16), 1), SHAPE)
    start = diffusion.ema.noises(range(2))()
    given = diffusion.ema.generate(initial_noises=start, num_steps=3, eta=1.0)
    torch.testing.assert_close(given, diffusion.ema.generate(2, 3, eta=1.0), atol=1e-5, rtol=1e-5)


@pytest.mark.row("J2")
@pytest.mark.cuda
def test_the_same_picture_on_another_device():
    torch.manual_seed(0)
    network = UNet(2, (8, 16), 1)
    nn.init.normal_(network.head.weight, std=0.1)
    on_cpu = Diffusion(copy.deepcopy(network), SHAPE).generate(4, 5)
    on_gpu = Diffusion(network, SHAPE, device="cuda")
    with torch.backends.cudnn.flags(allow_tf32=False):  # whose products have three digits
        drawn = on_gpu.generate(4, 5).cpu()
    torch.testing.assert_close(drawn, on_cpu, atol=1e-3, rtol=0)
    assert torch.isfinite(on_gpu.train_step(images()).loss)


@pytest.mark.row("X8", "N5")
def test_a_trajectory_starts_at_the_noise_and_ends_at_the_picture():
    diffusion = spied(normalizer=Normalizer((0.5,), (0.05,)))  # so small that nothing is clipped
    noises = diffusion.ema.noises([4, 5])()
    steps = diffusion.ema.trajectory(noises, 3)
    assert steps.shape == (4, 2, *SHAPE)
    torch.testing.assert_close(steps[0], diffusion.normalizer.denormalize(noises), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(steps[-1], diffusion.ema.generate(2, 3, seed=4), atol=1e-6, rtol=0)
    entered = torch.stack([call[0] for call in calls(diffusion.ema)][:3])
    torch.testing.assert_close(steps[:3], diffusion.normalizer.denormalize(entered), atol=1e-5, rtol=1e-5)


def test_a_trajectory_leaves_the_device_step_by_step(monkeypatch):
    """So that a device holds a few steps, however long it is."""
    diffusion, moved = spied(), []
    cpu = torch.Tensor.cpu

    def recorded(tensor, *given, **more):
        if tensor.shape == (2, *SHAPE):
            moved.append(len(calls(diffusion.ema)))
        return cpu(tensor, *given, **more)

    monkeypatch.setattr(torch.Tensor, "cpu", recorded)
    diffusion.ema.trajectory(diffusion.ema.noises([4, 5])(), 5)
    assert moved == [1, 2, 3, 4, 5, 5]  # after each call of the network, and the picture at the end


def test_an_average_in_pieces_draws_the_same_pictures(monkeypatch):
    """Also where the parts of one batch have different classes and predictions of the step before."""
    network = UNet(2, (8, 16), 1, num_classes=3, self_conditioning=True)
    nn.init.normal_(network.head.weight, std=0.1)
    diffusion, told = Diffusion(network, SHAPE), {"classes": torch.arange(7) % 3, "seed": 5}
    wanted = diffusion.ema.generate(7, 4, **told)
    scarce = ScarceMemory(monkeypatch, sampling=3)
    with pytest.warns(UserWarning, match="too small for 7 pictures at once: from now on the network takes 3"):
        found = diffusion.ema.generate(7, 4, **told)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)
    assert scarce.failed == [7]
    assert diffusion.denoiser.pieces is diffusion.ema.pieces


def test_reverse_diffusion_is_an_iterator_of_predictions():
    diffusion = spied()
    predictions = list(diffusion.ema.reverse_diffusion(torch.randn(2, *SHAPE), 6))
    assert len(predictions) == 6
    assert len(calls(diffusion.ema)) == 6
    assert not calls(diffusion)
    assert {tuple(p.images.shape) for p in predictions} == {(2, *SHAPE)}


@pytest.mark.row("S3")
def test_a_schedule_without_signal_is_refused_where_it_would_divide_by_zero():
    with pytest.raises(UnnoiseError, match="Cosine starts sampling with almost no signal"):
        spied(schedule=Cosine())
    diffusion = spied(schedule=Cosine(), objective=Objective("velocity", "velocity", "l2"))
    assert torch.isfinite(diffusion.ema.generate(2, 3)).all()


@pytest.mark.parametrize(
    "objective",
    [
        Objective(a, b, c)
        for a, b, c in [("image", "image", "l1"), ("velocity", "noise", "huber"), ("noise", "image", "l2")]
    ],
)
def test_other_objectives_and_levels_train(objective):
    diffusion = Diffusion(
        UNet(2, (8, 16), 1),
        SHAPE,
        objective=objective,
        schedule=LogSNRLinear(6, -6),
        noise_levels=LogNormal(),
        condition="log_snr",
    )
    before = [p.clone() for p in diffusion.network.parameters()]
    result = diffusion.train_step((images() * 255).byte())
    assert all(torch.isfinite(value) for value in result)
    assert any(not torch.equal(a, b) for a, b in zip(before, diffusion.network.parameters(), strict=True))


def test_bfloat16_is_only_the_networks_arithmetic():
    torch.manual_seed(0)
    network = UNet(2, (8, 16), 1)
    with torch.no_grad():
        nn.init.normal_(network.head.weight, std=0.1)
    exact, rough = (Diffusion(network, SHAPE, precision=p) for p in ("float32", "bfloat16"))
    noisy_images, rates = torch.randn(4, *SHAPE), OffsetCosine()(torch.rand(4, 1, 1, 1))
    predictions = [diffusion.denoiser.denoise(noisy_images, *rates).noises for diffusion in (exact, rough)]
    assert predictions[1].dtype == torch.float32
    assert not torch.equal(*predictions)
    torch.testing.assert_close(*predictions, atol=0.05, rtol=0.05)
    assert torch.isfinite(rough.train_step(images()).loss)
    assert {p.dtype for p in rough.network.parameters()} == {torch.float32}


@pytest.mark.row("X3", "T3")
def test_an_exact_network_samples_the_data_through_every_objective():
    """Behind the class the ideal denoiser of N(mu, tau^2) gives the same pictures whatever it predicts."""
    mu, tau, schedule = 0.3, 0.5, OffsetCosine(0.01, 0.999)

    class Ideal(nn.Module):
        def __init__(self, objective):
            super().__init__()
            self.unused = nn.Parameter(torch.zeros(1))
            self.objective = objective

        def forward(self, noisy_images, conditions):
            rates = conditions.sqrt(), (1 - conditions).sqrt()
            return self.objective.target(Gaussian(mu, tau)(noisy_images, *rates), *rates)

    pictures = [
        Diffusion(
            Ideal(objective),
            (1, 8, 8),
            schedule=schedule,
            objective=objective,
            normalizer=Normalizer((0.5,), (0.1,)),
        ).ema.generate(200, 50)
        for objective in (Objective("noise"), Objective("image"), Objective("velocity"))
    ]
    for picture in pictures:
        assert picture.mean().item() == pytest.approx(0.5 + 0.1 * mu, abs=2e-3)
        assert picture.std().item() == pytest.approx(0.1 * tau, rel=0.06)
        torch.testing.assert_close(picture, pictures[0], atol=5e-4, rtol=0)


def test_a_short_training_with_the_defaults_draws_with_what_was_learned_last():
    """The average of a hundred steps is that of their end, not of the untrained network."""
    torch.manual_seed(0)
    diffusion = Diffusion(UNet(channels=1, widths=(4, 8), block_depth=1), image_shape=(1, 8, 8))
    first = torch.cat([p.detach().flatten().clone() for p in diffusion.network.parameters()])
    for _ in range(100):
        diffusion.train_step(torch.rand(4, 1, 8, 8))
    last, average = (
        torch.cat([p.detach().flatten() for p in network.parameters()])
        for network in (diffusion.network, diffusion.ema.network)
    )
    assert (average - last).norm() < 0.3 * (average - first).norm()
