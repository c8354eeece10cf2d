"""Comparison of runs: which numbers may be compared, which is the best, and the same pictures as generate's."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.command_line import ok, refused
from helpers.evaluated_runs import EVALUATION, config, write
from helpers.pages import Seen, rows
from helpers.sampling import last
from unnoise import reports
from unnoise.data import load
from unnoise.reports.comparability import why_not_compare_losses, why_not_compare_scores
from unnoise.reports.page import Code, Text
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget, RunConfig
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError

pytestmark = pytest.mark.usefixtures("own_folder")


def folder(name: str, facts: dict, config: RunConfig) -> reports.RunFolder:
    evaluation = json.loads(json.dumps(EVALUATION))
    evaluation["quality"]["facts"] |= facts
    path = Path(name)
    Run.create(path, config)
    write(path, evaluation)
    return reports.RunFolder.read(path)


def test_scores_are_compared_only_where_all_else_was_the_same():
    first = folder("a", {}, config())
    assert why_not_compare_scores([first, folder("b", {"steps": 10}, config())]) == ""
    cases = {
        "c": ({"extractor": "learned"}, "extractor (lite0, learned)"),
        "d": ({"split": "all"}, "split (held-out, all)"),
        "e": ({"samples": 50}, "number of samples (1,024, 50)"),
        "f": ({"resize": "to 299 x 299"}, "resize (to 64 x 64, to 299 x 299)"),
        "g": ({"fingerprint": "other"}, "real pictures"),
    }
    for name, (facts, reason) in cases.items():
        sentence = why_not_compare_scores([first, folder(name, facts, config())])
        assert sentence == f"The scores can't be compared: they differ in {reason}."
    other = replace(config(), data=replace(config().data, fingerprint="0"))
    assert "real pictures" in why_not_compare_scores([first, folder("h", {}, other)])
    both = folder("i", {"split": "all", "samples": 50}, config())
    cells = {row.name: [cell.best for cell in row.cells] for row in reports.comparison_rows([first, both])}
    assert cells["KID-lite0"] == [False, False]
    worse = [{"name": "KID-lite0", "value": 0.5}, {"name": "recall", "value": 0.9, "better": "higher"}]
    write(Path("b"), {**EVALUATION, "quality": {**EVALUATION["quality"], "scores": worse}})
    cells = {
        row.name: [cell.best for cell in row.cells]
        for row in reports.comparison_rows([first, reports.RunFolder.read(Path("b"))])
    }
    assert (cells["KID-lite0"], cells["recall"]) == ([True, False], [False, True])
    near = [{"name": "KID-lite0", "value": 0.02, "low": 0.0162, "high": 0.03}]
    write(Path("b"), {**EVALUATION, "quality": {**EVALUATION["quality"], "scores": near}})
    (kid,) = [
        row
        for row in reports.comparison_rows([first, reports.RunFolder.read(Path("b"))])
        if row.name == "KID-lite0"
    ]
    assert not any(cell.best for cell in kid.cells)  # 0.0071 to 0.0163 meets 0.0162 to 0.03


def test_losses_are_compared_only_under_the_same_loss():
    first = folder("a", {}, config())
    assert why_not_compare_losses([first, folder("b", {}, config("network.widths=[8, 16]"))]) == ""
    assert "recipe.objective.loss" in why_not_compare_losses(
        [first, folder("c", {}, config("objective.loss=l1"))]
    )
    assert "other pictures" in why_not_compare_losses([first, folder("d", {}, replace(config(), seed=3))])


def test_unnoise_compare_prints_the_numbers_of_its_page(run, capsys):
    colour = np.random.default_rng(0).integers(0, 256, (50, 12, 20, 3), dtype=np.uint8)
    np.save("colour.npy", colour)
    images = load("colour.npy")
    changes = ("network.widths=[8, 8, 8]", "network.block_depth=1", "sampling.num_steps=3", "ema.profiles=[]")
    options = TrainOptions(batch_size=4, changes=changes, budget=Budget(unit="steps", amount=2.0))
    made = Run.create(Path("colourful"), plan(images, options))
    last(train(made, images))
    write(run)
    capsys.readouterr()
    ok("compare", run, "colourful", "--seeds", 3, "--num-steps", 2, "--device", "cpu")
    printed = capsys.readouterr()
    assert "comparison: compare.html" in printed.out
    assert "held-out losses can't be compared" in " ".join(printed.err.split())
    html = Path("compare.html").read_text()
    found, seen = rows(html), Seen(html)
    assert ["images seen", "48", "8"] in found
    assert "images seen 48 8" in " ".join(printed.out.split())
    parameters = [f"{reports.RunFolder.read(Path(path)).parameters:,}" for path in (run, "colourful")]
    assert ["parameters", *parameters] in found
    assert ["KID-lite0", "0.01172 0.0071 to 0.0163", "–"] in found
    assert ["data.channels", "1", "3"] in found
    assert ["", "seed 0", "seed 1", "seed 2"] in found
    tiles = [(int(tile["width"]), int(tile["height"])) for tile in seen.all("img")]
    assert len(tiles) == 6
    assert {round(width / height, 4) for width, height in tiles[:3]} == {1.0}
    assert {round(width / height, 4) for width, height in tiles[3:]} == {round(20 / 12, 4)}
    assert "colourful has no scores yet: unnoise evaluate colourful" in seen.text


def test_the_pictures_of_a_comparison_are_those_of_generate(run):
    ok("generate", run, "--num-images", 2, "--num-steps", 2, "--out", "two.npz")
    with np.load("two.npz") as archive:
        wanted = archive["images"]
    drawn = reports.sample_seeds(reports.RunFolder.read(run), 2, 2, "cpu")
    assert ((drawn.permute(0, 2, 3, 1).numpy() * 255).round() == wanted).all()
    with pytest.raises(UnnoiseError, match="at least 1 seed"):
        reports.sample_seeds(reports.RunFolder.read(run), 0, None, "cpu")


def test_unnoise_compare_refuses_bad_arguments_in_one_sentence(run, capsys):
    assert "at least 2 runs, but got 1" in refused(capsys, "compare", run)
    assert "There is no run at nowhere" in refused(capsys, "compare", run, "nowhere")
    assert "at least 1 seed" in refused(capsys, "compare", run, run, "--seeds", 0)
    assert "an .html file" in refused(capsys, "compare", run, run, "--out", "x.png")
    (run / "model.safetensors").unlink()
    assert "does not exist" in refused(capsys, "compare", run, run)
    assert not Path("compare.html").exists()


def test_runs_of_one_name_are_told_apart(run):
    for parent in ("a", "b"):
        shutil.copytree(run, Path(parent) / "run")
    read = [reports.RunFolder.read(Path(path)) for path in ("a/run", "b/run", "mine")]
    assert reports.names_of(read[1:]) == ["run", "mine"]
    assert reports.names_of(read[:2]) == ["a/run", "b/run"]
    assert reports.names_of([read[0], read[0]]) == ["run (1)", "run (2)"]
    page = reports.compare(read[:2], [torch.rand(1, 1, 8, 8)] * 2)
    assert page.title == "a/run · b/run"
    assert [part.text for part in page.sections if isinstance(part, Text)][-1].startswith("None: ")
    assert not any(isinstance(part, Code) for part in page.sections)
