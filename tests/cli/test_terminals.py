"""Output of every command: in any encoding and width, into a closed pipe, and without docstrings."""

import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from helpers import pipelines
from helpers.data_files import save_many
from helpers.fake_extractors import random_filters
from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.cli import COMMANDS
from unnoise.cli import run as command_line
from unnoise.export.onnx import OnnxModel
from unnoise.export.onnx_denoise import Difference
from unnoise.trainer.loop import train

ENCODINGS = ("ascii", "latin-1", "cp437", "cp1252", "utf-8")
NAME = "Ωmega – ±5 日本 é"
"""No terminal encoding but UTF-8 holds all of it."""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A small trained run with stored averages."""
    run = start(tmp_path_factory.mktemp("runs") / NAME, 3)
    ema = replace(run.config.recipe.ema, profiles=(0.05, 0.1))
    run = run.with_config(replace(run.config, recipe=replace(run.config.recipe, ema=ema)))
    last(train(run, digits()))
    return run.path


def translated(_run, *, progress, **_):
    """In place of the network as ONNX, which takes ten seconds and tells no more than this."""
    progress(0.0, "translating")
    progress(1.0, "comparing pictures")
    return OnnxModel(b"", {}, Difference(0.0, 0.0))


def arguments_of(command, run):
    """Arguments with which each command succeeds, quickly, and prints names that few encodings hold."""
    held_out, steps = ("--held-out", 1), ("--num-steps", 2)
    given = {
        "app": ("--workspace", NAME, "--port", 0, "--host", "0.0.0.0", "--no-browser"),  # noqa: S104
        "demo": ("--minutes", 0.01, "--out", "demo"),
        "train": (NAME, "--out", f"{NAME}/run", "--steps", 1, "--size", 8, "--batch-size", 4, "--held-out", 1),
        "generate": (run, "--num-images", 1, *steps, "--out", f"{NAME}.png"),
        "morph": (run, "--seeds", 1, 2, "--frames", 2, *steps, "--out", f"{NAME}.gif"),
        "evaluate": (run, "--num-samples", 24, "--num-images", 3, "--num-terms", 2, "--extractor", "tiny.pt"),
        "solve": (run, "--calls", 2, "--samplers", "ddim", "--spacings", "uniform", "--num-samples", 8),
        "report": (run,),
        "compare": (run, run, "--out", f"{NAME}.html"),
        "distill": (run, "--steps", 1, "--out", f"{NAME}/fast"),
        "ema": (run, "--sigma-rel", 0.07, "--out", NAME),
        "info": (NAME, "--no-measure"),
        "presets": (),
        "invert": (run, *held_out, *steps, "--out", f"{NAME}.png"),
        "vary": (run, *held_out, *steps, "--out", f"{NAME}.png"),
        "inpaint": (run, *held_out, *steps, "--repeats", 1, "--out", f"{NAME}.png"),
        "outpaint": (run, *held_out, *steps, "--repeats", 1, "--size", "10x10", "--out", f"{NAME}.png"),
        "restore": (run, *held_out, *steps, "--task", "upscale", "--factor", 2, "--out", f"{NAME}.png"),
        "export": (run, "--to", "onnx", "--out", f"{NAME}.onnx"),
        "import": ("pipeline", "--out", NAME),
        "push": (run, "me/digits", "--dry-run", "--out", NAME),
    }
    if command == "evaluate":
        random_filters(Path("tiny.pt"))
    if command == "import":
        pipelines.saved(Path("pipeline"))
    if command in {"train", "info"}:
        save_many(Path(NAME), {f"{place} {NAME}.png": (place * 20, 0, 0) for place in range(8)})
        (Path(NAME) / f"broken {NAME}.png").write_bytes(b"no picture")
    return [command, *map(str, given[command])]


def printed(encoding, patches, arguments):
    """Exit code, standard output and standard error in a terminal of this encoding, strict as Python's are."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors="strict") for _ in range(2)]
    with patches.context() as patched:
        patched.setattr(sys, "stdout", streams[0])
        patched.setattr(sys, "stderr", streams[1])
        code = command_line(arguments)
    for stream in streams:
        stream.flush()
    return code, *(stream.buffer.getvalue().decode(encoding) for stream in streams)


@pytest.mark.filterwarnings("ignore:The stored averages cannot be combined", "ignore::DeprecationWarning")
@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_works_in_an_ascii_terminal(command, run_folder, monkeypatch):
    monkeypatch.setattr("uvicorn.Server.run", lambda *_, **__: None)  # the app would serve until Ctrl-C
    monkeypatch.setattr("unnoise.export.onnx.onnx_model", translated)
    code, out, err = printed("ascii", monkeypatch, arguments_of(command, run_folder))
    assert code == 0, err
    assert out + err


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_results_and_refusals_are_printed_in_every_encoding(encoding, run_folder, monkeypatch):
    code, out, err = printed(encoding, monkeypatch, ["info", str(run_folder)])
    assert (code, err) == (0, "")
    assert (NAME in out) == (encoding == "utf-8")
    assert "mega" in out
    code, out, err = printed(encoding, monkeypatch, ["train", f"{NAME}–±×σ→…"])
    assert (code, out) == (2, "")
    assert "there is no such file or folder" in err
    if encoding == "ascii":
        assert "\\u03a9mega - +-5 \\u65e5\\u672c \\xe9-+-xsigma->..." in err


def shell(line, **environment):
    """Runs a line of the shell in which $unnoise is the command line."""
    known = {**os.environ, "unnoise": f"{sys.executable} -m unnoise", **environment}
    return subprocess.run(["bash", "-o", "pipefail", "-c", line], env=known, text=True, capture_output=True)


def test_an_unusable_width_is_not_believed(run_folder, monkeypatch):
    told = []
    for columns in ("80", "0", "1", "-5", "wide", ""):
        monkeypatch.setenv("COLUMNS", columns)
        told.append(printed("utf-8", monkeypatch, ["info", str(run_folder)])[1])
    assert "held out" in told[0]
    assert told == told[:1] * len(told)


def test_help_is_whole_without_docstrings():
    for command in ("train", "generate"):
        plain = shell(f"$unnoise {command} --help")
        assert plain.stdout == shell(f"$unnoise {command} --help", PYTHONOPTIMIZE="2").stdout
        assert plain.returncode == 0
