"""Tests of the benchmark of presets: costs, scores beside them, and the file for `unnoise presets`."""

from pathlib import Path

import pytest
import torch

from benchmarks import presets
from unnoise.runs import sizing
from unnoise.runs.presets import OWN_PRESETS, recipe

COST = presets.Cost(images_per_second=100.0, megabytes=500.0, gigaflops=0.6, peak=80.0)


def test_a_step_of_training_costs_more_than_two_forward_passes():
    found = presets.Cost(**presets.train("nano", 2, 1, torch.get_num_threads()))
    assert min(found) > 0
    assert found.gigaflops > 2 * sizing.network_size(recipe("nano", 3, 32, 32).network, 32, 32).gigaflops


def test_costs_are_a_table_and_a_file_that_unnoise_reads():
    assert "| 100.0 | 500 | 60 | 75% | – |" in presets.cost_table({"nano": COST}, [])
    kept = presets.to_measurements({"nano": COST}, [], "Here.")
    assert sizing.read_preset_costs(sizing.preset_costs_to_toml(kept)) == kept
    assert kept.presets["nano"].score is None


def test_scores_stand_beside_the_costs(monkeypatch):
    monkeypatch.setattr(presets.preset_scores, "scores", lambda rows: {"nano": f"FD {rows[0]}"})
    monkeypatch.setattr(presets.preset_scores, "explanation", lambda rows: "FD: of digits.")
    text = presets.cost_table({"nano": COST, "small": COST}, [0.01])
    assert text.count("| 75% | FD 0.01 |") == text.count("| 75% | – |") == 1
    kept = presets.to_measurements({"nano": COST}, [0.01], "Here.")
    assert (kept.how, kept.presets["nano"].score) == ("FD: of digits. Here.", "FD 0.01")


@pytest.fixture
def _one_thread():
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("_one_thread")
def test_only_a_full_measurement_writes_the_page_and_the_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "cost", lambda *_: COST)
    monkeypatch.setattr("sys.argv", ["presets", "--quick", "--threads", "1"])
    presets.main()
    assert "| `nano` |" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
    monkeypatch.setattr("sys.argv", ["presets", "--threads", "1", "--measured", "m.toml", "--docs", "docs"])
    presets.main()
    assert sizing.read_preset_costs(Path("m.toml").read_text()).presets.keys() == set(OWN_PRESETS)
    assert Path("docs/presets.md").exists()
