"""Tests of the benchmark of growing sizes: power laws, rows of several machines, and what is measured."""

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import growth, growth_report, random_pictures
from helpers.growth_rows import rows
from unnoise.data import load
from unnoise.networks import build
from unnoise.pictures import save_png
from unnoise.pictures.charts import painted
from unnoise.runs.presets import recipe
from unnoise.utils.tables import read_table, write_table


def test_the_tables_tell_the_power_laws_and_the_command():
    tables = growth_report.tables(rows())
    assert tables["power-laws"].splitlines()[2:] == [
        "| Resolution | One | images/s | pixels^-1.00 |",
        "| Batch | One | images/s | batch^0.20 |",
        "| Width of the network | One | images/s | width^-1.50 |",
        "| Number of pictures | One | batches/s | pictures^-0.01 |",
    ]
    assert "python -m benchmarks.growth --device One" in tables["machines"]


def test_the_power_law_of_the_resolution_leaves_out_sizes_with_another_recipe():
    """The fitted sizes have one width and one patch size; larger ones have another."""

    def kind(side):
        network = growth.resolved(side).network
        return network.widths[0], network.patch_size

    fitted = [row.size for row in growth_report.fitted(growth_report.of(rows(), "One", "resolution"))]
    assert fitted == [24, 32, 48, 64]
    assert len({kind(side) for side in fitted}) == 1
    assert kind(96) != kind(24)
    odd = [row._replace(images_per_second=1.0) if row.size in {16, 96} else row for row in rows()]
    assert growth_report.power_law(growth_report.of(odd, "One", "resolution")).slope == pytest.approx(-1)
    assert growth_report.power_law(growth_report.of(rows(), "One", "batch")[:1]) is None


def test_a_machine_replaces_its_own_rows_and_no_others(tmp_path):
    both = growth.merged(rows("One"), rows("Two"))
    write_table(tmp_path / "growth.csv", growth_report.Row, both)
    kept = read_table(tmp_path / "growth.csv", growth_report.Row)
    assert kept == both == [*rows("One"), *rows("Two")]
    again = growth.merged(kept, rows("One", 7.0))
    assert again == [*rows("One", 7.0), *rows("Two")]
    text = growth_report.tables(again)["machines"]
    assert text.index("## One") < text.index("--device One") < text.index("## Two") < text.index("--device Two")


@pytest.mark.parametrize("machines", [["One"], ["One", "Two"]])
def test_the_plot_has_a_panel_for_each_quantity_and_is_small(tmp_path, machines):
    all_rows = [row for machine in machines for row in rows(machine)]
    drawn = []

    def draw(figure):
        growth_report.draw(all_rows, figure)
        drawn.extend((axes.get_title(loc="left"), len(axes.lines)) for axes in figure.axes)

    save_png(painted(draw, (7.0, 5.2)).quantize(64), tmp_path / "growth.png")
    assert [title for title, _ in drawn] == [quantity.title for quantity in growth_report.QUANTITIES.values()]
    assert all(count >= 2 * len(machines) for _, count in drawn)
    assert (tmp_path / "growth.png").stat().st_size < 120_000
    with Image.open(tmp_path / "growth.png") as image:
        assert image.size == (1050, 780)


def test_a_widened_recipe_differs_in_the_width_of_the_network_only():
    usual = recipe("default", 1, 32, 32)
    wide = growth.widened(usual, 96)
    assert wide.network.widths == (96, 192)
    assert growth.widened(wide, 48) == usual
    parameters = [sum(each.numel() for each in build(one.network).parameters()) for one in (usual, wide)]
    assert 3 < parameters[1] / parameters[0] < 4


def test_steps_are_timed_and_their_operations_counted():
    chosen = growth.widened(recipe("default", 1, 8, 8), 8)
    diffusion = growth.build(chosen, 8, torch.device("cpu"), "float32")
    before = [each.clone() for each in diffusion.network.parameters()]
    cases = [growth.case(2, diffusion, 2), growth.case(4, diffusion, 4)]
    (_, rate, work), (_, _, other) = growth.rates("batch", cases, 1, shortest=1e-3)
    assert rate > 0
    assert work > other > 0  # the optimiser's products are shared by more pictures
    assert any(
        not torch.equal(old, new) for old, new in zip(before, diffusion.network.parameters(), strict=True)
    )


def test_loading_is_measured_in_a_process_that_finds_the_pictures_in_the_cache(tmp_path):
    random_pictures.npy_file(tmp_path / "some.npy", 300, 16)
    assert load(tmp_path / "some.npy", cache=tmp_path).pixels.shape == (300, 16, 16, 1)
    assert len(np.unique(np.load(tmp_path / "some.npy"))) == 256
    (found,) = growth.loading((300,), 0.05, lambda *row: row)
    grown, size, numbers = found
    assert (grown, size) == ("pictures", 300)
    assert set(numbers) <= set(growth_report.Row._fields)
    assert numbers["images_per_second"] > 64
    assert numbers["first_batch"] > 0
    assert 0 <= numbers["peak"] < 200
