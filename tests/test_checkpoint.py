"""A run's folder is whole at every moment, and a damaged one says what is wrong."""

import json
import pickle

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from oracles import last
from runs import digits, start
from unnoise import checkpoint, files
from unnoise.checkpoint import Progress, Run
from unnoise.errors import UnnoiseError
from unnoise.training import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = start(tmp_path_factory.mktemp("runs") / "run", 4)
    last(train(run, digits()))
    return run


@pytest.fixture
def run(trained, tmp_path):
    import shutil

    shutil.copytree(trained.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_generation_needs_nothing_but_the_folder(run):
    first, second = (Run.open(run.path).load().generate(4, 3, seed=2) for _ in range(2))
    assert torch.equal(first, second)
    weights = load_file(run.path / "model.safetensors")
    assert weights.keys() == run.load().network.state_dict().keys()


@pytest.mark.row("J2")
def test_everything_comes_back(run):
    diffusion, again = run.config.build(), run.config.build()
    for _ in range(3):
        diffusion.train_step(digits().take(np.arange(16)))
    run.save(diffusion, Progress(7, 112, 3.5))
    assert run.restore(again) == Progress(7, 112, 3.5)
    assert again.average.steps == diffusion.average.steps
    for name in ("network", "average"):
        left, right = (
            (d.network if name == "network" else d.average.network).state_dict() for d in (diffusion, again)
        )
        assert all(torch.equal(left[key], right[key]) for key in left)
    left, right = (d.optimizer.state_dict()["state"] for d in (diffusion, again))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[i][key], right[i][key]) for i in left for key in left[i])


def test_no_run_at_all(tmp_path):
    with pytest.raises(UnnoiseError, match="There is no run at"):
        Run.open(tmp_path / "nothing")


def test_a_run_is_not_overwritten(run):
    with pytest.raises(UnnoiseError, match="continue it with --resume, or name another folder with --out"):
        Run.create(run.path, run.config)


def test_not_text(run):
    (run.path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnnoiseError, match=r"config.json can't be read"):
        Run.open(run.path)


@pytest.mark.parametrize("size", [0, 3, 7, 100, 5000])
def test_truncated_weights(run, size):
    path = run.path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UnnoiseError, match="is damaged"):
        run.load()


def test_a_pickle_is_never_opened(run):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    (run.path / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UnnoiseError, match="is damaged"):
        run.load()


def test_missing_weights(run):
    (run.path / "model.safetensors").unlink()
    with pytest.raises(UnnoiseError, match="does not exist"):
        run.load()


def test_weights_of_another_network(run):
    tensors = load_file(run.path / "model.safetensors")
    name = next(iter(tensors))
    save_file({**tensors, "surprise": torch.zeros(1)}, run.path / "model.safetensors")
    with pytest.raises(UnnoiseError, match="surprise is only in one of them"):
        run.load()
    save_file({**tensors, name: torch.zeros(3, 3)}, run.path / "model.safetensors")
    with pytest.raises(UnnoiseError, match=r"is \(3, 3\) here"):
        run.load()


def test_a_damaged_newest_state_falls_back_to_the_one_before(run):
    diffusion = run.config.build()
    run.restore(diffusion)
    run.save(diffusion, Progress(9, 144, 1.0))
    newest, before = run.states()
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="Going on from the state before it"):
        assert run.restore(run.config.build()).step == int(before.stem)
    assert run.states() == [before]
    assert newest.with_suffix(".damaged").exists()
    before.write_bytes(b"")
    with pytest.raises(UnnoiseError, match="is damaged"):
        run.restore(run.config.build())


def test_what_a_killed_process_left_is_swept(run):
    left = run.path / "training" / ".0123456789ab.safetensors"
    left.write_bytes(b"half")
    diffusion = run.config.build()
    run.save(diffusion, Progress(5, 80, 1.0))
    assert not left.exists()


def test_a_run_that_never_saved_anything_may_be_made_again(tmp_path):
    first = start(tmp_path / "run")
    assert Run.create(first.path, first.config).config == first.config


def test_a_state_that_does_not_say_how_far(run):
    (path,) = run.states()
    save_file(load_file(path), path)
    with pytest.raises(UnnoiseError, match="does not say how far"):
        run.restore(run.config.build())


def test_another_optimisers_memory(run):
    (path,) = run.states()
    tensors = load_file(path)
    key = next(name for name in tensors if name.endswith("exp_avg"))
    facts = {"step": "4", "images": "64", "seconds": "1.0", "average_steps": "4"}
    save_file({**tensors, key: torch.zeros(77)}, path, metadata=facts)
    with pytest.raises(UnnoiseError, match="another optimiser's memory"):
        run.restore(run.config.build())


@pytest.mark.parametrize("moment", ["writing", "flushing", "renaming"])
def test_a_failed_save_leaves_the_old_state_and_no_rubbish(run, monkeypatch, moment):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    diffusion = run.load()

    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    if moment == "writing":
        monkeypatch.setattr(checkpoint, "save_file", fail)
    elif moment == "flushing":
        monkeypatch.setattr(files.os, "fsync", fail)
    else:
        monkeypatch.setattr(files.Path, "replace", fail)
    with pytest.raises(UnnoiseError, match="No space left on device"):
        run.save(diffusion, Progress(9, 144, 1.0))
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_config_is_json_for_people(run):
    data = json.loads((run.path / "config.json").read_text())
    assert data["format"] == 1
    assert data["data"]["source"] == "digits"
