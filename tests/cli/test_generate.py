"""`unnoise generate`, `morph`, `demo` and `info` on a run: what they write, and options without effect."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from helpers.command_line import ok, refused
from helpers.data_files import random_photos


def test_generate_writes_a_sheet_an_animation_an_array_or_a_folder(trained, capsys):
    for path in ("grid.png", "chain.gif", "array.npz", "folder"):
        ok("generate", trained, "--num-images", 5, "--num-steps", 4, "--seed", 7, "--out", path)
        assert f"generated: {path}" in capsys.readouterr().out
    with np.load("array.npz") as archive:
        images = archive["images"]
    assert images.shape == (5, 8, 8, 1)
    assert images.dtype == np.uint8
    assert sorted(path.name for path in Path("folder").iterdir()) == [
        f"{seed:06d}.png" for seed in range(7, 12)
    ]
    for number, seed in enumerate(range(7, 12)):
        assert (np.asarray(Image.open(f"folder/{seed:06d}.png")) == images[number, ..., 0]).all()
    with Image.open("chain.gif") as chain:
        assert chain.n_frames == 5  # the noise, three steps on the way, and the picture
    with Image.open("grid.png") as grid:
        assert grid.width >= 5 * 8


def test_a_seed_gives_the_same_picture_whatever_the_number_of_pictures(trained):
    ok("generate", trained, "--num-images", 4, "--seed", 3, "--out", "many.npz")
    ok("generate", trained, "--num-images", 1, "--seed", 5, "--out", "one.npz")
    many, one = (np.load(name)["images"].astype(int) for name in ("many.npz", "one.npz"))
    assert abs(many[2] - one[0]).max() <= 1


def test_a_seed_gives_the_same_picture_with_added_noise(trained):
    ok("generate", trained, "--num-images", 3, "--seed", 4, "--eta", 1, "--out", "many.npz")
    ok("generate", trained, "--num-images", 1, "--seed", 6, "--eta", 1, "--out", "one.npz")
    ok("generate", trained, "--num-images", 1, "--seed", 6, "--out", "calm.npz")
    many, one, calm = (np.load(f"{name}.npz")["images"].astype(int) for name in ("many", "one", "calm"))
    assert abs(many[2] - one[0]).max() <= 1
    assert abs(calm[0] - one[0]).max() > 1
    ok("generate", trained, "--num-images", 2, "--eta", 1, "--out", "chain.gif")


def test_an_existing_folder_with_a_dot_in_its_name_is_a_folder(trained):
    Path("set.v2").mkdir()
    ok("generate", trained, "--num-images", 2, "--num-steps", 1, "--out", "set.v2")
    assert len(list(Path("set.v2").iterdir())) == 2


def test_generate_writes_into_the_run_by_default(trained, capsys):
    ok("generate", trained, "--num-images", 1, "--num-steps", 1)
    assert (trained / "generated.png").is_file()


def test_morph_meets_each_seed_at_its_share_of_the_frames(trained, capsys):
    ok("morph", trained, "--seeds", 1, 2, 3, "--frames", 12, "--num-steps", 2, "--out", "m.gif")
    with Image.open("m.gif") as animation:
        frames = [np.asarray(frame.convert("L"), dtype=int) for frame in ImageSequence.Iterator(animation)]
    assert len(frames) == 12
    ok("generate", trained, "--num-images", 3, "--seed", 1, "--num-steps", 2, "--out", "three.npz")
    with np.load("three.npz") as archive:
        pictures = archive["images"][..., 0].astype(int)
    gap = 4
    scale = (frames[0].shape[0] - 2 * gap) // 8
    for number in range(3):  # each seed is met after a third of the loop
        inner = frames[4 * number][gap:-gap, gap:-gap][scale // 2 :: scale, scale // 2 :: scale]
        assert abs(inner - pictures[number]).max() <= 1


def test_info_shows_the_steps_of_a_run(trained, tmp_path, capsys):
    ok("info", trained)
    shown = capsys.readouterr().out
    assert "3 steps, 48 images" in shown
    assert "held-out loss" in shown
    folder = random_photos(tmp_path / "photos")
    (folder / "broken.jpg").write_text("no picture")
    (folder / "notes.txt").write_text("hello")
    ok("info", folder, "--no-measure")
    shown = capsys.readouterr().out
    assert "--size 14x20 --channels 3" in shown
    assert "RGBA" in shown
    assert "broken.jpg" in shown
    ok("info", "digits", "--no-measure")
    assert "1,797" in capsys.readouterr().out


def test_labels_choose_the_classes_that_are_drawn(capsys):
    small = ["network.widths=[8,16]", "network.block_depth=1", "sampling.num_steps=2"]
    small += ["optimizer.learning_rate=0.02", "ema.decay=0"]  # so that a few steps tell the classes apart
    ok("train", "digits", "--labels", "auto", "--steps", 20, "--batch-size", 8, "--out", "r", "--set", *small)
    config = json.loads(Path("r/config.json").read_text())
    assert config["recipe"]["network"]["num_classes"] == 10
    drawn = {}
    for name, labels in {"all": [], "seven": ["--labels", "7"], "two": ["--labels", "7", "1"]}.items():
        ok("generate", "r", "--num-images", 8, "--seed", 3, "--out", f"{name}.npz", *labels, "--guidance", 2)
        drawn[name] = np.load(f"{name}.npz")["images"]
    same = [np.array_equal(*pair) for pair in zip(drawn["all"], drawn["seven"], strict=True)]
    assert same[4]  # seeds 3, 4, ...: the fifth is a 7 in both
    assert not all(same)
    assert np.array_equal(drawn["two"][1], drawn["seven"][1])  # seed 4 takes the first of the two
    ok("morph", "r", "--label", "3", "--seeds", 1, 2, "--frames", 6, "--out", "m.gif")
    assert "seven" in refused(capsys, "generate", "r", "--labels", "seven")


def test_samplers_spacings_and_clipping_can_be_chosen(trained):
    for number, options in enumerate(
        (
            ["--sampler", "ancestral"],
            ["--sampler", "ddim", "--clip", "static"],
            ["--clip", "dynamic"],
            ["--sampler", "dpmpp_3m_sde", "--spacing", "log_snr"],
            ["--sampler", "heun", "--spacing", "karras", "--num-steps", "2"],
        )
    ):
        ok("generate", trained, "--num-images", 2, "--out", f"{number}.npz", *options)
        assert np.load(f"{number}.npz")["images"].shape == (2, 8, 8, 1)


@pytest.mark.slow
def test_demo_writes_its_pictures_and_replaces_the_last_demo(capsys):
    for _ in range(2):  # the second replaces the first
        ok("demo", "--minutes", 0.02, "--out", "d")
        shown = capsys.readouterr().out
        paths = dict(line.split(": ") for line in shown.splitlines())
        assert {"contact sheet", "reverse process", "reverse process, moving", "morph"} <= paths.keys()
        assert all(Path(path).exists() for path in paths.values())


def test_demo_does_not_replace_a_run_that_no_demo_made(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    ok("train", folder, "--out", "d/run", "--steps", 1, "--size", 8, "--batch-size", 4)
    assert "that no demo made" in refused(capsys, "demo", "--out", "d", "--minutes", 0.01)
    assert Path("d/run/config.json").exists()
