"""Tests of the benchmark of presets: costs, scores beside them, and the file for `unnoise presets`."""

from pathlib import Path

import pytest
import torch

from benchmarks import presets
from unnoise.runs.footprint import network_size, run_disk_use
from unnoise.runs.preset_costs import preset_costs_to_toml, read_preset_costs
from unnoise.runs.presets import OWN_PRESETS, recipe

COST = presets.Cost(32, 64, images_per_second=100.0, megabytes=500.0, gigaflops=0.6, peak=80.0)
NAMES = ["--presets", "nano", "small"]


def test_a_step_of_training_costs_more_than_two_forward_passes():
    found = presets.Cost(32, 2, **presets.train("nano", 32, 2, 1, torch.get_num_threads()))
    assert min(found) > 0
    assert found.gigaflops > 2 * network_size(recipe("nano", 3, 32, 32).network, 32, 32).gigaflops


def test_large_batches_are_halved_until_a_step_is_quick():
    assert presets.batch_for("nano", 32) == 64
    for name, side in (("large", 128), ("annotated-resnet", 128)):
        batch, chosen = presets.batch_for(name, side), recipe(name, 3, side, side)
        assert chosen.batch_size % batch == 0
        assert 3 * batch * network_size(chosen.network, side, side).gigaflops < 601


def test_costs_are_a_table_and_a_file_that_unnoise_reads():
    kept = presets.to_measurements({"nano": [COST]}, [], "Here.")
    lines = presets.cost_table(kept.presets).splitlines()
    assert len(lines) == 2 + len(presets.SHAPES)
    assert [line.split("|")[8:11] for line in lines if "32 x 32" in line] == [[" 100 ", " 75% ", " 64 "]]
    assert sum(line.count("| – | – | – | – | – |") for line in lines) == len(presets.SHAPES) - 1
    assert read_preset_costs(preset_costs_to_toml(kept)) == kept
    assert kept.presets["nano"].score is None


def test_the_page_shows_the_disk_use_that_unnoise_presets_forecasts():
    """It follows from the recipes alone, so the page needs no new measurement where a forecast changes."""
    page = (Path(__file__).parents[2] / "docs" / "presets.md").read_text("utf-8")
    rows = [[cell.strip() for cell in line.split("|")] for line in page.splitlines() if line.startswith("| `")]
    assert len(rows) >= len(OWN_PRESETS) * len(presets.SHAPES)
    for _, name, shape, *numbers in rows:
        chosen = recipe(name.strip("`"), 3, *map(int, shape.split(" x ")))
        assert numbers[4] == f"{run_disk_use(chosen, judged=True).run / 1e9:.2f}", (name, shape)


def test_scores_stand_beside_the_costs(monkeypatch):
    monkeypatch.setattr(presets.preset_scores, "scores", lambda rows: {"nano": f"FD {rows[0]}"})
    monkeypatch.setattr(presets.preset_scores, "explanation", lambda rows: "FD: of digits.")
    kept = presets.to_measurements({"nano": [COST]}, [0.01], "Here.")
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
    monkeypatch.setattr("sys.argv", ["presets", "--quick", "--threads", "1", *NAMES])
    presets.main()
    assert "| `nano` |" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
    options = ["--threads", "1", "--measured", "m.toml", "--docs", "docs"]
    monkeypatch.setattr("sys.argv", ["presets", *options, *NAMES])
    presets.main()
    assert read_preset_costs(Path("m.toml").read_text()).presets.keys() == set(NAMES[1:])
    assert Path("docs/presets.md").exists()
    monkeypatch.setattr("sys.argv", ["presets", *options, "--presets", "medium"])
    presets.main()  # the others keep their rows
    assert list(read_preset_costs(Path("m.toml").read_text()).presets) == [*NAMES[1:], "medium"]
    assert "| `nano` |" in Path("docs/presets.md").read_text()
