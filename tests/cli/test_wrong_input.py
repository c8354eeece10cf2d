"""Wrong input is refused with exit code 2 and one message that says what to do, and writes nothing."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from helpers.command_line import refused
from unnoise.cli import run
from unnoise.diffusion.denoiser import Denoiser


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
def test_a_folder_without_a_readable_picture_is_refused(tmp_path, capsys, files, sentence):
    assert sentence in refused(capsys, "train", folder_of(tmp_path, files), "--out", "r", "--steps", 1)
    assert not Path("r").exists()


def test_a_decompression_bomb_alone_is_refused(tmp_path, capsys):
    folder = tmp_path / "bombs"
    folder.mkdir()
    Image.new("1", (14_000, 14_000)).save(folder / "bomb.png")  # 24 kB that unpack to 196 million pixels
    assert (folder / "bomb.png").stat().st_size < 100_000
    assert "bomb.png" in refused(capsys, "train", folder, "--out", "r", "--steps", 1)
    assert not Path("r").exists()


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
        ("newer", "Upgrade unnoise"),
    ],
)
def test_generate_and_morph_refuse_a_damaged_run(trained, capsys, command, how, sentence):
    path = break_run(trained, how)
    assert sentence in refused(capsys, command, path, "--out", "x.gif")
    assert not Path("x.gif").exists()


@pytest.mark.parametrize(("how", "sentence"), [("unknown key", "key colour"), ("newer", "Upgrade unnoise")])
def test_info_and_resume_refuse_an_unreadable_config(trained, capsys, how, sentence):
    path = break_run(trained, how)
    assert sentence in refused(capsys, "info", path)
    assert sentence in refused(capsys, "train", "digits", "--out", path, "--resume")


def test_resume_refuses_a_truncated_state(trained, capsys):
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
        (["--device", "abacus"], "device 'abacus' cannot be used"),
        (["--background", "sky"], "A colour is a name or #rrggbb"),
        (["--fit", "squash"], "squash"),
        (["--set", "objective.loss"], "A change looks like objective.loss=l1"),
        (["--set", "network.surprise=1"], "unknown key surprise"),
        (["--set", "nowhere.loss=l1"], "A change looks like"),
        (["--set", "objective.loss=l3"], "loss"),
        (["--set", "batch_size=many"], "expected int, got 'many'"),
        (["--set", "sampling=ddim"], "sampling is a group of settings, but got 'ddim'"),
        (["--set", "ema=0.9"], "such as ema.decay=VALUE"),
        (["--preset", "annotated-ddpm", "--labels", "auto"], "annotated-ddpm knows no classes"),
        (["--surprise", "1"], "--surprise"),
    ],
)
def test_wrong_options_of_train_are_refused_before_a_run_is_made(capsys, arguments, sentence):
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
        (["generate", "RUN", "--guidance-interval", "5", "1"], "from a lower to a higher"),
        (["generate", "RUN", "--sampler", "ancestral", "--variance", "learned"], "predicts no variance"),
        (["generate", "RUN", "--sampler", "euler_a"], "but got 'euler_a'"),
        (["generate", "RUN", "--sampler", "euler_a"], "dpmpp_3m_sde"),
        (["generate", "RUN", "--spacing", "cosine"], "log_snr"),
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
        (["train"], "PICTURES is missing"),
        (["paint"], "demo, app, train, generate, morph, evaluate, solve, report, compare, distill, ema, info"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_written(trained, capsys, arguments, sentence):
    given = [str(trained) if argument == "RUN" else argument for argument in arguments]
    assert sentence in refused(capsys, *given)
    assert {path.name for path in Path().iterdir()} <= {"cache"}


@pytest.mark.parametrize("command", ["train", "generate", "morph"])
def test_an_out_path_that_cannot_be_written_is_refused(trained, capsys, command):
    Path("file").write_text("I am a file")
    target = {"train": "file/run", "generate": "file/x.png", "morph": "file/x.gif"}[command]
    source = "digits" if command == "train" else trained
    assert "choose another path" in refused(capsys, command, source, "--out", target)
    assert Path("file").read_text() == "I am a file"


def test_an_error_is_one_line_without_traceback():
    command = [sys.executable, "-m", "unnoise", "generate", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("unnoise: There is no run at nowhere")
    assert len(done.stderr.splitlines()) == 1


def test_out_of_memory_is_reported_with_a_remedy(trained, capsys, monkeypatch):
    def full(*_arguments, **_options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(Denoiser, "generate", full)
    assert "Out of memory" in refused(capsys, "generate", trained, "--out", "x.png")


def test_an_unexpected_error_keeps_its_traceback(trained, monkeypatch):
    def bug(*_arguments, **_options):
        raise RuntimeError("a bug")

    monkeypatch.setattr(Denoiser, "generate", bug)
    with pytest.raises(RuntimeError, match="a bug"):
        run(["generate", str(trained), "--out", "x.png"])
