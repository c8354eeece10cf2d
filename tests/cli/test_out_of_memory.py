"""Out of memory in commands: what is drawn, edited and evaluated is the same, in smaller pieces, told once."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence
from torch import nn

from helpers.command_line import ok, refused
from helpers.scarce_memory import ScarceMemory
from unnoise.evaluation import dataset_likelihood
from unnoise.networks.unet import UNet
from unnoise.runs.checkpoint import Run

pytestmark = [
    pytest.mark.filterwarnings("always:The memory of:UserWarning"),
    pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning"),
]

TOLD = re.compile(r"unnoise: The memory of cpu is too small for (\d+) pictures at once: from .* takes (\d+) at")


@pytest.fixture(autouse=True)
def _learned(trained):
    """The head of the run's average, which starts at zero, draws something."""
    run = Run.open(trained)
    assert float(run.load().generate(1).std()) > 0


@pytest.fixture
def extractor(tmp_path) -> str:
    """A file with a network of a few random filters, which is quick."""
    layers = nn.Conv2d(3, 6, 32, stride=32), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    torch.jit.trace(nn.Sequential(*layers).eval(), torch.zeros(1, 3, 224, 224)).save(str(tmp_path / "tiny.pt"))
    return str(tmp_path / "tiny.pt")


def told(capsys) -> list[tuple[int, int]]:
    """(pictures wanted, pictures that fit) of each warning."""
    return [(int(wanted), int(fit)) for wanted, fit in TOLD.findall(capsys.readouterr().err)]


def array(path: str) -> np.ndarray:
    with np.load(path) as archive:
        return archive["images"].astype(int)


def drawn(path: str) -> np.ndarray:
    """The pictures in a file, in whole numbers."""
    if path.endswith(".npz"):
        return array(path)
    with Image.open(path) as picture:
        return np.stack([np.asarray(frame.convert("RGB"), int) for frame in ImageSequence.Iterator(picture)])


DRAWING = {
    "a sheet": ("generate", ("--num-images", 9, "--eta", 1), "x.png"),
    "an array": ("generate", ("--num-images", 9), "x.npz"),
    "an animation": ("generate", ("--num-images", 5, "--num-steps", 4), "x.gif"),
    "redrawn pictures": ("generate", ("--from-held-out", 2, "--num-images", 3), "x.npz"),
    "morphed seeds": ("morph", ("--seeds", 1, 2, "--frames", 6), "x.gif"),
    "morphed pictures": ("morph", ("--held-out", 2, "--frames", 6, "--num-steps", 4), "x.gif"),
}
EDITING = {
    "varied": ("vary", ("--num-variations", 2, "--num-steps", 4)),
    "inverted": ("invert", ("--num-steps", 4)),
    "inpainted": ("inpaint", ("--repeats", 1)),
    "outpainted": ("outpaint", ("--repeats", 1, "--size", "8x20")),
    "restored": ("restore", ("--task", "deblur")),
}


@pytest.mark.parametrize(("command", "options", "out"), DRAWING.values(), ids=DRAWING)
def test_what_is_drawn_is_the_same_in_pieces(trained, monkeypatch, capsys, command, options, out):
    ok(command, trained, *options, "--out", out)
    wanted = drawn(out)
    assert told(capsys) == []
    scarce = ScarceMemory(monkeypatch, sampling=1)
    ok(command, trained, *options, "--out", out)
    ((_, fit),) = told(capsys)
    assert fit == 1
    assert scarce.failed
    assert drawn(out).shape == wanted.shape
    assert abs(drawn(out) - wanted).max() <= 1


@pytest.mark.parametrize(("command", "options"), EDITING.values(), ids=EDITING)
def test_what_is_edited_is_the_same_in_pieces(trained, monkeypatch, capsys, command, options):
    options = (*options, "--held-out", 4)
    ok(command, trained, *options, "--save", "x.npz")
    wanted = array("x.npz")
    capsys.readouterr()
    scarce = ScarceMemory(monkeypatch, sampling=2, differentiating=2)
    ok(command, trained, *options, "--save", "x.npz")
    ((_, fit),) = told(capsys)
    assert fit in {1, 2}
    assert scarce.failed
    assert abs(array("x.npz") - wanted).max() <= 1


def test_a_batch_size_is_the_most_that_is_drawn_at_once(trained, monkeypatch):
    calls = ScarceMemory(monkeypatch).calls[False]
    for options, sizes in (
        (("--num-images", 7, "--batch-size", 3), {3, 1}),
        (("--num-images", 70), {64, 6}),
        (("--num-images", 70, "--batch-size", 100), {70}),
        (("--num-images", 3, "--from-held-out", 3, "--batch-size", 4), {4, 1}),
    ):
        calls.clear()
        ok("generate", trained, *options, "--num-steps", 2, "--out", "x.npz")
        assert set(calls) == sizes


@pytest.mark.parametrize("number", [0, -3])
def test_a_batch_has_a_picture(trained, capsys, number):
    sentence = refused(capsys, "generate", trained, "--batch-size", number, "--out", "x.png")
    assert sentence == f"unnoise: The batch size is at least 1, but got {number}."
    assert not Path("x.png").exists()


def test_one_picture_that_does_not_fit_ends_a_command_in_a_sentence(trained, monkeypatch, capsys):
    ScarceMemory(monkeypatch, sampling=0, differentiating=0)
    for command in (("generate",), ("restore", "--task", "deblur", "--held-out", 2)):
        sentence = refused(capsys, command[0], trained, *command[1:], "--out", "x.png")
        assert sentence.startswith("unnoise: Not even one picture fits into the free memory of cpu.")
        assert not Path("x.png").exists()


def test_an_evaluation_goes_on_in_pieces_with_the_same_scores(trained, extractor, monkeypatch, capsys):
    options = ("--num-samples", 24, "--num-images", 6, "--num-terms", 2, "--extractor", extractor)

    def scores() -> dict[str, float]:
        ok("evaluate", trained, *options)
        found = json.loads((trained / "evaluation.json").read_text())
        bits = {"bits": found["bits_per_dim"]["total"]["mean"]}
        return {score["name"]: score["value"] for score in found["quality"]["scores"]} | bits

    wanted = scores()
    capsys.readouterr()
    scarce = ScarceMemory(monkeypatch, sampling=5)
    assert scores() == pytest.approx(wanted, rel=1e-3, abs=1e-5)
    assert told(capsys) == [(24, 3)]
    assert scarce.failed == [24, 12, 6]


@pytest.mark.parametrize("kind", ["--bits-per-dim", "--ode"])
def test_a_likelihood_is_the_same_in_pieces(trained, monkeypatch, capsys, kind):
    options = (kind, "--num-images", 3, *(("--num-steps", 8) if kind == "--bits-per-dim" else ()))
    monkeypatch.setattr(dataset_likelihood, "FLOW_STEPS", 4)

    def bits() -> float:
        ok("evaluate", trained, *options)
        found = json.loads((trained / "evaluation.json").read_text())
        name, part = ("bits_per_dim", "total") if kind == "--bits-per-dim" else ("ode_bits_per_dim", "flow")
        return found[name][part]["mean"]

    wanted = bits()
    capsys.readouterr()
    ScarceMemory(monkeypatch, sampling=1, differentiating=1)
    assert bits() == pytest.approx(wanted, rel=1e-5)
    assert told(capsys) == [(3, 1)]


def test_memory_that_runs_out_once_in_the_midst_costs_nothing(trained, monkeypatch, capsys):
    """At each call of the network in turn: the pictures are those of an undisturbed command."""
    options = ("generate", trained, "--num-images", 4, "--num-steps", 3, "--eta", 1, "--out", "x.npz")
    ok(*options)
    wanted = array("x.npz")
    forward, calls = UNet.forward, []
    for failing in range(1, 4):
        calls.clear()

        def once(network, *given, failing=failing, **more):
            calls.append(len(given[0]))
            if len(calls) == failing:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return forward(network, *given, **more)

        with monkeypatch.context() as patches:
            patches.setattr(UNet, "forward", once)
            ok(*options)
        assert told(capsys) == [(4, 2)]
        assert calls == [4] * failing + [2] * 2 * (4 - failing)
        assert abs(array("x.npz") - wanted).max() <= 1
