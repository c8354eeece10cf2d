"""The page about growth says what the rows of all machines say, and a fresh process tells of itself alone."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import children, growth, growth_page, reports
from helpers.growth_rows import rows
from unnoise.data import load
from unnoise.networks import build
from unnoise.pictures import save_png
from unnoise.pictures.charts import painted
from unnoise.runs.presets import recipe
from unnoise.utils.tables import read_table, write_table


def test_slopes_are_said_in_words():
    text = "\n".join(growth_page.page(rows()))
    for words in (
        "images/s fall as pixels^-1.00",
        "images/s rise as batch^0.20",
        "images/s fall as width^-1.50",
        "batches/s hardly change: they go as pictures^-0.01",
        "python -m benchmarks.growth --device One",
    ):
        assert words in text
    first = growth_page.page(rows())[1]
    assert first.startswith("On One, images/s fall")


def test_the_slope_over_the_resolution_leaves_out_sizes_of_another_recipe():
    """Those that are fitted have one width and patches of one size; the next ones are made otherwise."""

    def kind(side):
        network = recipe("default", 1, side, side).network
        return network.widths[0], network.patch_size

    fitted = [row.size for row in growth_page.fitted(growth_page.of(rows(), "One", "resolution"))]
    assert fitted == [24, 32, 48, 64]
    assert len({kind(side) for side in fitted}) == 1
    assert {kind(16), kind(96)}.isdisjoint({kind(24)})
    odd = [row._replace(images_per_second=1.0) if row.size in {16, 96} else row for row in rows()]
    assert growth_page.line(growth_page.of(odd, "One", "resolution")).slope == pytest.approx(-1)
    assert "too few" in growth_page.law("images/s", growth_page.of(rows(), "One", "batch")[:1])


def test_a_machine_replaces_its_own_rows_and_no_others(tmp_path):
    both = growth.merged(rows("One"), rows("Two"))
    write_table(tmp_path / "growth.csv", growth_page.Row, both)
    kept = read_table(tmp_path / "growth.csv", growth_page.Row)
    assert kept == both == [*rows("One"), *rows("Two")]
    again = growth.merged(kept, rows("One", 7.0))
    assert again == [*rows("One", 7.0), *rows("Two")]
    text = "\n".join(growth_page.page(again))
    assert text.index("## One") < text.index("--device One") < text.index("## Two") < text.index("--device Two")


@pytest.mark.parametrize("machines", [["One"], ["One", "Two"]])
def test_four_panels_are_a_small_picture(tmp_path, machines):
    all_rows = [row for machine in machines for row in rows(machine)]
    drawn = []

    def draw(figure):
        growth_page.draw(all_rows, figure)
        drawn.extend((axes.get_title(loc="left"), len(axes.lines)) for axes in figure.axes)

    save_png(painted(draw, (7.0, 5.2)).quantize(64), tmp_path / "growth.png")
    assert [title for title, _ in drawn] == [grown.title for grown in growth_page.GROWN.values()]
    assert all(count >= 2 * len(machines) for _, count in drawn)
    assert (tmp_path / "growth.png").stat().st_size < 120_000
    with Image.open(tmp_path / "growth.png") as image:
        assert image.size == (1050, 780)


def test_only_the_network_becomes_wider():
    usual = recipe("default", 1, 32, 32)
    wide = growth.widened(usual, 96)
    assert wide.network.widths == (96, 192)
    assert growth.widened(wide, 48) == usual
    parameters = [sum(each.numel() for each in build(one.network).parameters()) for one in (usual, wide)]
    assert 3 < parameters[1] / parameters[0] < 4


def test_steps_are_timed_and_counted(monkeypatch):
    monkeypatch.setattr(growth, "_SHORTEST", 1e-3)
    chosen = growth.widened(recipe("default", 1, 8, 8), 8)
    diffusion = growth.build(chosen, 8, torch.device("cpu"), "float32")
    before = [each.clone() for each in diffusion.network.parameters()]
    cases = [growth.case(2, diffusion, 2), growth.case(4, diffusion, 4)]
    (_, rate, work), (_, _, other) = growth.rates("batch", cases, 1)
    assert rate > 0
    assert work > other > 0  # the optimiser's products are shared by more pictures
    assert any(
        not torch.equal(old, new) for old, new in zip(before, diffusion.network.parameters(), strict=True)
    )


def test_pictures_are_counted_by_a_process_that_finds_them_in_the_cache(tmp_path):
    growth.random_pictures(tmp_path / "some.npy", 300)
    assert load(tmp_path / "some.npy", cache=tmp_path).pixels.shape == (300, 16, 16, 1)
    assert len(np.unique(np.load(tmp_path / "some.npy"))) == 256
    (found,) = growth.pictures((300,), 0.05, lambda *told: told)
    grown, size, numbers = found
    assert (grown, size) == ("pictures", 300)
    assert set(numbers) <= set(growth_page.Row._fields)
    assert numbers["images_per_second"] > 64
    assert numbers["first_batch"] > 0
    assert 0 <= numbers["peak"] < 200


def test_a_child_s_peak_is_not_that_of_its_parent():
    held = np.ones(50_000_000)  # 400 MB
    assert children.own_peak() > held.nbytes / 2**20
    bare = children.peak_of([sys.executable, "-S", "-c", "pass"])
    more = children.peak_of([sys.executable, "-S", "-c", "x = bytearray(100 * 2**20)"])
    assert bare < 100
    assert more - bare == pytest.approx(100, abs=10)
    with pytest.raises(RuntimeError, match="ended with 3"):
        children.peak_of([sys.executable, "-c", "raise SystemExit(3)"])
    with pytest.raises(RuntimeError, match=r"No module named benchmarks\.nothing"):
        children.told_by("benchmarks.nothing")


def test_what_is_measured_in_haste_is_not_published(tmp_path, capsys):
    asked = SimpleNamespace(quick=True, docs=None)
    assert reports.folder_for(asked) is None
    reports.tell("page", ["# Title"], None)
    assert capsys.readouterr().out == "# Title\n"
    assert reports.folder_for(SimpleNamespace(quick=False, docs=None)).name == "docs"
    assert reports.folder_for(SimpleNamespace(quick=True, docs=tmp_path)) == tmp_path
    reports.tell("page", ["# Title", *reports.made("growth", "--quick", "One turn.")], tmp_path)
    text = (tmp_path / "page.md").read_text()
    assert text.startswith(
        "# Title\n\n```sh\npython -m benchmarks.growth --quick\n```\n\nOne turn. Measured on 20"
    )
