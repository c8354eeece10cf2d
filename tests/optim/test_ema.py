"""Moving average (EMA): the textbook recursion from the first step on, which ema-pytorch's defaults are not."""

import pytest
import torch
from ema_pytorch import EMA
from torch import nn

from unnoise.optim.ema import EMAConfig, MovingAverage
from unnoise.utils.errors import UnnoiseError


class One(nn.Module):
    """A network of one weight."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([value], dtype=torch.float64))

    def set(self, value: float) -> None:
        with torch.no_grad():
            self.weight.fill_(value)


def weight(average: MovingAverage) -> float:
    return average.network.weight.item()


@pytest.mark.row("M1")
def test_a_constant_target_is_approached_as_1_minus_decay_to_the_steps():
    network = One()
    average = MovingAverage(network, EMAConfig(decay=0.999))
    network.set(1.0)
    values = {}
    for step in range(1, 5001):
        average.update()
        values[step] = weight(average)
    for step, expected in {1: 0.001, 10: 0.0099551, 1000: 0.6323046, 5000: 0.9932789}.items():
        assert values[step] == pytest.approx(expected, abs=1e-6)
        assert values[step] == pytest.approx(1 - 0.999**step, abs=1e-12)
    assert min(step for step, value in values.items() if value >= 0.5) == 693  # half-life 692.8


@pytest.mark.row("M2", "J8")
def test_the_average_starts_as_an_exact_copy_with_the_same_names():
    network = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    average = MovingAverage(network, EMAConfig())
    assert network.state_dict().keys() == average.network.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(value, average.network.state_dict()[name])
        assert value.data_ptr() != average.network.state_dict()[name].data_ptr()
    assert average.source is network


@pytest.mark.row("J1", "J7")
def test_the_average_needs_no_gradients_and_is_in_eval_mode():
    average = MovingAverage(nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)), EMAConfig())
    assert not any(parameter.requires_grad for parameter in average.network.parameters())
    assert not any(module.training for module in average.network.modules())
    assert average.source.training


@pytest.mark.row("M3", "W5", "Z1")
def test_batch_statistics_are_averaged_and_counters_copied():
    norm = nn.BatchNorm1d(3)
    average = MovingAverage(norm, EMAConfig(decay=0.9))
    expected = torch.zeros(3)
    for _ in range(20):
        norm(torch.randn(16, 3) + 5)
        average.update()
        expected = 0.9 * expected + 0.1 * norm.running_mean
    torch.testing.assert_close(average.network.running_mean, expected)
    assert average.network.running_mean.mean() > 1
    assert average.network.num_batches_tracked == norm.num_batches_tracked == 20


@pytest.mark.row("W2")
def test_warmup_averages_over_a_fixed_part_of_the_run():
    """With d_t = t / (t + w) the weight of step i in the average after n grows as i^(w - 1)."""
    network = One()
    average = MovingAverage(network, EMAConfig(decay=0.9999, warmup=16.0))
    expected = 0.0
    for step in range(1, 400):
        network.set(float(step))
        average.update()
        decay = step / (step + 16)
        assert average.decay == pytest.approx(min(decay, 0.9999), rel=1e-6)
        expected = decay * expected + (1 - decay) * step
    assert weight(average) == pytest.approx(expected, rel=1e-5)
    # the mean of i under the profile i^15 on [0, n] is n 16 / 17
    assert weight(average) == pytest.approx(399 * 16 / 17, rel=0.01)


@pytest.mark.row("W1", "W2", "W4")
def test_default_decays_of_ema_pytorch():
    ema = EMA(One())
    assert (ema.beta, ema.update_after_step, ema.update_every) == (0.9999, 100, 10)
    assert (ema.inv_gamma, ema.power, ema.min_value) == (1.0, 2 / 3, 0.0)
    numbers = {111: 0.797820, 201: 0.953891, 1001: 0.989280, 10001: 0.997831, 31700: 0.999, 10**6: 0.9999}
    for step, decay in numbers.items():
        ema.step.fill_(step)
        assert ema.get_current_decay() == pytest.approx(decay, abs=1e-6)
    slower = EMA(One(), power=3 / 4)
    for step, decay in {10_101: 0.999, 215_545: 0.9999}.items():
        slower.step.fill_(step)
        assert slower.get_current_decay() == pytest.approx(decay, abs=1e-5)


@pytest.mark.row("W3")
def test_ema_pytorch_by_default_copies_for_100_steps_then_follows_every_tenth():
    """With its defaults the 'average' is a copy for 100 steps, and then follows every tenth step."""
    network = One()
    theirs, ours = EMA(network), MovingAverage(network, EMAConfig(decay=0.9))
    seen, plain = {}, 0.0
    for call in range(1, 202):
        network.set(float(call))
        theirs.update()
        ours.update()
        plain = 0.9 * plain + 0.1 * call
        seen[call] = theirs.ema_model.weight.item()
        assert weight(ours) == pytest.approx(plain, rel=1e-6)
    expected = {1: 1, 10: 1, 11: 11, 12: 11, 100: 91, 101: 101, 102: 101}
    assert {call: seen[call] for call in expected} == expected
    for call, value in {111: 103.02180, 121: 105.38373, 131: 107.97955, 201: 129.9521}.items():
        assert seen[call] == pytest.approx(value, abs=1e-3)


@pytest.mark.row("W7")
def test_decay_0_995_every_tenth_step_halves_as_fast_as_0_9995_every_step():
    """0.995 every tenth call halves after 138 updates, 1,383 calls: what 0.9995 does at every call."""
    network = One()
    every_tenth = EMA(network, beta=0.995, update_every=10, update_after_step=-1, min_value=0.995)
    every_tenth.initted.fill_(True)
    every_one = MovingAverage(network, EMAConfig(decay=0.995**0.1))
    network.set(1.0)
    halves = {}
    for call in range(1, 1500):
        every_tenth.update()
        every_one.update()
        for name, value in (("tenth", every_tenth.ema_model.weight.item()), ("one", weight(every_one))):
            if value >= 0.5:
                halves.setdefault(name, call)
    assert halves["one"] == 1383
    assert abs(halves["tenth"] - 1383) <= 10


@pytest.mark.row("W6")
def test_ema_pytorch_freezes_at_beta_1_averages_foreach_and_saves_the_online_network():
    """Frozen at beta 1; foreach equals one by one; the online network is saved unless told not to."""
    network = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3))
    frozen, plain, foreach = (
        EMA(network, update_after_step=-1, update_every=1, min_value=0.9, beta=beta, use_foreach=use)
        for beta, use in ((1.0, False), (0.9, False), (0.9, True))
    )
    first = network[0].weight.clone()
    for _ in range(5):
        with torch.no_grad():
            network[0].weight.add_(torch.randn(3, 3))
        for ema in (frozen, plain, foreach):
            ema.initted.fill_(True)
            ema.update()
    assert torch.equal(frozen.ema_model[0].weight, first)
    torch.testing.assert_close(plain.ema_model[0].weight, foreach.ema_model[0].weight)
    assert any(name.startswith("online_model") for name in plain.state_dict())
    bare = EMA(network, include_online_model=False)
    assert not any(name.startswith("online_model") for name in bare.state_dict())


@pytest.mark.row("W6")
def test_steps_and_weights_are_the_whole_state_of_the_average():
    network = One()
    average, again = (MovingAverage(network, EMAConfig(decay=0.9999, warmup=4.0)) for _ in range(2))
    for step in range(50):
        network.set(float(step))
        average.update()
    again.network.load_state_dict(average.network.state_dict())
    again.steps = average.steps
    network.set(7.0)
    average.update()
    again.update()
    assert weight(average) == weight(again)


@pytest.mark.parametrize("settings", [{"decay": 1.0}, {"decay": -0.1}, {"warmup": 0.0}])
def test_ema_settings_out_of_range_are_refused(settings):
    with pytest.raises(UnnoiseError, match="but got"):
        EMAConfig(**settings)
