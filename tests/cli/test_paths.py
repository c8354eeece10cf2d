"""Paths as people write them: with ~, from another folder, moved, and as all files that a shell found."""

import shutil
from pathlib import Path

import pytest

from helpers.command_line import ok, refused
from helpers.data_files import save_many
from unnoise.data import absolute_source
from unnoise.runs.checkpoint import Run

TINY = ("--batch-size", 4, "--held-out", 2, "--set", "network.widths=[8,16]", "network.block_depth=1")


@pytest.fixture
def pictures():
    """Thirty pictures in the folder `pictures`, in which two colours take turns."""
    return save_many(Path("pictures"), {f"{n}.png": (n * 8, 9, 255 - n * 8) for n in range(30)})


def labels_file():
    lines = "".join(f"{n}.png,{'even' if n % 2 == 0 else 'odd'}\n" for n in range(30))
    Path("classes.csv").write_text("file,class\n" + lines)
    return "classes.csv"


@pytest.mark.parametrize("form", ["--out ~/x", "--out=~/x"])
def test_a_tilde_is_the_home_folder_in_every_path(form, pictures, trained, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    shutil.copytree(pictures, home / "pictures")
    shutil.copytree(trained, home / "run")
    out = (lambda path: ["--out", path]) if " " in form else (lambda path: [f"--out={path}"])
    ok("train", "~/pictures", *out("~/new"), "--steps", 1, "--size", 4, *TINY)
    ok("info", "~/pictures", "--no-measure", *out("~/sheet.png"))
    ok("generate", "~/run", "--num-images", 1, "--num-steps", 1, *out("~/grid.png"))
    ok("vary", "~/run", "~/pictures/1.png", "--num-steps", 2, "--save=~/v.npz", *out("~/varied.png"))
    save_many(home, {"mask.png": (255, 255, 255)}, (8, 8))
    ok("inpaint", "~/run", "--held-out", 1, "--mask", "~/mask.png", "--repeats", 1, *out("~/i.png"))
    assert not list(tmp_path.rglob("*~*"))
    assert {"new", "sheet.png", "grid.png", "varied.png", "v.npz", "i.png"} <= {
        path.name for path in home.iterdir()
    }


def test_a_run_finds_its_pictures_and_labels_from_every_folder(pictures, tmp_path, monkeypatch):
    ok("train", "pictures", "--labels", labels_file(), "--out", "run", "--steps", 1, "--size", 4, *TINY)
    data = Run.open(Path("run")).config.data
    assert (data.source, data.labels) == (str(tmp_path / "pictures"), str(tmp_path / "classes.csv"))
    monkeypatch.chdir("/")
    run = tmp_path / "run"
    ok("evaluate", run, "--num-samples", 12, "--num-images", 2, "--num-terms", 2, "--device", "cpu")
    ok("vary", run, "--held-out", 1, "--num-steps", 2)
    ok("train", data.source, "--out", run, "--steps", 2, "--resume")


def test_resuming_with_moved_pictures_keeps_their_new_place(pictures, tmp_path):
    ok("train", "pictures", "--out", "run", "--steps", 1, "--size", 4, *TINY)
    pictures.rename("moved")
    ok("train", "moved", "--out", "run", "--steps", 2, "--resume")
    assert Run.open(Path("run")).config.data.source == str(tmp_path / "moved")
    ok("evaluate", "run", "--num-samples", 12, "--num-images", 2, "--num-terms", 2, "--device", "cpu")


def test_a_relative_source_of_an_older_run_is_told_from_a_wrong_spelling(
    pictures, capsys, monkeypatch, tmp_path
):
    ok("train", "pictures", "--out", "run", "--steps", 1, "--size", 4, *TINY)
    config = tmp_path / "run" / "config.json"
    config.write_text(config.read_text().replace(str(tmp_path / "pictures"), "pictures"))
    ok("vary", "run", "--held-out", 1, "--num-steps", 2)
    monkeypatch.chdir("/")
    sentence = refused(capsys, "evaluate", tmp_path / "run")
    assert "trained on 'pictures', a path below the folder where it was started" in sentence


@pytest.mark.parametrize("command", ["train", "info"])
def test_all_files_that_a_shell_found_are_refused_with_the_name_of_their_folder(command, pictures, capsys):
    files = sorted(pictures.glob("*.png"))
    sentence = refused(capsys, command, *files, *(("--steps", 1) if command == "train" else ()))
    assert "one folder of pictures, but got 30 paths, from 'pictures/0.png' to 'pictures/9.png'" in sentence
    assert "Name the folder that holds them: 'pictures'." in sentence
    assert "Name the folder that holds the pictures: 'pictures'." in refused(capsys, command, "pictures/*.png")


def test_names_of_known_data_sets_stay_names():
    assert [absolute_source(name) for name in ("digits", "fashion-mnist")] == ["digits", "fashion-mnist"]
    assert absolute_source("./digits") == str(Path.cwd() / "digits")


@pytest.mark.parametrize("out", [".", "../pictures", "{whole}"])
def test_a_run_is_not_written_among_its_pictures(out, pictures, capsys, monkeypatch):
    monkeypatch.chdir(pictures)
    before = sorted(Path().iterdir())
    sentence = refused(capsys, "train", ".", "--out", out.format(whole=Path.cwd()), "--steps", 1, *TINY)
    assert "The run would be written among the pictures" in sentence
    assert sorted(Path().iterdir()) == before
    ok("train", ".", "--out", "run", "--steps", 1, "--size", 4, *TINY)
    ok("train", ".", "--out", "run", "--steps", 2, "--resume")


def test_info_takes_a_folder_with_the_config_of_another_program_for_pictures(pictures, capsys):
    (pictures / "config.json").write_text('{"model_type": "vit"}')
    ok("info", "pictures", "--no-measure")
    assert "Findings" in capsys.readouterr().out
