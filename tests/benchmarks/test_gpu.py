"""Tests of the page for GPUs: refused without one, rehearsed on the CPU, and its charts and tables."""

import itertools
import sys

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from benchmarks.gpu import __main__ as page
from benchmarks.gpu import charts, checks, speed
from benchmarks.gpu.speed import Case, Speed
from unnoise.pictures.charts import painted
from unnoise.utils.device_peak import Peak

BLOCKS = ("made", "tests", "same-seeds", "precision", "speed", "growth")


def speeds(power: float) -> dict[Case, Speed | None]:
    """Images a second that fall as pixels^power; compiled steps are twice as fast, one did not fit."""
    factors = {"eager": 2.0, "compiled": 4.0, "diffusers": 1.0}
    found: dict[Case, Speed | None] = {
        Case(preset, side, kind): Speed(10**6, 64, factor * 1e6 * side ** (-2 * power), 2000.0, 0.5, 0.4)
        for preset, side, (kind, factor) in itertools.product(
            speed.FULL.presets, speed.FULL.sides, factors.items()
        )
    }
    found[Case("large", 256, "compiled")] = None
    return found


def test_without_a_device_it_says_so_and_exits_with_2(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    with pytest.raises(SystemExit) as ended:
        page.main()
    assert ended.value.code == 2
    assert "There is no CUDA device here" in capsys.readouterr().err


@pytest.mark.slow
def test_a_rehearsal_runs_everything_on_the_cpu(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "argv", ["gpu", "--rehearse", "--docs", str(tmp_path)])
    monkeypatch.setattr(speed, "device_peak", lambda *_: Peak(100.0, "a product"))
    few = tmp_path / "digits.npy"
    np.save(few, (load_digits().images[:120] * 15).astype(np.uint8))
    monkeypatch.setattr(checks, "REHEARSAL", checks.REHEARSAL._replace(source=str(few)))
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as ended:
        page.main()
    torch.set_num_threads(threads)
    assert ended.value.code == 0
    text = (tmp_path / "gpu.md").read_text()
    assert [name for name in BLOCKS if f"<!-- table: {name} -->" in text] == list(BLOCKS)
    assert "1 skipped" in text
    assert "| ddim, 20 steps | 0.000 | 0.00000 |" in text  # the CPU agrees with itself
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {"digits.npy", "gpu.md", "gpu-speed.png", "gpu-growth.png"}


def test_growth_is_the_power_of_the_pixels():
    found = speeds(1.25)
    assert speed.growth(found, "nano", "eager") == pytest.approx(1.25)
    assert "| `large` | pixels^1.25 | pixels^1.25 | pixels^1.25 |" in speed.growth_table(found)
    assert speed.growth({Case("nano", 32, "eager"): None}, "nano", "eager") is None


def test_what_did_not_fit_is_a_dash_in_the_table():
    rows = speed.speed_table(speeds(1.0)).splitlines()
    assert len(rows) == 2 + 16
    assert rows[-1] == "| `large` | 256 | 1,000,000 | 31 | 2,000 | 40% | – | – | – | 15 | 2,000 | 40% |"


@pytest.mark.parametrize("draw", [charts.draw_speed, charts.draw_growth])
def test_charts_are_drawn_with_gaps(draw):
    pixels = np.asarray(painted(lambda figure: draw(speeds(1.0), figure), (9.0, 4.2)))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 50


@pytest.mark.parametrize(("preset", "side"), list(itertools.product(speed.FULL.presets, speed.FULL.sides)))
def test_the_network_of_diffusers_has_about_as_many_parameters(preset, side):
    from unnoise.networks import build
    from unnoise.runs.presets import recipe

    with torch.device("meta"):
        ours = build(recipe(preset, speed.CHANNELS, side, side).network)
        theirs = speed.of_equal_size(Case(preset, side, "diffusers"))
    counts = [sum(weight.numel() for weight in network.parameters()) for network in (ours, theirs)]
    assert counts[1] == pytest.approx(counts[0], rel=0.15)


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    asked = []

    def measured(case, batch, amount, device):
        asked.append(batch)
        if batch > 16:
            raise torch.OutOfMemoryError
        return batch

    monkeypatch.setattr(speed, "_measure", measured)
    assert speed.measure(Case("nano", 32, "eager"), speed.FULL, torch.device("cpu")) == 16
    assert asked == [64, 32, 16]
