"""The command line does what it says, and answers every slip in one sentence with exit code 2."""

import importlib
import inspect
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from helpers.command_line import ok, refused
from helpers.data_files import random_photos
from helpers.oracles import last
from helpers.runs import digits, start
from unnoise import __version__
from unnoise.cli import COMMANDS, HELP, run
from unnoise.cli.arguments import parse_colour, parse_size
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.runs import presets
from unnoise.training.loop import train
from unnoise.utils.errors import UnnoiseError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 3)
    last(train(made, digits()))
    return made.path


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _drawn_in_few_steps(monkeypatch):
    quick = presets.nano
    sampling = Sampling(num_steps=3, eta=1.0)
    monkeypatch.setitem(presets.PRESETS, "nano", lambda *shape: replace(quick(*shape), sampling=sampling))


def python(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "unnoise", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


# --- help ----------------------------------------------------------------------------------------------------


def test_help_imports_nothing_heavy(capsys):
    code = (
        "import sys; from unnoise.cli import run; run(['--help']); run(['--version'])\n"
        "heavy = {'torch', 'numpy', 'PIL', 'tyro', 'rich', 'matplotlib', 'accelerate'} & sys.modules.keys()\n"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert f"unnoise {__version__}" in done.stdout
    ok("--help")
    assert capsys.readouterr().out == HELP
    ok()
    assert capsys.readouterr().out == HELP
    assert all(f"unnoise {command}" in HELP for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_every_option(capsys, command):
    with pytest.raises(SystemExit) as leaving:
        run([command, "--help"])
    assert leaving.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: unnoise {command}" in shown
    assert "(default: None)" not in shown
    function = getattr(importlib.import_module(f"unnoise.cli.commands.{command}"), command)
    explained = inspect.getdoc(function)
    for name in inspect.signature(function).parameters:
        assert re.search(rf"^\s*{name}: \w", explained, re.MULTILINE), name


def test_the_fixed_options_exist(capsys):
    with pytest.raises(SystemExit):
        run(["train", "--help"])
    shown = capsys.readouterr().out
    fixed = "out minutes steps images size channels batch-size preset seed device resume"
    assert all(f"--{name}" in shown for name in fixed.split())


# --- train ---------------------------------------------------------------------------------------------------


def test_train_a_folder_of_colour_with_alpha_at_an_odd_shape(tmp_path, capsys):
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


def test_train_keeps_alpha_on_request_and_reads_a_zip(tmp_path):
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


def test_resume_on_the_command_line_is_the_uninterrupted_run(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    common = ("--size", 8, "--batch-size", 4)
    ok("train", folder, "--out", "whole", "--steps", 4, *common)
    ok("train", folder, "--out", "parts", "--steps", 2, *common)
    sentence = refused(capsys, "train", folder, "--out", "parts", "--steps", 4, *common)
    assert "continue it with --resume, or name another folder with --out" in sentence
    # a budget of other length anneals otherwise: give both runs the same for the same rates
    ok("train", folder, "--out", "parts", "--steps", 4, *common, "--resume")
    whole, parts = (json.loads(Path(name, "config.json").read_text()) for name in ("whole", "parts"))
    assert whole == parts
    assert len(Path("parts/history.csv").read_text().splitlines()) > 2


def test_resume_refuses_other_pictures_and_other_choices(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    ok("train", folder, "--out", "r", "--steps", 1, "--size", 8, "--batch-size", 4)
    again = ("train", folder, "--out", "r", "--steps", 2, "--resume")
    assert "started with size (8, 8), and goes on with it" in refused(capsys, *again, "--size", 16)
    assert "started with batch size 4" in refused(capsys, *again, "--batch-size", 8)
    assert "started with preset nano" in refused(capsys, *again, "--preset", "large")
    (folder / "0.PNG").unlink()
    assert "started with other pictures" in refused(capsys, *again)
    assert "There is no run at" in refused(capsys, "train", folder, "--out", "other", "--resume")


def test_dry_run_prints_the_config_and_writes_nothing(capsys):
    ok("train", "digits", "--out", "r", "--dry-run", "--preset", "keras-ddim")
    assert json.loads(capsys.readouterr().out)["recipe"]["schedule"]["kind"] == "OffsetCosine"
    assert not Path("r").exists()


@pytest.mark.slow
def test_an_interrupt_saves_and_says_how_to_go_on():
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
    while not list(Path("r/log").glob("*")):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.1)  # until the run has begun; the assertions below don't depend on how long it ran
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert "with --resume goes on" in err
    assert "run: r" in out
    assert len(list(Path("r/training").glob("*.safetensors"))) == 1


# --- generate and morph --------------------------------------------------------------------------------------


def test_generate_each_kind_of_output(trained, capsys):
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


def test_a_seed_is_the_same_picture_in_any_request(trained):
    ok("generate", trained, "--num-images", 4, "--seed", 3, "--out", "many.npz")
    ok("generate", trained, "--num-images", 1, "--seed", 5, "--out", "one.npz")
    many, one = (np.load(name)["images"].astype(int) for name in ("many.npz", "one.npz"))
    assert abs(many[2] - one[0]).max() <= 1


def test_fresh_noise_on_the_way_keeps_the_seeds(trained):
    ok("generate", trained, "--num-images", 3, "--seed", 4, "--eta", 1, "--out", "many.npz")
    ok("generate", trained, "--num-images", 1, "--seed", 6, "--eta", 1, "--out", "one.npz")
    ok("generate", trained, "--num-images", 1, "--seed", 6, "--out", "calm.npz")
    many, one, calm = (np.load(f"{name}.npz")["images"].astype(int) for name in ("many", "one", "calm"))
    assert abs(many[2] - one[0]).max() <= 1
    assert abs(calm[0] - one[0]).max() > 1
    ok("generate", trained, "--num-images", 2, "--eta", 1, "--out", "chain.gif")


def test_a_folder_may_have_a_dot_in_its_name(trained):
    Path("set.v2").mkdir()
    ok("generate", trained, "--num-images", 2, "--num-steps", 1, "--out", "set.v2")
    assert len(list(Path("set.v2").iterdir())) == 2


def test_a_run_that_is_done_says_so(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    common = ("--size", 8, "--batch-size", 4, "--steps", 1, "--out", "r")
    ok("train", folder, *common)
    ok("train", folder, *common, "--resume")
    assert "spent already: give it a larger one" in capsys.readouterr().err


def test_generate_to_its_default_place(trained, capsys):
    ok("generate", trained, "--num-images", 1, "--num-steps", 1)
    assert (trained / "generated.png").is_file()


def test_morph_has_as_many_frames_as_asked_for(trained, capsys):
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


# --- info and demo -------------------------------------------------------------------------------------------


def test_info_of_a_run_and_of_a_source(trained, tmp_path, capsys):
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


def test_changes_of_the_recipe(capsys):
    changes = ["objective.loss=huber", "network.block=convnext", "optimizer.learning_rate=1e-3"]
    ok("train", "digits", "--dry-run", "--set", *changes)
    recipe = json.loads(capsys.readouterr().out)["recipe"]
    found = recipe["objective"]["loss"], recipe["network"]["block"], recipe["optimizer"]["learning_rate"]
    assert found == ("huber", "convnext", 1e-3)


def test_classes_from_training_to_drawing(capsys):
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
    assert "knows no class 'seven': choose from 0, 1" in refused(capsys, "generate", "r", "--labels", "seven")


def test_each_sampler_draws(trained):
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


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--guidance", "2"], "Guidance has no effect here"),
        (["--guidance-interval", "0.3", "5"], "Guidance has no effect here"),
        (["--sampler", "ancestral", "--eta", "0.5"], "--eta has no effect here"),
        (["--sampler", "heun", "--eta", "0.5"], "--eta has no effect here"),
        (["--variance", "large"], "--variance has no effect here"),
        (["--spacing", "leading"], "--spacing is uniform here"),
    ],
)
def test_options_without_effect_are_told_of(trained, capsys, options, sentence):
    ok("generate", trained, "--num-images", 1, "--out", "one.npz", *options)
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_demo_prints_its_pictures(capsys):
    for _ in range(2):  # the second replaces the first
        ok("demo", "--minutes", 0.02, "--out", "d")
        shown = capsys.readouterr().out
        paths = dict(line.split(": ") for line in shown.splitlines())
        assert {"contact sheet", "reverse process", "reverse process, moving", "morph"} <= paths.keys()
        assert all(Path(path).exists() for path in paths.values())


def test_demo_does_not_replace_somebodys_run(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    ok("train", folder, "--out", "d/run", "--steps", 1, "--size", 8, "--batch-size", 4)
    assert "that no demo made" in refused(capsys, "demo", "--out", "d", "--minutes", 0.01)
    assert Path("d/run/config.json").exists()


# --- bad input -----------------------------------------------------------------------------------------------


def folder_of(tmp_path: Path, files: dict[str, bytes]) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "pictures"),
        ({"empty.png": b""}, "empty.png"),
        ({"letter.png": b"Dear Sir or Madam"}, "letter.png"),
        ({"notes.txt": b"no image suffix"}, "pictures"),
    ],
    ids=["empty folder", "zero bytes", "text renamed", "no images"],
)
def test_folders_without_a_picture(tmp_path, capsys, files, sentence):
    assert sentence in refused(capsys, "train", folder_of(tmp_path, files), "--out", "r", "--steps", 1)
    assert not Path("r").exists()


def test_one_corrupt_file_among_good_ones_is_named_and_skipped(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    good = (folder / "0.PNG").read_bytes()
    (folder / "torn.png").write_bytes(good[: len(good) // 2])
    ok("train", folder, "--out", "r", "--steps", 1, "--size", 8, "--batch-size", 4)
    err = capsys.readouterr().err
    assert "Skipped torn.png" in err
    assert Path("r/skipped.txt").read_text().startswith("torn.png: ")
    assert "6 pictures" in err


def test_a_decompression_bomb_is_skipped(tmp_path, capsys, monkeypatch):
    folder = random_photos(tmp_path / "photos")
    Image.new("1", (600, 600)).save(folder / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    ok("train", folder, "--out", "r", "--steps", 1, "--size", 8, "--batch-size", 4)
    assert "Skipped bomb.png" in capsys.readouterr().err


def test_a_real_decompression_bomb_alone(tmp_path, capsys):
    folder = tmp_path / "bombs"
    folder.mkdir()
    Image.new("1", (14_000, 14_000)).save(folder / "bomb.png")  # 24 kB that unpack to 196 million pixels
    assert (folder / "bomb.png").stat().st_size < 100_000
    assert "bomb.png" in refused(capsys, "train", folder, "--out", "r", "--steps", 1)
    assert not Path("r").exists()


def test_a_run_inside_its_own_pictures_is_not_learned_from(tmp_path, capsys):
    folder = random_photos(tmp_path / "photos")
    arguments = ("train", folder, "--out", folder / "runs" / "mine", "--size", 8, "--batch-size", 4, "--steps")
    ok(*arguments, 1)
    ok(*arguments, 2, "--resume")
    assert "6 pictures" in capsys.readouterr().err


def test_a_picture_of_one_pixel_is_a_picture(tmp_path):
    folder = tmp_path / "dots"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (1, 1), (number, 99, 200)).save(folder / f"{number}.png")
    ok("train", folder, "--out", "r", "--steps", 1, "--batch-size", 2)
    assert json.loads(Path("r/config.json").read_text())["data"]["height"] == 1


def break_run(trained: Path, how: str) -> Path:
    path = Path("broken").absolute()
    shutil.copytree(trained, path)
    config = path / "config.json"
    if how == "truncated":
        weights = path / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-64])
    elif how == "unknown key":
        config.write_text(json.dumps({**json.loads(config.read_text()), "colour": "mauve"}))
    elif how == "newer":
        config.write_text(json.dumps({**json.loads(config.read_text()), "format": 99}))
    elif how == "missing":
        shutil.rmtree(path)
    return path


@pytest.mark.parametrize("command", ["generate", "morph"])
@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("missing", "There is no run at"),
        ("truncated", "is damaged"),
        ("unknown key", "unknown key colour"),
        ("newer", "upgrade unnoise"),
    ],
)
def test_bad_runs(trained, capsys, command, how, sentence):
    path = break_run(trained, how)
    assert sentence in refused(capsys, command, path, "--out", "x.gif")
    assert not Path("x.gif").exists()


@pytest.mark.parametrize(("how", "sentence"), [("unknown key", "key colour"), ("newer", "upgrade unnoise")])
def test_bad_runs_are_neither_told_of_nor_gone_on_with(trained, capsys, how, sentence):
    path = break_run(trained, how)
    assert sentence in refused(capsys, "info", path)
    assert sentence in refused(capsys, "train", "digits", "--out", path, "--resume")


def test_a_truncated_state_is_not_gone_on_with(trained, capsys):
    path = break_run(trained, "nothing")
    for state in (path / "training").glob("*.safetensors"):
        state.write_bytes(state.read_bytes()[:1000])
    assert "is damaged" in refused(capsys, "train", "digits", "--out", path, "--resume", "--steps", 9)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--size", "0"], "at least 1 pixel each way, but got '0'"),
        (["--size", "-3"], "written H or HxW"),
        (["--size", "10x"], "written H or HxW"),
        (["--size", "99999"], "99999"),
        (["--steps", "-5"], "more than 0 steps, but got -5"),
        (["--steps", "0"], "more than 0 steps, but got 0"),
        (["--minutes", "nan"], "more than 0 minutes, but got nan"),
        (["--steps", "3", "--minutes", "2"], "one budget, but got --minutes 2 and --steps 3"),
        (["--steps", "3", "--images", "2", "--minutes", "1"], "one budget"),
        (["--steps", "x"], "--steps"),
        (["--batch-size", "0"], "batch size is at least 1"),
        (["--channels", "7"], "7"),
        (["--seed", "-1"], "seed is a whole number from 0"),
        (["--held-out", "5000"], "Hold out from 0 to 1796"),
        (["--preset", "best"], "There is no preset 'best'"),
        (["--device", "abacus"], "device 'abacus' can't be used"),
        (["--background", "sky"], "A colour is a name or #rrggbb"),
        (["--fit", "squash"], "squash"),
        (["--set", "objective.loss"], "A change looks like objective.loss=l1"),
        (["--set", "network.surprise=1"], "unknown key surprise"),
        (["--set", "nowhere.loss=l1"], "A change looks like"),
        (["--set", "objective.loss=l3"], "loss"),
        (["--set", "batch_size=many"], "expected int, got 'many'"),
        (["--preset", "annotated-ddpm", "--labels", "auto"], "annotated-ddpm knows no classes"),
        (["--surprise", "1"], "--surprise"),
    ],
)
def test_bad_options_of_train(capsys, arguments, sentence):
    assert sentence in refused(capsys, "train", "digits", "--out", "r", *arguments)
    assert not Path("r").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["generate", "RUN", "--num-images", "0"], "At least 1 image"),
        (["generate", "RUN", "--num-steps", "0"], "at least 1 step"),
        (["generate", "RUN", "--eta", "1.5"], "eta goes from 0"),
        (["generate", "RUN", "--labels", "cat"], "This run knows no classes"),
        (["generate", "RUN", "--guidance", "-1"], "scale is at least 0"),
        (["generate", "RUN", "--guidance-rescale", "2"], "rescale is from 0 to 1"),
        (["generate", "RUN", "--guidance-interval", "5", "1"], "from a smaller to a larger"),
        (["generate", "RUN", "--sampler", "ancestral", "--variance", "learned"], "predicts no variance"),
        (["generate", "RUN", "--sampler", "euler_a"], "invalid choice 'euler_a'"),
        (["generate", "RUN", "--sampler", "euler_a"], "'dpmpp_3m_sde'"),
        (["generate", "RUN", "--spacing", "cosine"], "'log_snr'"),
        (["generate", "RUN", "--sampler", "heun", "--num-steps", "0"], "at least 1 step"),
        (["generate", "RUN", "--seed", "-1"], "seed is a whole number"),
        (["generate", "RUN", "--out", "x.jpg"], ".png, .gif, .mp4 or .npz"),
        (["morph", "RUN", "--seeds", "1"], "at least 2 seeds"),
        (["morph", "RUN", "--frames", "1"], "at least 4 frames"),
        (["morph", "RUN", "--num-steps", "0"], "at least 1 step"),
        (["morph", "RUN", "--out", "x.png"], ".gif or .mp4"),
        (["generate", "RUN", "--out", "x.tar.gz"], ".png, .gif, .mp4 or .npz"),
        (["info", "nowhere"], "nowhere"),
        (["train", "nowhere"], "nowhere"),
        (["train"], "SOURCE"),
        (["paint"], "demo, train, generate, morph, evaluate, solve, report, compare, ema, info"),
    ],
)
def test_other_bad_options(trained, capsys, arguments, sentence):
    given = [str(trained) if argument == "RUN" else argument for argument in arguments]
    assert sentence in refused(capsys, *given)
    assert {path.name for path in Path().iterdir()} <= {"cache"}


@pytest.mark.parametrize("command", ["train", "generate", "morph"])
def test_an_out_path_that_can_not_be_written(trained, capsys, command):
    Path("file").write_text("I am a file")
    target = {"train": "file/run", "generate": "file/x.png", "morph": "file/x.gif"}[command]
    source = "digits" if command == "train" else trained
    assert "choose another path" in refused(capsys, command, source, "--out", target)
    assert Path("file").read_text() == "I am a file"


def test_no_traceback_in_a_real_process():
    done = python("generate", "nowhere")
    assert done.returncode == 2
    assert done.stderr.startswith("unnoise: There is no run at nowhere")
    assert len(done.stderr.splitlines()) == 1


def test_out_of_memory_is_a_sentence(trained, capsys, monkeypatch):
    from unnoise.diffusion.diffusion import Diffusion

    def full(*_arguments, **_options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Diffusion, "generate", full)
    assert "not enough memory" in refused(capsys, "generate", trained, "--out", "x.png")


def test_bugs_of_ours_keep_their_traceback(trained, monkeypatch):
    from unnoise.diffusion.diffusion import Diffusion

    def bug(*_arguments, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Diffusion, "generate", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        run(["generate", str(trained), "--out", "x.png"])


# --- sizes ---------------------------------------------------------------------------------------------------


def test_sizes_and_colours():
    assert parse_size(None) is None
    assert parse_size("32") == (32, 32)
    assert parse_size("24x40") == parse_size(" 24 X 40 ") == (24, 40)
    assert parse_colour(None) is None
    assert parse_colour("white") == (255, 255, 255)
    assert parse_colour("#8899aa") == (0x88, 0x99, 0xAA)
    with pytest.raises(UnnoiseError, match="H or HxW"):
        parse_size("big")
