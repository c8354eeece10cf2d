"""Every option of every command either has an effect in a combination, or is refused in a sentence.

A new option has to be put into one of the two tables.
"""

import inspect
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.command_line import ok, refused
from helpers.runs import start
from unnoise.cli import COMMANDS, command_function
from unnoise.runs.checkpoint import Progress, Run
from unnoise.utils.tensor_files import read_tensors, write_tensors

ALWAYS = {
    "app": "workspace port host no_browser",
    "compare": "out seeds num_steps device",
    "demo": "out minutes seed device",
    "distill": "out pictures minutes steps images autoguidance resume device",
    "ema": "sigma_rel out",
    "evaluate": "best bits_per_dim ode num_images seed batch_size device",
    "generate": """num_images num_steps seed out labels autoguidance sampler clip best from_images
        from_held_out compile batch_size device""",
    "export": "to out",
    "import": "out size",
    "info": "",
    "inpaint": "mask held_out num_steps repeats label seed out save device",
    "invert": "held_out num_steps label out save device",
    "morph": "frames num_steps images held_out label out device",
    "outpaint": "size held_out num_steps overlap repeats label seed out save device",
    "push": "license dry_run",
    "presets": "size channels minutes device devices",
    "report": "out",
    "restore": "task spoil held_out num_steps num_solves noise label seed out save device",
    "solve": "restore",
    "train": """out minutes steps images size channels batch_size preset seed device init fit background flip
        held_out precision accumulate labels until_converged set dry_run noise_shift split_folders deterministic
        checkpoint_activations""",
    "vary": "held_out amount num_variations num_steps label seed out save device",
}
"""Options that have an effect in every combination that a command accepts."""

VALUES = {
    "autoguidance": [1.5],
    "background": ["red"],
    "batch_size": [8],
    "calls": [4, 8],
    "channels": [1],
    "clip": ["static"],
    "device": ["cpu"],
    "eta": [0.5],
    "extractor": ["lite0"],
    "factor": [2],
    "fit": ["pad"],
    "flip": [],
    "guidance": [2],
    "guidance_interval": [0.3, 5],
    "guidance_rescale": [0.7],
    "jump_length": [2],
    "keep": [],
    "devices": [2],
    "labels": ["auto"],
    "layout": ["NHWC"],
    "minutes": [3],
    "no_compile": [],
    "no_measure": [],
    "num_samples": [300],
    "num_steps": [2],
    "num_terms": [4],
    "out": ["x.png"],
    "polish": [0.2],
    "preset": ["nano"],
    "private": [],
    "profile": [],
    "compile": [],
    "range": [0, 9],
    "resume": [],
    "runtime": ["folder"],
    "sampler": ["heun"],
    "samplers": ["ddim"],
    "seed": [0],
    "seeds": [1, 2],
    "sigma": [2],
    "single_file": [],
    "size": [16],
    "spacing": ["leading"],
    "spacings": ["uniform"],
    "split": ["training"],
    "split_folders": [],
    "strength": [0.5],
    "strict_labels": [],
    "variance": ["large"],
    "weak": [6],
    "weights": ["w.pth"],
}
"""A good value of each option, given where it has no effect."""

SAMPLING = [
    ("eta", ["--sampler", "heun"], "with the sampler heun"),
    ("eta", ["--sampler", "ancestral"], "with the sampler ancestral"),
    ("variance", [], "with the sampler ddim"),
    ("spacing", [], "continuous"),
    ("guidance", [], "without --labels"),
    ("guidance", ["--autoguidance", 1.5], "without --labels"),
    ("guidance_rescale", [], "without --labels"),
    ("guidance_interval", [], "without --labels"),
    ("guidance_interval", ["--autoguidance", 1], "without --labels"),
    ("guidance_rescale", ["CLASSES"], "scale of guidance is 1"),
    ("guidance_interval", ["CLASSES", "--guidance", 1], "scale of guidance is 1"),
    ("weak", [], "without --autoguidance"),
    ("weak", ["--autoguidance", 1], "other than 1"),
]
"""Option, the others, and a part of the sentence: of what draws."""

OF_SAMPLES = """minutes num_samples split extractor weights eta sampler spacing variance clip polish guidance
    guidance_rescale guidance_interval autoguidance weak"""

OF_SEARCH = "minutes calls samplers spacings num_samples extractor seed keep device"
OF_PICTURES = """out minutes size channels batch_size preset device fit background range layout flip labels
    no_measure split_folders strict_labels devices"""
OF_TRAINING = "resume profile compile no_compile"

REFUSED = [
    *[("generate", ["RUN"], *row) for row in SAMPLING],
    *[("generate", ["RUN", "--from", "one.png"], *row) for row in SAMPLING],
    ("generate", ["RUN"], "strength", [], "without --from"),
    ("generate", ["RUN", "--from", "one.png"], "polish", [], "on pictures that are redrawn"),
    *[("evaluate", ["RUN", "--num-samples", 12], *row) for row in SAMPLING],
    *[("evaluate", ["RUN"], name, ["--bits-per-dim"], "draw no samples") for name in OF_SAMPLES.split()],
    *[("evaluate", ["RUN"], name, ["--ode"], "draw no samples") for name in OF_SAMPLES.split()],
    *[("evaluate", ["RUN"], name, ["--ode"], "with --ode alone") for name in ("num_steps", "num_terms")],
    ("distill", ["RUN"], "guidance", [], "on a run without classes"),
    ("morph", ["RUN"], "seeds", ["--images", "one.png", "one.png"], "with --images"),
    ("morph", ["RUN"], "seeds", ["--held-out", 2], "with --images or --held-out"),
    ("invert", ["RUN", "one.png"], "seed", [], "with the files of pictures"),
    ("inpaint", ["RUN", "one.png"], "jump_length", ["--repeats", 1], "no step is repeated"),
    ("outpaint", ["RUN", "one.png"], "jump_length", ["--repeats", 1], "no step is repeated"),
    ("restore", ["RUN", "one.png"], "factor", ["--task", "deblur"], "with --task deblur"),
    ("restore", ["RUN", "one.png"], "factor", ["--task", "colourise"], "with --task colourise"),
    ("restore", ["RUN", "one.png"], "sigma", [], "with --task upscale"),
    ("restore", ["RUN", "one.png"], "sigma", ["--task", "colourise"], "with --task colourise"),
    *[("solve", ["RUN"], name, ["--restore"], "tries nothing") for name in OF_SEARCH.split()],
    *[("info", ["RUN"], name, [], "for a run") for name in OF_PICTURES.split()],
    *[("train", ["digits"], name, ["--dry-run"], "trains nothing") for name in OF_TRAINING.split()],
    ("train", ["digits"], "strict_labels", ["--dry-run"], "without --labels"),
    ("push", ["RUN", "me/digits"], "private", ["--dry-run"], "nothing is uploaded"),
    ("push", ["RUN", "me/digits"], "out", [], "without --dry-run"),
    ("export", ["RUN", "--out", "x", "--to", "diffusers"], "weights", [], "with --to diffusers"),
    *[
        ("export", ["RUN", "--out", "x.onnx", "--to", to], name, [], "without --to web")
        for to in ("onnx", "diffusers")
        for name in ("single_file", "runtime")
    ],
    ("train", ["digits"], "range", ["--dry-run"], "8 bits"),
    ("train", ["digits"], "range", ["--resume", "--out", "RUN"], "8 bits"),
    ("train", ["digits"], "layout", ["--dry-run"], "not one array"),
    ("train", ["."], "layout", ["--dry-run"], "not one array"),
]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Path]:
    """A run without classes, one with them, and one whose weights score best."""
    folder = tmp_path_factory.mktemp("options")
    opened = start(folder / "plain")
    opened.save(opened.config.build(), Progress(step=1))
    data = replace(opened.config.data, classes=("a", "b", "c"), labels="auto")
    changed = opened.config.recipe.changed(["network.num_classes=3"])
    classes = Run.create(folder / "classes", replace(opened.config, data=data, recipe=changed))
    classes.save(classes.config.build(), Progress(step=1))
    shutil.copytree(opened.path, folder / "best")
    tensors, facts = read_tensors(opened.path / "model.safetensors")
    torch.manual_seed(5)
    others = {name: one + 0.1 * torch.randn_like(one) for name, one in tensors.items()}
    for name in ("best/best.safetensors", "weak/model.safetensors"):
        write_tensors(folder / name, others, facts)
    shutil.copy(opened.path / "config.json", folder / "weak")
    return {"RUN": opened.path, "CLASSES": classes.path, "BEST": folder / "best", "WEAK": folder / "weak"}


@pytest.fixture(autouse=True)
def _a_picture():
    Image.new("L", (8, 8), 99).save("one.png")


def test_the_tables_have_every_option_of_every_command():
    assert ALWAYS.keys() == set(COMMANDS)
    for command in COMMANDS:
        parameters = inspect.signature(command_function(command)).parameters.values()
        named = {one.name for one in parameters if one.kind is not one.POSITIONAL_ONLY} - {"source"}
        sometimes = {row[2] for row in REFUSED if row[0] == command}
        always = set(ALWAYS[command].split())
        assert always | sometimes == named, command
        assert not always & sometimes, command


@pytest.mark.parametrize(
    ("command", "subject", "option", "others", "sentence"),
    REFUSED,
    ids=[f"{command} {subject[1:]} {name} {others}" for command, subject, name, others, _ in REFUSED],
)
def test_an_option_without_effect_is_refused(runs, capsys, command, subject, option, others, sentence):
    before = dates(runs)
    path = runs["CLASSES" if "CLASSES" in others else "RUN"]
    given = [path if word == "RUN" else word for word in (*subject, *others) if word != "CLASSES"]
    flag = f"--{option.replace('_', '-')}"
    value = ["float16"] if (command, option) == ("export", "weights") else VALUES[option]
    said = refused(capsys, command, *given, flag, *value)
    assert flag in said
    assert "no effect" in said or "without a range" in said
    assert sentence in said
    assert dates(runs) == before
    assert {file.name for file in Path().iterdir()} <= {"cache", "one.png"}


def dates(runs: dict[str, Path]) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for run in runs.values() for path in run.rglob("*")}


def test_restore_refuses_the_pictures_that_it_would_ignore(runs, capsys):
    assert "leave 'digits' out" in refused(capsys, "solve", runs["RUN"], "digits", "--restore")


# --- generate --from draws with what was asked for -----------------------------------------------------------


def redrawn(run: Path, *options: object) -> np.ndarray:
    out = Path("redrawn.npz")
    ok("generate", run, "--from", "one.png", "--num-images", 2, "--out", out, *options)
    return np.load(out)["images"].astype(int)


def test_versions_of_a_picture_are_drawn_by_the_best_weights(runs):
    plain, best = redrawn(runs["BEST"]), redrawn(runs["BEST"], "--best")
    assert (plain == redrawn(runs["RUN"])).all()
    assert (best == redrawn(runs["WEAK"])).all()  # it has the same weights
    assert (best != plain).any()


def test_versions_of_a_picture_are_guided_away_from_a_weaker_run(runs, capsys):
    plain = redrawn(runs["RUN"])
    capsys.readouterr()
    guided = redrawn(runs["RUN"], "--autoguidance", 3, "--weak", runs["WEAK"])
    assert f"Autoguidance of scale 3, away from {runs['WEAK']}." in capsys.readouterr().err
    assert (guided != plain).any()
    outside = ("--guidance-interval", 1e6, 1e7)
    assert (redrawn(runs["RUN"], "--autoguidance", 3, "--weak", runs["WEAK"], *outside) == plain).all()


def test_versions_of_pictures_are_drawn_by_compiled_networks(runs, monkeypatch):
    sizes = []

    def compiled(denoiser, num_images):
        sizes.append(num_images)
        return denoiser

    monkeypatch.setattr("unnoise.runs.compiling.compiled", compiled)
    redrawn(runs["RUN"], "--compile")
    assert sizes == [2]
    redrawn(runs["RUN"], "--compile", "--autoguidance", 3, "--weak", runs["WEAK"])
    assert sizes == [2, 2, 2]


def test_versions_of_pictures_by_best_weights_that_were_never_measured_are_refused(runs, capsys):
    assert "no best.safetensors" in refused(capsys, "generate", runs["RUN"], "--from", "one.png", "--best")
