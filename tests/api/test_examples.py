"""Examples: each runs as it stands, at small size, and ends in a picture that is not blank."""

import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
AMOUNTS = {"own_folder": ("photos", 0.02), "own_network": (30,), "own_schedule": (10,)}
"""Arguments with which an example takes a second; of the others it is minutes."""
MINUTES = 0.01


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("unnoise.trainer.loop.choose_device", lambda _: torch.device("cpu"))


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
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        subprocess.run([*launcher, str(path), *amounts], check=True, capture_output=True)
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
    small = {"MINUTES = 3.0": "MINUTES = 0.01", "MEASURE = 1.0": "MEASURE = 0.02", "STEPS = 2000": "STEPS = 20"}
    for cell in book.cells:
        for usual, less in small.items():
            cell.source = cell.source.replace(usual, less)
    nbclient.NotebookClient(book, timeout=300, kernel_name="python3").execute()
    shown = [output for cell in book.cells for output in cell.get("outputs", ()) if "data" in output]
    kinds = [kind for output in shown for kind in output["data"] if kind.startswith("image/")]
    assert len(kinds) >= 3
