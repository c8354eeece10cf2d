"""A budget chooses the size of our family, what a preset costs is counted, and what was measured is shown."""

import itertools
import json
from pathlib import Path

import pytest
import torch

from benchmarks import presets as benchmark
from helpers.runs import digits
from unnoise.cli import run
from unnoise.networks import build
from unnoise.runs import costs, presets
from unnoise.runs.config import Budget
from unnoise.runs.plan import Wishes, chosen_preset, plan, resumed
from unnoise.runs.presets import ABOUT, OURS, PRESETS, recipe
from unnoise.runs.sizing import FITTING, IMAGES_A_MINUTE, WORTH, choose
from unnoise.utils.device_speed import count_flops, peak_gflops


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def budget(amount: float, unit: str = "minutes") -> Budget:
    return Budget(unit=unit, amount=float(amount))


# --- choosing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("device", "side", "minutes", "name"),
    [
        ("cpu", 32, 10, "nano"),
        ("cpu", 32, 89.9, "nano"),
        ("cpu", 32, 90, "small"),
        ("cpu", 32, 12 * 60, "medium"),
        ("cpu", 64, 90, "nano"),  # four times the pixels
        ("cpu", 64, 360, "small"),
        ("cuda", 32, 10, "small"),
        ("cuda", 32, 60, "medium"),
        ("cuda", 32, 24 * 60, "large"),
        ("cuda", 64, 10, "small"),
        ("mps", 32, 20, "small"),
        ("xpu", 32, 20, "nano"),
        ("cpu", 8, 10, "nano"),  # no less work than 16 x 16
        ("cpu", 16, 10, "nano"),
    ],
)
def test_device_pixels_and_minutes_choose(device, side, minutes, name):
    assert choose(device, side, side, minutes).name == name


def test_the_boundaries_are_those_of_the_table_on_every_device():
    for device, worth in WORTH.items():
        for (below, minutes), (above, _) in itertools.pairwise(FITTING):
            assert choose(device, 32, 32, 0.999 * minutes / worth).name == below
            assert choose(device, 32, 32, 1.001 * minutes / worth).name == above
    assert tuple(name for name, _ in FITTING) == OURS


def test_only_the_area_counts_and_more_time_is_never_a_smaller_network():
    assert choose("cuda", 16, 64, 30) != choose("cuda", 32, 32, 30)  # the sentence names the sides
    assert choose("cuda", 16, 64, 30).name == choose("cuda", 32, 32, 30).name
    chosen = [OURS.index(choose("cpu", 32, 32, 2.0**power).name) for power in range(-3, 20)]
    assert chosen == sorted(chosen)
    assert set(chosen) == {0, 1, 2, 3}


def test_a_budget_of_images_is_worth_the_same_everywhere():
    images = 100 * IMAGES_A_MINUTE
    for device, side in (("cpu", 8), ("cuda", 256)):
        assert choose(device, side, side, images, "images").name == "small"
        assert choose(device, side, side, images / 64, "steps").name == "small"
        assert choose(device, side, side, images / 64, "steps", batch_size=16).name == "nano"


def test_the_sentence_has_the_budget_its_worth_and_the_range():
    assert choose("cuda", 64, 64, 10).why == (
        "10 minutes on cuda for pictures of 64 x 64 are worth 100 minutes of a CPU at 32 x 32, and small is "
        "for 90 minutes to 12 hours."
    )
    assert choose("cpu", 32, 32, 1).why.startswith(
        "1 minute on cpu for pictures of 32 x 32 is worth less than 2"
    )
    assert choose("cpu", 32, 32, 5, "steps").why.startswith("5 steps are worth less than 2 minutes of a CPU")
    assert choose("cuda", 32, 32, 1e5).why.endswith("and large is for 4 days or more.")


# --- planning ------------------------------------------------------------------------------------------------


def test_a_plan_keeps_the_name_that_was_chosen():
    minutes = Wishes(budget=budget(30))
    assert plan(digits(), minutes).preset == "small"
    assert plan(digits(), minutes, "cuda").preset == "medium"
    assert plan(digits(), minutes, "cuda").recipe == recipe("medium", 1, 8, 8)
    assert plan(digits(), Wishes(preset="default", budget=budget(30)), "cuda").preset == "medium"
    named = Wishes(preset="nano", budget=budget(1e6))
    assert plan(digits(), named, "cuda").preset == "nano"
    assert chosen_preset(digits(), named, "cuda") is None
    assert plan(digits(), Wishes(budget=budget(1e5, "steps"))).preset == "small"
    assert plan(digits(), Wishes(budget=budget(1e5, "steps"), batch_size=2)).preset == "nano"


def test_a_resumed_run_keeps_its_own():
    config = plan(digits(), Wishes(budget=budget(1)))
    assert config.preset == "nano"
    for preset in (None, "default", "nano"):
        longer = resumed(config, Wishes(preset=preset, budget=budget(1e6)))
        assert (longer.preset, longer.recipe, longer.budget.amount) == ("nano", config.recipe, 1e6)


def test_default_is_nano_where_nobody_says_how_long():
    for side in (8, 16, 32, 64, 128):
        assert recipe("default", 3, side, side) == recipe("nano", 3, side, side)
    assert "default" not in PRESETS
    assert ABOUT.keys() == PRESETS.keys()


def test_the_family_grows():
    for side in (8, 32):
        sizes = [costs.size_of(recipe(name, 3, side, side).network, side, side) for name in OURS]
        assert sizes == sorted(sizes)
        assert [size.gigaflops for size in sizes] == sorted({size.gigaflops for size in sizes})
        others = {recipe(name, 3, side, side).optimizer for name in OURS}
        assert len(others) == 1


# --- costs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nano", "keras-ddim", "annotated-resnet"])
def test_what_is_counted_without_computing_is_what_is_computed(name):
    config = recipe(name, 3, 16, 24).network
    network = build(config).eval()
    with torch.no_grad():
        done = count_flops(lambda: network(torch.zeros(1, 3, 16, 24), torch.zeros(1, 1, 1, 1)))
    found = costs.size_of(config, 16, 24)
    assert found.gigaflops == done / 1e9
    assert found.parameters == sum(weight.numel() for weight in network.parameters())


def test_a_product_of_matrices_is_counted_and_timed():
    left = torch.randn(8, 16)
    assert count_flops(lambda: torch.mm(left, left.T)) == 2 * 8 * 16 * 8
    assert peak_gflops(repetitions=1) > 0.1
    assert peak_gflops(dtype=torch.bfloat16, repetitions=1) > 0.1


def test_measurements_there_and_back():
    rows = {
        "nano": costs.Measured(images_per_second=100.0, score="0.1"),
        "small": costs.Measured(megabytes=1234),
    }
    measured = costs.Measurements(how="on this machine", presets=rows)
    assert costs.measurements(costs.to_toml(measured)) == measured
    assert set(costs.measurements().presets) <= set(PRESETS)  # the file that comes with unnoise


# --- the command ---------------------------------------------------------------------------------------------


def test_presets_are_listed_with_what_is_known(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    rows = {"nano": costs.Measured(images_per_second=123.4, megabytes=567.8, score="KID 0.01")}
    measured = costs.Measurements(how="On [my] machine.", presets=rows)
    monkeypatch.setattr(costs, "measurements", lambda: measured)
    assert run(["presets", "--size", "64x48", "--channels", "1", "--minutes", "600", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line for line in lines if line.split()[0] in PRESETS}
    assert rows.keys() == PRESETS.keys()
    size = costs.size_of(recipe("nano", 1, 64, 48).network, 64, 48)
    assert f"{size.parameters / 1e6:.3g} M" in rows["nano"]
    assert all(each in rows["nano"] for each in (f"{size.gigaflops:.3g}", "123", "568 MB", "KID 0.01", "ours"))
    assert rows["small"].count("–") == 3
    assert "On [my] machine." in lines
    assert lines[-1] == f"Without --preset, unnoise train takes small here: {choose('cpu', 64, 48, 600).why}"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--channels", "0"), "at least 1 row, column and channel"),
        (("--minutes", "0"), "more than 0 minutes"),
        (("--size", "x"), "A size is written H or HxW"),
        (("--device", "cuda:77"), "can't be used here"),
    ],
)
def test_slips_are_answered_in_a_sentence(capsys, arguments, sentence):
    assert run(["presets", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_training_says_why_and_keeps_the_name(capsys, monkeypatch):
    small = presets.nano
    monkeypatch.setitem(PRESETS, "small", small)  # as quick as the smallest
    dry = ["train", "digits", "--out", "r", "--device", "cpu", "--dry-run", "--minutes", "60"]
    assert run(dry) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["preset"] == "small"
    assert said.err.strip() == f"Preset small: {choose('cpu', 8, 8, 60).why}"
    assert run([*dry, "--preset", "default"]) == 0
    assert capsys.readouterr() == said
    assert run([*dry, "--preset", "nano"]) == 0
    assert "Preset" not in capsys.readouterr().err


# --- the benchmark -------------------------------------------------------------------------------------------


def test_a_preset_is_measured_and_its_row_is_shown(tmp_path):
    found = benchmark.cost("nano", 2, 1)
    assert min(found) > 0
    assert found.gigaflops > 2 * costs.size_of(recipe("nano", 3, 32, 32).network, 32, 32).gigaflops
    given = benchmark.Cost(images_per_second=100.0, megabytes=500.0, gigaflops=0.6, roof=80.0)
    text = "\n".join(benchmark.page({"nano": given}, [], 64))
    assert "Training reaches 75% of the roof with `nano`" in text
    assert "| 100.0 | 500 | 60 | 75% | – |" in text
    kept = benchmark.to_measurements({"nano": given}, [], "Here.")
    assert costs.measurements(costs.to_toml(kept)) == kept
    assert kept.presets["nano"].score is None


def test_what_was_scored_elsewhere_is_shown_beside_it(monkeypatch):
    monkeypatch.setattr(benchmark.preset_scores, "scores", lambda rows: {"nano": f"FD {rows[0]}"})
    monkeypatch.setattr(benchmark.preset_scores, "how", lambda rows: "FD: of digits.")
    given = benchmark.Cost(images_per_second=100.0, megabytes=500.0, gigaflops=0.6, roof=80.0)
    text = "\n".join(benchmark.page({"nano": given, "small": given}, [0.01], 64))
    assert "FD: of digits. ([More](preset_scores.md).)" in text
    assert text.count("| 75% | FD 0.01 |") == text.count("| 75% | – |") == 1
    kept = benchmark.to_measurements({"nano": given}, [0.01], "Here.")
    assert (kept.how, kept.presets["nano"].score) == ("FD: of digits. Here.", "FD 0.01")


def test_a_quick_run_writes_nothing(tmp_path, monkeypatch, capsys):
    given = benchmark.Cost(100.0, 500.0, 0.6, 80.0)
    monkeypatch.setattr(benchmark, "in_a_process_of_its_own", lambda *_: given)
    monkeypatch.setattr("sys.argv", ["presets", "--quick", "--threads", str(torch.get_num_threads())])
    benchmark.main()
    assert "# What the presets cost" in capsys.readouterr().out
    assert list(Path().iterdir()) == []
    monkeypatch.setattr("sys.argv", ["presets", "--threads", "1", "--measured", "m.toml", "--docs", "docs"])
    threads = torch.get_num_threads()
    benchmark.main()
    torch.set_num_threads(threads)
    assert costs.measurements(Path("m.toml").read_text()).presets.keys() == set(OURS)
    assert Path("docs/presets.md").exists()
