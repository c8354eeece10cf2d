"""Commands that the pages show: the command line takes each of them as it stands."""

import shlex

import pytest

from unnoise.app.commands import task_command, train_words, typed
from unnoise.app.workspace import Workspace
from unnoise.cli import command_function
from unnoise.cli.arguments import parse_arguments

DRAWN = {"seed": 3, "steps": 20, "sampler": "ddim", "label": "cat", "guidance": 2.0, "best": True}
EDITED = {"seed": 3, "label": "cat"}
TASKS = {
    "checkup": {"pictures": "photos/cats", "minutes": 5.0, "size": "32x48"},
    "draw": DRAWN | {"number": 4},
    "reverse": DRAWN,
    "morph": {"seeds": [1, 2, 3], "frames": 24, "steps": 20, "label": "cat"},
    "redraw": {"seed": 3, "label": "cat", "strength": 0.5, "versions": 3},
    "vary": EDITED | {"amount": 0.2, "number": 3},
    "inpaint": EDITED,
    "outpaint": EDITED | {"height": 32, "width": 48},
    "restore": EDITED | {"task": "upscale", "factor": 2, "spoil": True},
    "report": {},
    "export": {"to": "onnx"},
}


def parsed(command):
    program, name, *rest = shlex.split(command)
    assert program == "unnoise"
    return parse_arguments(command_function(name), f"unnoise {name}", rest)


@pytest.mark.parametrize("kind", TASKS)
def test_the_command_of_a_task_is_one(kind):
    assert callable(parsed(task_command(kind, "my run", TASKS[kind])))


def test_a_run_is_trained_by_the_command_of_its_settings(tmp_path):
    workspace = Workspace.open(tmp_path)
    config = {
        "preset": "nano",
        "budget": {"unit": "minutes", "amount": 2.5},
        "data": {"source": str(tmp_path / "my photos"), "height": 24, "width": 40},
    }
    words = train_words(workspace, tmp_path / "runs" / "one", config)
    assert words[:2] == ("train", "my photos")
    assert callable(parsed(typed(*words)))


def test_a_distilled_run_is_made_again_by_distilling(tmp_path):
    workspace = Workspace.open(tmp_path)
    config = {
        "preset": "nano",
        "budget": {"unit": "minutes", "amount": 2.5},
        "data": {"source": "photos", "height": 24, "width": 40},
        "recipe": {"mean_velocity": {"guidance": 1.0, "walking": {"autoguidance": 2.0}}},
        "init": str(tmp_path / "runs" / "slow one"),
    }
    words = train_words(workspace, tmp_path / "runs" / "fast", config)
    assert words[:-2] == ("distill", "runs/slow one", "--out", "runs/fast", "--minutes", "2.5")
    assert words[-2:] == ("--autoguidance", "2")
    assert callable(parsed(typed(*words)))
    config["recipe"]["mean_velocity"]["walking"]["autoguidance"] = 1.0
    config["data"]["classes"] = ["cat", "dog"]
    words = train_words(workspace, tmp_path / "runs" / "fast", config)
    assert words[-4:] == ("--guidance", "1", "--autoguidance", "1")
    assert callable(parsed(typed(*words)))
    unknown = train_words(workspace, tmp_path / "runs" / "fast", config | {"init": None})
    assert unknown[:2] == ("distill", "RUN")


def test_what_only_the_app_does_has_no_command():
    assert task_command("forward", "one", {"time": 0.5}) is None
