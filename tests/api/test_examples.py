"""Examples: each runs as it stands, at small size, and ends in a picture that is not blank."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.rank_tasks import script
from helpers.ranks import run_ranks
from unnoise.runs import presets

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
AMOUNTS = {"own_folder": ("photos", 0.02), "own_network": (30,), "own_schedule": (10,)}
"""Arguments with which an example takes a second; of the others it is minutes."""
MINUTES = 0.01


def small_nano(*shape):
    """The preset of short runs, with a network that draws in a moment."""
    nano = presets.nano(*shape)
    widths = tuple(width // 4 for width in nano.network.widths)
    return replace(nano, network=replace(nano.network, widths=widths, block_depth=1))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("unnoise.trainer.loop.choose_device", lambda _: torch.device("cpu"))
    monkeypatch.setitem(presets.PRESETS, "nano", small_nano)


def require_picture(path: Path) -> None:
    with Image.open(path) as picture:
        assert min(picture.size) >= 16
        assert np.asarray(picture.convert("L")).std() > 5


def test_there_are_eight_of_at_most_40_lines():
    assert len(EXAMPLES) == 8
    assert {path.name: lines for path in EXAMPLES if (lines := len(path.read_text().splitlines())) > 40} == {}


@pytest.mark.slow
@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_ends_in_a_picture(path, monkeypatch):
    numbers = np.random.default_rng(0)
    for place in range(30 if path.stem == "own_folder" else 0):
        Path("photos").mkdir(exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(f"photos/{place}.png")
    amounts = [str(amount) for amount in AMOUNTS.get(path.stem, (MINUTES,))]
    if path.stem == "distributed":
        done = run_ranks(2, script, Path.cwd(), path, amounts)
        assert done.codes == [0, 0], done.err
    else:
        monkeypatch.setattr(sys, "argv", [str(path), *amounts])
        runpy.run_path(str(path), run_name="__main__")
    require_picture(Path(f"{path.stem}.png"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "path", sorted((ROOT / "examples" / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem
)
def test_a_notebook_runs_and_shows_pictures(path):
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    book = nbformat.read(path, 4)
    small = {
        "MINUTES = 3.0": "MINUTES = 0.01",
        "MEASURE = 1.0": "MEASURE = 0.02",
        "STEPS = 2000": "STEPS = 20",
        '"fashion-mnist"': '"digits"',
    }
    for cell in book.cells:
        for usual, less in small.items():
            cell.source = cell.source.replace(usual, less)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", ()) if "data" in output]
    kinds = [kind for output in shown for kind in output["data"] if kind.startswith("image/")]
    assert len(kinds) >= 3
