"""Power-function EMA: its profile is exact at any interval, and stored averages make up others."""

import functools

import numpy as np
import pytest
import torch
from ema_pytorch import EMA
from ema_pytorch.post_hoc_ema import KarrasEMA, solve_weights
from torch import nn

from unnoise.optim.ema import EMAConfig, MovingAverage
from unnoise.optim.power_ema import (
    DEFAULT_SIGMA_RELS,
    MAX_SIGMA_REL,
    PowerAverages,
    Profile,
    decay,
    gamma_of,
    inner_products,
    mixture,
)
from unnoise.utils.errors import UnnoiseError

GAMMAS = {0.05: 16.972199, 0.10: 6.937204, 0.15: 3.557869, 0.28: 0.169344}


class Vector(nn.Module):
    """A network of a few weights in float64."""

    def __init__(self, size: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size, dtype=torch.float64))

    def set(self, value: torch.Tensor | float) -> None:
        with torch.no_grad():
            self.weight.copy_(torch.as_tensor(value))


@functools.cache
def step_weights(last: int, sigma_rel: float, every: int = 1) -> np.ndarray:
    """How much each of the steps 1 to `last` counts in the end, by carrying out one update after another."""
    weights, gamma, previous = np.zeros(last), gamma_of(sigma_rel), 0
    for step in range(every, last + 1, every):
        kept = decay(step, previous, gamma)
        weights[:step] *= kept
        weights[step - 1] = 1 - kept
        previous = step
    return weights


def width(weights: np.ndarray) -> float:
    """The standard deviation of when, as a part of the whole: the measured sigma_rel."""
    steps = np.arange(1, len(weights) + 1)
    mean = (weights * steps).sum()
    return float(np.sqrt((weights * (steps - mean) ** 2).sum()) / len(weights))


def sigma_rel_of(gamma: float) -> float:
    """The width of the profile with this exponent (EDM2, 2312.02696)."""
    return float(np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))))


# --- W8: gamma and sigma_rel --------------------------------------------------------------------------------


@pytest.mark.row("W8")
def test_gamma_and_sigma_rel_are_inverse_functions():
    for sigma_rel, gamma in GAMMAS.items():
        assert gamma_of(sigma_rel) == pytest.approx(gamma, abs=1e-6)
        assert sigma_rel_of(gamma) == pytest.approx(sigma_rel, abs=1e-7)
    for sigma_rel in np.geomspace(1e-3, MAX_SIGMA_REL, 50):
        gamma, inverse = gamma_of(float(sigma_rel)), float(sigma_rel) ** -2
        assert sigma_rel_of(gamma) == pytest.approx(sigma_rel, rel=1e-6)
        polynomial = [1, 7, 16 - inverse, 12 - inverse]
        assert np.polyval(polynomial, gamma) == pytest.approx(
            0, abs=1e-6 * np.polyval(np.abs(polynomial), gamma)
        )
        largest = max(root.real for root in np.roots(polynomial) if abs(root.imag) < 1e-9)
        assert gamma == pytest.approx(max(largest, 0), abs=1e-9)
    assert gamma_of(MAX_SIGMA_REL) == pytest.approx(0, abs=1e-6)
    assert sigma_rel_of(0) == MAX_SIGMA_REL  # that of the uniform distribution


@pytest.mark.row("W8")
@pytest.mark.parametrize("sigma_rel", [0.0, -0.1, 0.29, 1.0, float("nan"), float("inf")])
def test_a_sigma_rel_out_of_range_is_refused(sigma_rel):
    with pytest.raises(UnnoiseError, match=r"sigma_rel is above 0 and at most 0.2887, .* but got"):
        gamma_of(sigma_rel)


@pytest.mark.row("W8")
def test_decay_over_one_step_is_that_of_the_paper():
    for sigma_rel in GAMMAS:
        gamma = gamma_of(sigma_rel)
        assert decay(1, 0, gamma) == 0  # the first update copies
        for step in (2, 10, 1000, 10**6):
            assert decay(step, step - 1, gamma) == pytest.approx((1 - 1 / step) ** (gamma + 1), rel=1e-12)
            product = np.prod([decay(t, t - 1, gamma) for t in range(step, min(step + 50, 2 * step))])
            assert decay(min(step + 50, 2 * step) - 1, step - 1, gamma) == pytest.approx(product, rel=1e-12)


# --- W9: any interval ---------------------------------------------------------------------------------------


@pytest.mark.row("W9")
@pytest.mark.parametrize("every", [1, 10, 100])
@pytest.mark.parametrize("sigma_rel", GAMMAS)
def test_the_profile_has_its_width_at_any_interval_of_updates(sigma_rel, every):
    weights = step_weights(20_000, sigma_rel, every)
    assert weights.sum() == pytest.approx(1, abs=1e-12)
    assert (weights >= 0).all()
    assert width(weights) == pytest.approx(sigma_rel, rel=0.01)
    if every == 1:  # the profile itself, step by step: ((i/t)^(g+1) - ((i-1)/t)^(g+1))
        edges = (np.arange(20_001) / 20_000) ** (gamma_of(sigma_rel) + 1)
        np.testing.assert_allclose(weights, np.diff(edges), atol=1e-12)


@pytest.mark.row("W9")
@pytest.mark.parametrize("every", [1, 3, 10])
def test_the_average_weights_steps_by_its_profile(every):
    """Over the unit vectors as the network's states, the average reads out the weight of each step."""
    network = Vector(200)
    averages = PowerAverages(network, (0.05, 0.28), every)
    network.set(float("nan"))  # where it starts must not matter
    for step in range(200):
        network.set(torch.eye(200, dtype=torch.float64)[step])
        averages.update()
    last = 200 - 200 % every
    assert averages.profiles == [Profile(last, 0.05), Profile(last, 0.28)]
    for averaged, sigma_rel in zip(averages.networks, averages.sigma_rels, strict=True):
        measured = averaged.weight.numpy()
        np.testing.assert_allclose(measured[:last], step_weights(last, sigma_rel, every), atol=1e-12)
        assert not measured[last:].any()


@pytest.mark.row("W9")
def test_the_power_average_of_ema_pytorch_has_another_profile():
    """It applies the decay of one step once in `update_every`, so that the exponent is divided by it."""
    network = Vector(4000)
    theirs = KarrasEMA(network, sigma_rel=0.05, update_every=10)
    ours = PowerAverages(network, (0.05,), every=10)
    assert theirs.gamma == pytest.approx(gamma_of(0.05), rel=1e-9)
    eye = torch.eye(4000, dtype=torch.float64)
    for step in range(4000):
        network.set(eye[step])
        theirs.update()
        ours.update()
    assert width(ours.networks[0].weight.numpy()) == pytest.approx(0.05, rel=0.01)
    assert width(theirs.ema_model.weight.detach().numpy()) == pytest.approx(0.246, abs=0.005)


# --- W10: synthesis -----------------------------------------------------------------------------------------


def snapshots(last: int, count: int, sigma_rels=DEFAULT_SIGMA_RELS) -> list[Profile]:
    return [Profile(last * k // count, sigma_rel) for k in range(1, count + 1) for sigma_rel in sigma_rels]


@pytest.mark.row("W10")
def test_inner_products_equal_numerical_integrals():
    stored = [Profile(700, 0.28), Profile(1000, 0.05), Profile(1000, 0.10), Profile(300, 0.15)]
    products = inner_products(stored, stored)
    np.testing.assert_allclose(products, products.T, rtol=1e-14)
    for profile, own in zip(stored, np.diagonal(products), strict=True):
        gamma = gamma_of(profile.sigma_rel)
        assert own == pytest.approx((gamma + 1) ** 2 / ((2 * gamma + 1) * profile.step), rel=1e-12)
    middles = (np.arange(200_000) + 0.5) / 200
    heights = []
    for step, sigma_rel in stored:
        gamma = gamma_of(sigma_rel)
        heights.append((gamma + 1) / step * (middles / step) ** gamma * (middles <= step))
    np.testing.assert_allclose(products, np.array(heights) @ np.array(heights).T / 200, rtol=1e-4)


@pytest.mark.row("W10")
def test_the_mixture_for_a_stored_profile_is_that_profile():
    stored = snapshots(4000, 8)
    for index in (4, 14, 15):
        if stored[index].step == 4000:
            made = mixture(stored, stored[index])
            np.testing.assert_allclose(made.weights, np.eye(16)[index], atol=1e-9)
            assert made.misfit == pytest.approx(0, abs=1e-6)


@pytest.mark.row("W10")
@pytest.mark.parametrize(("sigma_rel", "misfit"), [(0.04, 0.011), (0.075, 0.004), (0.15, 0.01), (0.2, 0.03)])
def test_a_synthesised_average_is_near_the_one_computed_during_training(sigma_rel, misfit):
    """The mixture's weights over the steps against those of an average that was kept all along."""
    stored = snapshots(2000, 16)
    made = mixture(stored, Profile(2000, sigma_rel))
    mixed = np.zeros(2000)
    for (step, stored_width), weight in zip(stored, made.weights, strict=True):
        mixed[:step] += weight * step_weights(step, stored_width)
    direct = step_weights(2000, sigma_rel)
    distance = np.linalg.norm(mixed - direct) / np.linalg.norm(direct)
    assert distance < misfit
    assert distance == pytest.approx(made.misfit, rel=0.05)  # it says itself how good it is
    assert mixed.sum() == pytest.approx(1, abs=1e-9)
    assert width(mixed) == pytest.approx(sigma_rel, rel=0.02)


@pytest.mark.row("W10")
def test_mixture_weights_solve_the_equations_of_the_paper_where_the_fit_is_good():
    """A w = b, as the paper and ema-pytorch solve it; ours differ by making sure that they sum to 1."""
    stored, wanted = snapshots(4000, 16), Profile(4000, 0.075)
    ours = np.array(mixture(stored, wanted).weights)
    plain = np.linalg.solve(inner_products(stored, stored), inner_products(stored, [wanted])[:, 0])
    steps, widths = (torch.tensor(column, dtype=torch.float64) for column in zip(*stored, strict=True))
    gammas = torch.tensor([gamma_of(value) for value in widths.tolist()], dtype=torch.float64)
    theirs = solve_weights(steps, gammas, torch.tensor([4000.0]), torch.tensor([gamma_of(0.075)]))
    np.testing.assert_allclose(theirs.numpy()[:, 0], plain, atol=1e-5)  # the wanted gamma is float32 there
    np.testing.assert_allclose(ours, plain, atol=2e-3)
    assert ours.sum() == pytest.approx(1, abs=1e-12)
    few = snapshots(4000, 2)
    shrunk = np.linalg.solve(inner_products(few, few), inner_products(few, [Profile(4000, 0.28)])[:, 0]).sum()
    assert shrunk < 0.6  # which would nearly halve the network's weights
    assert sum(mixture(few, Profile(4000, 0.28)).weights) == pytest.approx(1, abs=1e-12)


@pytest.mark.row("W10")
def test_nearly_equal_snapshots_keep_mixture_weights_bounded():
    """After a stop, two may lie a step apart: no huge weights, which would multiply rounding."""
    crowded = sorted([*snapshots(4000, 8), *snapshots(3999, 1), *snapshots(3001, 1)])
    for sigma_rel in (0.04, 0.075, 0.15):
        made, clean = (mixture(stored, Profile(4000, sigma_rel)) for stored in (crowded, snapshots(4000, 8)))
        assert made.misfit <= clean.misfit + 1e-6
        assert np.abs(made.weights).sum() < 1e4
        assert sum(made.weights) == pytest.approx(1, abs=1e-6)


# --- what is averaged, what is copied -----------------------------------------------------------------------


@pytest.mark.row("Z1", "W5")
def test_batch_statistics_are_averaged_and_counters_copied():
    """Of the two customs for buffers (copied, or averaged like the weights) ours is to average.

    The averaged weights belong to no single step, so neither should the statistics that they are used with.
    """
    norm = nn.BatchNorm1d(3)
    averages = PowerAverages(norm, (0.10,))
    moving = MovingAverage(norm, EMAConfig(decay=0.9))
    means, weight = [], torch.zeros(3)
    for step in range(20):
        norm(torch.randn(16, 3) + 5)
        with torch.no_grad():
            norm.weight.fill_(step)
        averages.update()
        moving.update()
        means.append(norm.running_mean.clone())
        weight = 0.9 * weight + 0.1 * step if step else torch.full((3,), 0.9)  # it starts as a copy, of ones
    expected = torch.tensor(step_weights(20, 0.10), dtype=torch.float32) @ torch.stack(means)
    torch.testing.assert_close(averages.networks[0].running_mean, expected)
    torch.testing.assert_close(moving.network.weight.data, weight)  # shadow -= (1 - d) (shadow - weight)
    assert not torch.allclose(moving.network.running_mean, norm.running_mean)
    assert averages.networks[0].num_batches_tracked == norm.num_batches_tracked == 20


def test_the_averages_are_copies_without_gradients():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    averages = PowerAverages(network, DEFAULT_SIGMA_RELS)
    assert [averaged.state_dict().keys() for averaged in averages.networks] == 2 * [network.state_dict().keys()]
    assert not any(parameter.requires_grad for parameter in averages.networks.parameters())
    assert not any(module.training for module in averages.networks.modules())
    assert network.training
    nothing = PowerAverages(network, ())
    nothing.update()
    assert nothing.profiles == []
    assert nothing.steps == 1


@pytest.mark.parametrize(
    "settings",
    [
        {"profiles": (0.05, 0.3)},
        {"profiles": (0.05, 0.05)},
        {"profile_every": 0},
        {"snapshots": 0},
        {"megabytes": 0.0},
    ],
)
def test_profile_settings_out_of_range_are_refused(settings):
    with pytest.raises(UnnoiseError, match="but got"):
        EMAConfig(**settings)


# --- W5, W6: what else ema-pytorch does ---------------------------------------------------------------------


def two() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))


def ema_of(network: nn.Module, **options) -> EMA:
    return EMA(network, beta=0.5, min_value=0.5, update_after_step=-1, update_every=1, **options)


def moved(network: nn.Module, *averages: EMA) -> None:
    """The first call copies; then every float moves by 1, the counter by 7, and the second call averages."""
    for average in averages:
        average.update()
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            tensor.add_(1 if tensor.is_floating_point() else 7)
    for average in averages:
        average.update()


@pytest.mark.row("W5")
@pytest.mark.parametrize("foreach", [False, True])
def test_ema_pytorch_averages_copies_and_ignores_tensors_as_told(foreach):
    network = two()
    average = ema_of(
        network,
        ignore_names={"0.bias"},
        ignore_startswith_names={"1.running_m"},
        param_or_buffer_names_no_ema={"1.weight", "1.running_var"},
        use_foreach=foreach,
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    moved(network, average)
    parts = {name: (value - before[name]) for name, value in average.ema_model.state_dict().items()}
    expected = {
        "0.weight": 0.5,
        "0.bias": 0.0,  # ignored
        "1.weight": 1.0,  # copied
        "1.bias": 0.5,
        "1.running_mean": 0.0,  # ignored by how it begins
        "1.running_var": 1.0,  # a buffer, copied
        "1.num_batches_tracked": 0,  # an integer: stale
    }
    for name, part in expected.items():
        torch.testing.assert_close(parts[name], torch.full_like(parts[name], part))


@pytest.mark.row("W6")
def test_ema_pytorch_made_late_and_updated_by_the_optimiser():
    network = two()
    average = ema_of(network, lazy_init_ema=True)
    assert average.ema_model is None
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    hook = average.add_to_optimizer_post_step_hook(optimizer)
    network(torch.randn(4, 2)).square().sum().backward()
    first = network[0].weight.detach().clone()
    optimizer.step()
    torch.testing.assert_close(average.ema_model[0].weight.data, network[0].weight.data)
    after = network[0].weight.detach().clone()
    assert not torch.equal(first, after)
    optimizer.step()
    torch.testing.assert_close(average.ema_model[0].weight.data, (after + network[0].weight.detach()) / 2)
    hook.remove()
    optimizer.step()
    assert int(average.step) == 2


@pytest.mark.row("W6")
@pytest.mark.parametrize(("kept", "expected"), [(0.0, 0.5), (0.2, 0.6)])
def test_ema_pytorch_switches_the_network_to_its_average(kept, expected):
    """Every k-th step the network becomes the average, but for a part `kept` of itself."""
    network = Vector()
    average = ema_of(network, update_model_with_ema_every=1, update_model_with_ema_beta=kept)
    average.update()
    network.set(1.0)
    average.update()
    assert average.ema_model.weight.item() == pytest.approx(0.5)
    assert network.weight.item() == pytest.approx(expected)


@pytest.mark.row("W6")
@pytest.mark.parametrize("foreach", [False, True])
def test_ema_pytorch_averages_in_another_dtype(foreach):
    """The average may be of another type and, told so, on another device: here the same, for want of two."""
    network = two()
    options = {"coerce_dtype": True, "allow_different_devices": True, "use_foreach": foreach}
    average = ema_of(network, ema_model=two().double(), **options)
    moved(network, average)
    assert average.ema_model[0].weight.dtype == torch.float64
    torch.testing.assert_close(average.ema_model[0].weight.float().data, network[0].weight.data - 0.5)
    assert average.move_ema_to_online_device is False
