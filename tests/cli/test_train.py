"""`unnoise train`: options, skipped files, resuming and stopping."""

import io
import itertools
import json
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.clocks import Clock
from helpers.command_line import ok, refused
from helpers.data_files import random_photos
from helpers.previews import draw_previews
from helpers.runs import digits, until_trained
from unnoise.api.loading import load_run_pictures
from unnoise.runs.checkpoint import Run


def test_colour_pictures_with_alpha_are_trained_on_at_12x20(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    ok("train", folder, "--out", "r", "--steps", 2, "--size", "12x20", "--batch-size", 4, "--seed", 3)
    config = json.loads(Path("r/config.json").read_text())
    assert (config["data"]["height"], config["data"]["width"], config["data"]["channels"]) == (12, 20, 3)
    assert (config["seed"], config["recipe"]["batch_size"]) == (3, 4)
    out = capsys.readouterr().out
    assert "run: r" in out
    assert re.search(r"samples: r/samples/\d+\.png", out)
    ok("generate", "r", "--num-images", 2, "--num-steps", 2, "--out", "new.npz")
    with np.load("new.npz") as archive:
        assert archive["images"].shape == (2, 12, 20, 3)
        assert archive["images"].dtype == np.uint8


def test_four_channels_keep_the_alpha_of_pictures_in_a_zip(tmp_path):
    folder = random_photos(tmp_path / "photos")
    with zipfile.ZipFile("photos.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"inside/{file.name}")
    ok(
        "train",
        "photos.zip",
        "--out",
        "r",
        "--images",
        8,
        "--size",
        8,
        "--channels",
        4,
        "--batch-size",
        4,
        "--flip",
    )
    ok("generate", "r", "--num-images", 2, "--num-steps", 1, "--out", "pngs")
    with Image.open("pngs/000000.png") as picture:
        assert (picture.mode, picture.size) == ("RGBA", (8, 8))


def test_an_existing_run_goes_on_only_with_resume(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    common = ("--size", 8, "--batch-size", 4)
    ok("train", folder, "--out", "whole", "--steps", 4, *common)
    ok("train", folder, "--out", "parts", "--steps", 2, *common)
    sentence = refused(capsys, "train", folder, "--out", "parts", "--steps", 4, *common)
    assert "Continue it with --resume, or choose another folder with --out" in sentence
    # a budget of other length anneals otherwise: give both runs the same for the same rates
    ok("train", folder, "--out", "parts", "--steps", 4, *common, "--resume")
    whole, parts = (json.loads(Path(name, "config.json").read_text()) for name in ("whole", "parts"))
    for config, name in itertools.product((whole, parts), ("sampling", "guided_sampling")):
        del config["recipe"][name]["polish"]  # it was found for the weights, which differ
    assert whole == parts
    assert len(Path("parts/history.csv").read_text().splitlines()) > 2


def test_resume_refuses_other_pictures_and_other_options(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    ok("train", folder, "--out", "r", "--steps", 1, "--size", 8, "--batch-size", 4)
    again = ("train", folder, "--out", "r", "--steps", 2, "--resume")
    assert "started with size (8, 8), but got (16, 16)" in refused(capsys, *again, "--size", 16)
    assert "started with batch size 4" in refused(capsys, *again, "--batch-size", 8)
    assert "started with preset nano" in refused(capsys, *again, "--preset", "large")
    (folder / "0.PNG").unlink()
    assert "does not hold the pictures that this run was started with" in refused(capsys, *again)
    assert "There is no run at" in refused(capsys, "train", folder, "--out", "other", "--resume")


def test_dry_run_prints_the_config_and_writes_nothing(capsys):
    ok("train", "digits", "--out", "r", "--dry-run", "--preset", "keras-ddim")
    assert json.loads(capsys.readouterr().out)["recipe"]["schedule"]["kind"] == "OffsetCosine"
    assert not Path("r").exists()


def test_dry_run_leaves_the_run_in_its_folder_as_it_is(tmp_path, capsys):
    """That of the default --out, named after the pictures: a dry run writes nothing there."""
    options = ("train", random_photos(tmp_path / "photos"), "--size", 8, "--batch-size", 4)
    ok(*options, "--steps", 1)
    before = {path: path.stat().st_mtime_ns for path in Path("runs/photos").rglob("*")}
    capsys.readouterr()
    ok(*options, "--steps", 2, "--dry-run")
    assert json.loads(capsys.readouterr().out)["budget"]["amount"] == 2
    assert before
    assert {path: path.stat().st_mtime_ns for path in Path("runs/photos").rglob("*")} == before


@pytest.mark.slow
def test_ctrl_c_saves_and_says_how_to_resume():
    digits()  # into the cache, so that the command need not import scikit-learn
    command = [
        sys.executable,
        "-m",
        "unnoise",
        "train",
        "digits",
        "--steps",
        "100000",
        "--out",
        "r",
        "--batch-size",
        "4",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    until_trained(process, Path("r"))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "with --resume goes on" in err
    assert "run: r" in out
    assert len(list(Path("r/training").glob("*.safetensors"))) == 1


def test_resuming_a_run_whose_budget_is_spent_says_so(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    common = ("--size", 8, "--batch-size", 4, "--steps", 1, "--out", "r")
    ok("train", folder, *common)
    ok("train", folder, *common, "--resume")
    assert "already spent: give it a larger one" in capsys.readouterr().err


def test_set_changes_the_recipe(capsys):
    changes = ["objective.loss=huber", "network.block=convnext", "optimizer.learning_rate=1e-3"]
    ok("train", "digits", "--dry-run", "--set", *changes)
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    found = recipe["objective"]["loss"], recipe["network"]["block"], recipe["optimizer"]["learning_rate"]
    assert found == ("huber", "convnext", 1e-3)


def test_a_corrupt_file_among_good_ones_is_named_and_skipped(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    good = (folder / "0.PNG").read_bytes()
    (folder / "torn.png").write_bytes(good[: len(good) // 2])
    ok("train", folder, "--out", "r", "--steps", 1, "--size", 8, "--batch-size", 4)
    err = capsys.readouterr().err
    assert "Skipped torn.png" in err
    assert Path("r/skipped.txt").read_text().startswith("torn.png: ")
    assert "6 pictures" in err


def test_what_is_not_taken_is_counted_by_every_command_on_a_source(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    folder = random_photos(tmp_path / "photos")
    for number in range(50):
        (folder / f"{number}.HEIC").write_bytes(b"no picture")
    (folder / "torn.png").write_bytes(b"no picture")
    remedy = "to read them, run pip install 'unnoise[heic]'"
    told = f"Took 6 pictures; left out 50 .heic ({remedy}); could not read 1 .png."
    ok("train", folder, "--out", "r", "--steps", 1, "--size", 8, "--batch-size", 4)
    assert told in capsys.readouterr().err
    ok("train", folder, "--out", "r", "--steps", 2, "--resume")
    assert told in capsys.readouterr().err
    load_run_pictures(Run.open(Path("r")).config)  # as evaluate, vary, solve, ... do
    assert told in capsys.readouterr().err


def test_a_decompression_bomb_among_pictures_is_skipped(tmp_path, capsys, monkeypatch):
    folder = random_photos(tmp_path / "photos")
    Image.new("1", (600, 600)).save(folder / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    ok("train", folder, "--out", "r", "--steps", 1, "--size", 8, "--batch-size", 4)
    assert "Skipped bomb.png" in capsys.readouterr().err


def test_a_run_inside_the_folder_of_its_pictures_does_not_train_on_its_own_samples(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    arguments = ("train", folder, "--out", folder / "runs" / "mine", "--size", 8, "--batch-size", 4, "--steps")
    ok(*arguments, 1)
    ok(*arguments, 2, "--resume")
    assert "6 pictures" in capsys.readouterr().err


def test_pictures_of_one_pixel_are_trained_on(tmp_path):
    folder = tmp_path / "dots"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (1, 1), (number, 99, 200)).save(folder / f"{number}.png")
    ok("train", folder, "--out", "r", "--steps", 1, "--batch-size", 2)
    assert json.loads(Path("r/config.json").read_text())["data"]["height"] == 1


def timed_run(patches: pytest.MonkeyPatch, name: str, minutes: float) -> None:
    """Trains on digits for so many minutes, in steps of 25 seconds on the clock of the test."""
    Clock(patches, 25.0)
    draw_previews(patches, lambda _: False)
    ok("train", "digits", "--out", name, "--minutes", minutes, "--preset", "nano", "--batch-size", 4)


def test_without_a_terminal_a_line_a_minute_is_printed(capsys, monkeypatch):
    timed_run(monkeypatch, "r", 5)
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("Training: ")]
    assert len(told) == 4
    sentence = r"Training: step \d+ \(\d+%\), 0\.\d\d images/s, loss \d\.\d{4}, .*\d+ (s|min) left"
    assert all(re.fullmatch(sentence, line) for line in told)
    assert "held-out loss" in told[-1]
    written = [json.loads(line) for line in Path("r/progress.jsonl").read_text().splitlines()]
    assert [f"step {line['step']} " in said for line, said in zip(written, told, strict=True)] == [True] * 4
    timed_run(monkeypatch, "short", 0.5)
    assert "Training: " not in capsys.readouterr().err


def test_on_a_terminal_the_bar_says_the_same(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    timed_run(monkeypatch, "r", 2)
    told = capsys.readouterr().err
    assert "Training: step" not in told
    assert "images/s" in told


def test_a_log_that_cannot_be_written_does_not_end_a_run(monkeypatch):
    class Full(io.StringIO):
        def write(self, _):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stderr", Full())
    timed_run(monkeypatch, "r", 3)
    assert len(Path("r/progress.jsonl").read_text().splitlines()) == 3
