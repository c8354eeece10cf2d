"""Tasks of the app's worker, done in this process."""

import json
import secrets

import numpy as np
from PIL import Image

from unnoise.app.worker.folder import TaskFolder
from unnoise.app.worker.loop import do
from unnoise.app.worker.opened import OpenedRuns

TINY = {
    "batch_size": 4,
    "preset": "nano",
    "device": "cpu",
    "set": (
        "network.widths=[8,16]",
        'network.attention=["none","full"]',
        "network.block_depth=1",
        "sampling.num_steps=4",
    ),
}


class Done:
    """A task that was done: its state, and its files."""

    def __init__(self, folder):
        self.folder = folder
        self.state = json.loads((folder / "state.json").read_text())
        self.result, self.files = self.state["result"], self.state["files"]

    def pixels(self, name):
        """A picture as floats from 0 to 255, (H, W, C)."""
        found = np.asarray(Image.open(self.folder / name), np.float64)
        return found[..., None] if found.ndim == 2 else found


def ask(workspace, kind, run="one", **words):
    """A task that waits, as the server asks for it; beside a training, so that it takes one thread."""
    folder = workspace.hidden / "tasks" / secrets.token_hex(8)
    folder.mkdir(parents=True)
    request = {"kind": kind, "run": run, "busy": True} | words
    (folder / "request.json").write_text(json.dumps(request))
    return folder


def perform(workspace, folder, runs=None):
    """Does a task, whatever comes of it."""
    do(TaskFolder(folder, runs or OpenedRuns()), workspace)
    return Done(folder)


def done(workspace, kind, runs=None, **words):
    """A task that must succeed."""
    found = perform(workspace, ask(workspace, kind, **words), runs)
    assert found.state["state"] == "done", found.state["error"]
    assert found.state["progress"] == 1
    for name in found.files:
        assert (found.folder / name).is_file()
    return found


def refused(workspace, kind, **words):
    """The sentence with which a task fails, which is one line and no bug."""
    found = perform(workspace, ask(workspace, kind, **words))
    assert found.state["state"] == "failed"
    assert found.files == []
    sentence = found.state["error"]
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert not (found.folder / "traceback.txt").exists(), (found.folder / "traceback.txt").read_text()
    return sentence
