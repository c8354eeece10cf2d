"""Tests of the benchmark of running costs: how often things happen in a run, and their sum."""

import pytest
import torch

from benchmarks import running_costs
from unnoise.data import load
from unnoise.diffusion.diffusion import Diffusion

COSTS = running_costs.Costs(
    step=0.2,
    unguarded=0.199,
    unaveraged=0.198,
    log=0.001,
    save=0.05,
    store=0.05,
    look=1.0,
    last_look=3.0,
    chart=0.1,
    guard=0.001,
    stores=8,
)


def test_a_run_saves_each_minute_and_with_each_preview_and_draws_samples_for_an_eightieth_of_its_time():
    saves, looks = COSTS.counts
    assert 9 <= saves <= 25
    assert 5 <= looks <= 600 / 80 / 1.1
    cheap = COSTS._replace(look=0.1)
    assert cheap.counts[1] >= looks
    assert COSTS._replace(look=50.0).counts[1] == 0  # only small ones


def test_the_table_has_both_sums():
    rows = {name: part for name, part, _ in COSTS.rows}
    saves, looks = COSTS.counts
    assert rows["checkpoints, with history.csv"] == pytest.approx((saves + 1) * 0.05 / 600)
    assert rows["held-out loss and sample sheets"] == pytest.approx((looks * 1.0 + 3.0) / 600)
    assert rows["loss.png"] == pytest.approx((looks + 1) * 0.1 / 600)
    text = running_costs.time_table(COSTS)
    together = sum(rows.values())
    assert f"| **all of these together** | {together:+.2%} |" in text
    everything = together + sum(part for _, part, _ in COSTS.watching)
    assert f"| **with all that watches** | {everything:+.2%} |" in text


def test_every_cost_is_measured_on_the_clock(tmp_path, monkeypatch):
    monkeypatch.setattr(running_costs, "SAMPLE_SEEDS", range(6))
    ticks = iter(range(10**6))
    found = running_costs.costs(tmp_path / "run", load("digits"), 1, 1, lambda: float(next(ticks)))
    assert all(seconds == 1 for seconds in found[:-1])
    assert found.stores == 8


class Network(torch.nn.Conv2d):
    """One convolution, whatever the noise level is."""

    def forward(self, images, conditions):
        return super().forward(images)


@pytest.mark.parametrize("missing", ["nothing", "guards", "averages"])
def test_a_step_can_leave_out_its_guard_or_its_averages(missing):
    torch.manual_seed(0)
    diffusion = Diffusion(Network(1, 1, 1), (1, 4, 4))
    images = torch.rand(2, 1, 4, 4)
    whole, network, average = diffusion.weights, diffusion.network, diffusion.weights.average.network
    with running_costs.without(diffusion, missing):
        before = [each.clone() for each in (network.weight, average.weight)]
        diffusion.train_step(images)
        assert not torch.equal(before[0], network.weight)
        assert torch.equal(before[1], average.weight) == (missing == "averages")
        diffusion.train_step(images * torch.nan)
        assert network.weight.isnan().all() == (missing == "guards")
    assert diffusion.weights is whole
