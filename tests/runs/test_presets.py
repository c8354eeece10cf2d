"""Presets: the choice by budget and device, counted and measured costs, and their table."""

import itertools
import json

import pytest
import torch

from helpers.runs import digits
from unnoise.cli import run
from unnoise.networks import build
from unnoise.runs import footprint, preset_costs, presets
from unnoise.runs.config import Budget
from unnoise.runs.plan import TrainOptions, default_preset, plan
from unnoise.runs.preset_notes import PRESET_NOTES
from unnoise.runs.presets import OWN_PRESETS, PRESETS, recipe
from unnoise.runs.resume import resume_config
from unnoise.runs.sizing import DEVICE_SPEEDS, IMAGES_PER_MINUTE, PRESET_LIMITS, choose_preset
from unnoise.utils.device_speed import count_flops
from unnoise.utils.precision import DeviceCapabilities


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


GPU = DeviceCapabilities(type="cuda", bfloat16=True)


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
def test_device_size_and_minutes_choose_the_preset(device, side, minutes, name):
    assert choose_preset(device, side, side, minutes).name == name


def test_the_limits_of_presets_scale_with_the_speed_of_the_device():
    for device, worth in DEVICE_SPEEDS.items():
        for (below, minutes), (above, _) in itertools.pairwise(PRESET_LIMITS):
            assert choose_preset(device, 32, 32, 0.999 * minutes / worth).name == below
            assert choose_preset(device, 32, 32, 1.001 * minutes / worth).name == above
    assert tuple(name for name, _ in PRESET_LIMITS) == OWN_PRESETS


def test_more_time_never_chooses_a_smaller_network():
    assert choose_preset("cuda", 16, 64, 30) != choose_preset(
        "cuda", 32, 32, 30
    )  # the sentence names the sides
    assert choose_preset("cuda", 16, 64, 30).name == choose_preset("cuda", 32, 32, 30).name
    chosen = [OWN_PRESETS.index(choose_preset("cpu", 32, 32, 2.0**power).name) for power in range(-3, 20)]
    assert chosen == sorted(chosen)
    assert set(chosen) == {0, 1, 2, 3}


def test_a_budget_of_images_chooses_the_same_on_every_device():
    images = 100 * IMAGES_PER_MINUTE
    for device, side in (("cpu", 8), ("cuda", 256)):
        assert choose_preset(device, side, side, images, "images").name == "small"
        assert choose_preset(device, side, side, images / 64, "steps").name == "small"
        assert choose_preset(device, side, side, images / 64, "steps", batch_size=16).name == "nano"


def test_the_reason_names_the_budget_its_worth_and_the_range():
    assert choose_preset("cuda", 64, 64, 10).why == (
        "10 minutes on cuda for pictures of 64 x 64 are worth 100 minutes of a CPU at 32 x 32, and small is "
        "for 90 minutes to 12 hours."
    )
    assert choose_preset("cpu", 32, 32, 1).why.startswith(
        "1 minute on cpu for pictures of 32 x 32 is worth less than 2"
    )
    assert choose_preset("cpu", 32, 32, 5, "steps").why.startswith(
        "5 steps are worth less than 2 minutes of a CPU"
    )
    assert choose_preset("cuda", 32, 32, 1e5).why.endswith("and large is for 4 days or more.")


# --- planning ------------------------------------------------------------------------------------------------


def test_a_plan_stores_the_name_of_the_chosen_preset():
    minutes = TrainOptions(budget=budget(30))
    assert plan(digits(), minutes).preset == "small"
    assert plan(digits(), minutes, GPU).preset == "medium"
    assert plan(digits(), minutes, GPU).recipe == recipe("medium", 1, 8, 8)
    assert plan(digits(), TrainOptions(preset="default", budget=budget(30)), GPU).preset == "medium"
    named = TrainOptions(preset="nano", budget=budget(1e6))
    assert plan(digits(), named, GPU).preset == "nano"
    assert default_preset(digits(), named, "cuda") is None
    assert plan(digits(), TrainOptions(budget=budget(1e5, "steps"))).preset == "small"
    assert plan(digits(), TrainOptions(budget=budget(1e5, "steps"), batch_size=2)).preset == "nano"


def test_a_resumed_run_keeps_its_preset():
    config = plan(digits(), TrainOptions(budget=budget(1)))
    assert config.preset == "nano"
    for preset in (None, "default", "nano"):
        longer = resume_config(config, TrainOptions(preset=preset, budget=budget(1e6)))
        assert (longer.preset, longer.recipe, longer.budget.amount) == ("nano", config.recipe, 1e6)


def test_default_without_a_budget_is_nano():
    for side in (8, 16, 32, 64, 128):
        assert recipe("default", 3, side, side) == recipe("nano", 3, side, side)
    assert "default" not in PRESETS
    assert PRESET_NOTES.keys() == PRESETS.keys()


@pytest.mark.parametrize(("height", "width"), [(33, 33), (64, 64), (65, 65), (67, 60), (64, 32), (20, 64)])
def test_pictures_of_64_pixels_and_their_neighbours_have_patches_of_four_and_a_head_for_pixels(height, width):
    """One pixel more makes no smaller network."""
    network = recipe("nano", 3, height, width).network
    assert (network.patch_size, network.widths, network.pixel_width) == (4, (96, 192), 16)


@pytest.mark.parametrize(("height", "width", "patch_size"), [(32, 32, 2), (64, 16, 2), (8, 1024, 1)])
def test_smaller_ones_and_strips_have_smaller_patches_and_no_head(height, width, patch_size):
    network = recipe("nano", 3, height, width).network
    assert (network.patch_size, network.pixel_width) == (patch_size, 0)


@pytest.mark.parametrize(
    ("height", "width", "patch_size"),
    [(68, 68, 4), (100, 100, 4), (128, 128, 4), (130, 130, 5), (192, 256, 8), (512, 512, 16), (20, 1024, 5)],
)
def test_nano_cuts_larger_pictures_into_at_most_32_patches_across(height, width, patch_size):
    network = recipe("nano", 3, height, width).network
    assert (network.patch_size, network.widths, network.pixel_width) == (patch_size, (48, 96, 192), 16)


def test_a_long_strip_has_more_than_one_row_of_tokens():
    assert recipe("transformer", 3, 8, 1024).network.patch_size <= 4


@pytest.mark.parametrize("name", ["small", "medium", "large"])
def test_one_pixel_more_makes_no_smaller_network(name):
    networks = [recipe(name, 3, side, side).network for side in range(62, 71)]
    assert [len(network.widths) for network in networks] == 9 * [3]
    assert [network.patch_size for network in networks] == 6 * [2] + 3 * [4]


@pytest.mark.parametrize(
    ("height", "width", "levels"),
    [(8, 1024, 4), (16, 1024, 3), (24, 40, 3), (20, 64, 3), (128, 64, 3), (20, 1024, 3)],
)
def test_levels_of_a_strip_are_not_padded_beyond_its_height(height, width, levels):
    for name in ("small", "large"):
        network = recipe(name, 3, height, width).network
        assert len(network.widths) == levels
        assert network.size_multiple <= height


def test_parameters_grow_from_nano_to_large():
    for side in (8, 32, 65, 100):
        sizes = [
            footprint.network_size(recipe(name, 3, side, side).network, side, side) for name in OWN_PRESETS
        ]
        assert sizes == sorted(sizes)
        assert [size.gigaflops for size in sizes] == sorted({size.gigaflops for size in sizes})
        others = {recipe(name, 3, side, side).optimizer for name in OWN_PRESETS}
        assert len(others) == 1


# --- costs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nano", "keras-ddim", "annotated-resnet"])
def test_flops_counted_on_fake_tensors_are_those_of_a_forward_pass(name):
    config = recipe(name, 3, 16, 24).network
    network = build(config).eval()
    with torch.no_grad():
        done = count_flops(lambda: network(torch.zeros(2, 3, 16, 24), torch.zeros(2, 1, 1, 1))) / 2
    found = footprint.network_size(config, 16, 24)
    assert found.gigaflops == done / 1e9
    assert found.parameters == sum(weight.numel() for weight in network.parameters())


def measurement(side: int, batch: int = 64, rate: float = 100.0) -> preset_costs.Measurement:
    return preset_costs.Measurement(
        side=side, batch=batch, images_per_second=rate, megabytes=1234.0, peak_share=0.5
    )


def test_measured_costs_are_read_as_they_were_written():
    rows = {
        "nano": preset_costs.PresetCost(score="0.1", measured=(measurement(32), measurement(64, 128))),
        "small": preset_costs.PresetCost(measured=(measurement(32),)),
        "medium": preset_costs.PresetCost(score="0.2"),
    }
    measured = preset_costs.PresetCosts(how="on this machine", presets=rows)
    assert preset_costs.read_preset_costs(preset_costs.preset_costs_to_toml(measured)) == measured
    assert set(preset_costs.read_preset_costs().presets) <= set(PRESETS)  # the file that comes with unnoise


def test_a_speed_is_measured_at_its_size_and_forecast_by_operations_elsewhere():
    cost = preset_costs.PresetCost(measured=(measurement(32), measurement(128, rate=10.0)))
    assert preset_costs.images_per_second("nano", cost, 3, 32, 32) == (100.0, True)
    assert preset_costs.images_per_second("nano", preset_costs.PresetCost(), 3, 32, 32) is None
    for shape, side, rate in (((3, 48, 32), 32, 100.0), ((1, 32, 32), 32, 100.0), ((3, 256, 256), 128, 10.0)):
        there, here = (
            footprint.network_size(recipe("nano", *one).network, *one[1:]).gigaflops
            for one in ((3, side, side), shape)
        )
        found = preset_costs.images_per_second("nano", cost, *shape)
        assert found == (pytest.approx(rate * there / here), False)


def test_a_memory_is_measured_only_with_the_batch_size_of_the_preset():
    cost = preset_costs.PresetCost(measured=(measurement(32, batch=64),))
    assert preset_costs.megabytes("nano", cost, 3, 32, 32) == (1234.0, True)
    for name, side in (("small", 32), ("nano", 64)):
        expected = footprint.memory_bytes(recipe(name, 3, side, side), side, side) / 1e6
        assert preset_costs.megabytes(name, cost, 3, side, side) == (expected, False)


# --- the command ---------------------------------------------------------------------------------------------


def shown_presets(capsys, monkeypatch, columns: int, *arguments: str) -> list[str]:
    rows = {
        "nano": preset_costs.PresetCost(score="KID 0.01", measured=(measurement(32, rate=123.4),)),
        "small": preset_costs.PresetCost(score="KID 0.02"),
    }
    measured = preset_costs.PresetCosts(how="On [my] machine.", presets=rows)
    monkeypatch.setattr(preset_costs, "read_preset_costs", lambda: measured)
    monkeypatch.setenv("COLUMNS", str(columns))
    assert run(["presets", "--device", "cpu", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_the_table_of_presets_marks_what_is_forecast(capsys, monkeypatch):
    lines = shown_presets(capsys, monkeypatch, 200, "--size", "24x40", "--channels", "4", "--minutes", "600")
    rows = {line.split()[0]: line for line in reversed(lines) if line and line.split()[0] in PRESETS}
    assert rows.keys() == PRESETS.keys()
    size = footprint.network_size(recipe("nano", 4, 24, 40).network, 24, 40)
    assert all(each in rows["nano"] for each in (f"{size.parameters / 1e6:#.3g} M", f"{size.gigaflops:#.3g}"))
    assert rows["nano"].count("~") == 3  # speed, memory and disk
    assert (rows["small"].count("~"), rows["small"].count("–")) == (2, 1)  # its speed was never measured
    assert "123" not in rows["nano"]  # the figure of 32 x 32
    assert "On [my] machine." in lines
    assert "KID 0.02" in "".join(lines)
    assert lines[0] == "Pictures of 24 x 40, 4 channels. ~: forecast. –: not measured."
    assert (
        lines[-1]
        == f"Without --preset, unnoise train takes small here: {choose_preset('cpu', 24, 40, 600).why}"
    )


@pytest.fixture
def _any_size(monkeypatch):
    """A network of many digits, which is not counted anew for each preset."""
    size = footprint.NetworkSize(135_719_555, 214.8, 12_345_678_901)
    for module in (footprint, preset_costs):
        monkeypatch.setattr(module, "network_size", lambda *_: size)


@pytest.mark.usefixtures("_any_size")
def test_the_table_of_presets_shows_what_was_measured_as_it_is(capsys, monkeypatch):
    lines = shown_presets(capsys, monkeypatch, 80)
    row = next(line for line in lines if line.startswith("nano"))
    assert " 123 " in row
    assert " 1.2 GB " in row
    assert row.count("~") == 1  # the disk


@pytest.mark.usefixtures("_any_size")
@pytest.mark.parametrize("size", ["64", "256"])
def test_the_table_of_presets_is_readable_in_80_columns(capsys, monkeypatch, size):
    lines = shown_presets(capsys, monkeypatch, 80, "--size", size)
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)
    for name in PRESETS:  # whole, once in each table
        assert sum(line.split()[:1] == [name] for line in lines) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--channels", "0"), "at least 1 row, column and channel"),
        (("--minutes", "0"), "more than 0 minutes"),
        (("--size", "x"), "A size is written H or HxW"),
        (("--device", "cuda:77"), "cannot be used here"),
    ],
)
def test_wrong_arguments_of_presets_are_refused_in_one_sentence(capsys, arguments, sentence):
    assert run(["presets", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_train_prints_the_reason_and_stores_the_preset(capsys, monkeypatch):
    small = presets.nano
    monkeypatch.setitem(PRESETS, "small", small)  # as quick as the smallest
    dry = ["train", "digits", "--out", "r", "--device", "cpu", "--dry-run", "--minutes", "60"]
    dry += ["--precision", "float32"]  # left out, a processor with bfloat16 says which it chose
    assert run(dry) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["preset"] == "small"
    assert said.err.strip() == f"Preset small: {choose_preset('cpu', 8, 8, 60).why}"
    assert run([*dry, "--preset", "default"]) == 0
    assert capsys.readouterr() == said
    assert run([*dry, "--preset", "nano"]) == 0
    assert "Preset" not in capsys.readouterr().err
