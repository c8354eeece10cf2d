"""Run folder: complete at every moment, and a damaged file is refused by name."""

import json
import os
import pickle
import stat
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.config import Budget
from unnoise.trainer.loop import train
from unnoise.utils import files, tensor_files
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tensor_files import read_facts, read_tensors, write_tensors


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
def test_restore_loads_weights_averages_optimiser_and_progress(run):
    diffusion, again = run.config.build(), run.config.build()
    for _ in range(3):
        diffusion.train_step(digits().take(np.arange(16)))
    run.save(diffusion, Progress(7, 112, 3.5))
    assert run.restore(again) == Progress(7, 112, 3.5)
    assert again.weights.average.steps == diffusion.weights.average.steps
    for name in ("network", "average"):
        left, right = (
            (d.network if name == "network" else d.ema.network).state_dict() for d in (diffusion, again)
        )
        assert all(torch.equal(left[key], right[key]) for key in left)
    left, right = (d.weights.optimizer.state_dict()["state"] for d in (diffusion, again))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[i][key], right[i][key]) for i in left for key in left[i])


def test_opening_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(UnnoiseError, match="There is no run at"):
        Run.open(tmp_path / "nothing")


def test_a_run_is_not_overwritten(run):
    with pytest.raises(UnnoiseError, match=r"holds a run\. Continue it with --resume, or choose another"):
        Run.create(run.path, run.config)


def test_a_config_that_is_not_text_is_refused(run):
    (run.path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnnoiseError, match=r"Cannot read .*config\.json"):
        Run.open(run.path)


@pytest.mark.parametrize("size", [0, 3, 7, 100, 5000])
def test_truncated_weights_are_refused(run, size):
    path = run.path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UnnoiseError, match="is damaged"):
        run.load()


def test_a_pickle_is_never_opened(run):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was opened",))

    (run.path / "model.safetensors").write_bytes(pickle.dumps(Trap()))
    with pytest.raises(UnnoiseError, match="is a pickle, and unnoise never opens pickles"):
        run.load()


def test_a_pytorch_checkpoint_is_never_opened(run):
    torch.save({"weights": torch.zeros(3)}, run.path / "model.safetensors")
    with pytest.raises(UnnoiseError, match=r"an archive of torch.save, .* never opens pickles"):
        run.load()


def test_missing_weights_are_refused(run):
    (run.path / "model.safetensors").unlink()
    with pytest.raises(UnnoiseError, match="does not exist"):
        run.load()


def test_weights_of_another_network_are_refused(run):
    path = run.path / "model.safetensors"
    tensors, facts = read_tensors(path)
    name = next(iter(tensors))
    write_tensors(path, {**tensors, "surprise": torch.zeros(1)}, facts)
    with pytest.raises(UnnoiseError, match="surprise is in only one of them"):
        run.load()
    write_tensors(path, {**tensors, name: torch.zeros(3, 3)}, facts)
    with pytest.raises(UnnoiseError, match=r"is \(3, 3\) in the file"):
        run.load()


def test_a_damaged_newest_state_falls_back_to_the_one_before(run):
    diffusion = run.config.build()
    run.restore(diffusion)
    run.save(diffusion, Progress(9, 144, 1.0))
    newest, before = run.states()
    newest.write_bytes(newest.read_bytes()[:-100])
    with pytest.warns(UserWarning, match="Continuing from the state before it"):
        assert run.restore(run.config.build()).step == int(before.stem)
    assert run.states() == [before]
    assert newest.with_suffix(".damaged").exists()
    before.write_bytes(b"")
    with pytest.raises(UnnoiseError, match="is damaged"):
        run.restore(run.config.build())


def all_files(path):
    return {file.relative_to(path): file.read_bytes() for file in path.rglob("*") if file.is_file()}


def two_states(run):
    diffusion = run.config.build()
    run.restore(diffusion)
    run.save(diffusion, Progress(9, 144, 1.0))
    assert len(run.states()) == 2


@pytest.mark.parametrize(
    ("change", "weights"),
    [
        ("network.widths=[8,32]", True),
        ("network.block_depth=2", True),
        ('network.attention=["none","none"]', True),
        ("condition=variance", True),
        ("objective.predicts=noise", True),
        ("optimizer.name=rmsprop", False),
        ("optimizer.name=adamw", False),
        ("ema.profiles=[0.1]", False),
        ('noise_levels={"kind":"LossAware"}', False),
    ],
)
def test_a_config_that_no_longer_fits_is_told_and_no_sound_state_is_renamed(run, change, weights):
    """Also where names and shapes of all tensors fit, but not their meaning."""
    two_states(run)
    before, setting = all_files(run.path), change.partition("=")[0]
    misfit = replace(run, config=replace(run.config, recipe=run.config.recipe.changed([change])))
    with pytest.raises(UnnoiseError, match=rf"no longer fits .*{setting}.* but was .*Put the old values back"):
        misfit.restore(misfit.config.build())
    if weights:
        with pytest.raises(UnnoiseError, match=rf"no longer fits .*{setting}"):
            misfit.load()
    else:
        misfit.load()
    assert all_files(run.path) == before
    assert run.restore(run.config.build()).step == 9


@pytest.mark.parametrize("change", ["network.widths=[8,32]", "optimizer.name=adamw", "ema.profiles=[0.1]"])
def test_a_misfit_of_a_state_that_an_older_unnoise_saved_is_no_damage_either(run, change):
    two_states(run)
    for state in run.states():
        tensors, facts = read_tensors(state)
        del facts["settings"]
        write_tensors(state, tensors, facts)
    before = all_files(run.path)
    misfit = replace(run, config=replace(run.config, recipe=run.config.recipe.changed([change])))
    with pytest.raises(UnnoiseError, match=r"config\.json"):
        misfit.restore(misfit.config.build())
    assert all_files(run.path) == before
    assert run.restore(run.config.build()).step == 9


@pytest.mark.parametrize(
    "change", ["optimizer.learning_rate=0.5", "network.dropout=0.1", "sampling.num_steps=7"]
)
def test_settings_that_a_state_does_not_depend_on_may_change(run, change):
    other = replace(run, config=replace(run.config, recipe=run.config.recipe.changed([change])))
    assert other.restore(other.config.build()).step == 4
    other.load()


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (PermissionError(13, "Permission denied"), "permission denied"),
        (OSError(5, "Input/output error"), "output"),
    ],
)
def test_a_state_that_cannot_be_read_now_is_not_renamed(run, monkeypatch, error, sentence):
    two_states(run)
    before, real = all_files(run.path), files.Path.open

    def refusing(path, *arguments, **options):
        if path.suffix == ".safetensors":
            raise error
        return real(path, *arguments, **options)

    with monkeypatch.context() as patches:
        patches.setattr(files.Path, "open", refusing)
        with pytest.raises(UnnoiseError, match=f"Cannot read .*{sentence}"):
            run.restore(run.config.build())
    assert all_files(run.path) == before


def test_a_state_that_does_not_fit_into_memory_is_not_renamed(run, monkeypatch):
    two_states(run)
    before = all_files(run.path)

    def full(*_arguments, **_options):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with monkeypatch.context() as patches:
        patches.setattr(tensor_files, "safe_open", full)
        with pytest.raises(RuntimeError, match="can't allocate"):
            run.restore(run.config.build())
    assert all_files(run.path) == before


def test_a_folder_or_a_pickle_in_place_of_the_newest_state_is_damage(run):
    two_states(run)
    newest, before = run.states()
    newest.unlink()
    newest.mkdir()
    with pytest.warns(UserWarning, match=r"is damaged \(it is a folder\).*Continuing from the state before it"):
        assert run.restore(run.config.build()).step == int(before.stem)
    newest.write_bytes(pickle.dumps("surprise"))
    newest.with_suffix(".damaged").rmdir()
    with pytest.warns(UserWarning, match="is a pickle.*Continuing from the state before it"):
        assert run.restore(run.config.build()).step == int(before.stem)


def test_temporary_files_of_a_killed_process_are_removed(run):
    """Ours, and what safetensors calls by names of its own; nothing else that begins with a dot."""
    names = (
        "training/.0123456789ab.safetensors",
        "ema/.tmpq5ZwE1",
        "samples/.0123456789ab.png",
        ".0123456789ab",
    )
    others = ("training/.0123456789ab.safetensors.mine", ".tmp", ".gitignore", "samples/.hidden.png")
    for name in (*names, *others):
        (run.path / name).parent.mkdir(exist_ok=True)
        (run.path / name).write_bytes(b"half")
    last(train(run.with_config(replace(run.config, budget=Budget(unit="steps", amount=5.0))), digits()))
    assert not [name for name in names if (run.path / name).exists()]
    assert all((run.path / name).exists() for name in others)


def test_files_have_the_permissions_of_the_umask(run):
    """Safetensors itself writes files that their owner alone may read."""
    before = os.umask(0o022)
    try:
        write_tensors(run.path / "some.safetensors", {"one": torch.ones(1)}, {})
    finally:
        os.umask(before)
    assert stat.S_IMODE((run.path / "some.safetensors").stat().st_mode) == 0o644


def test_a_run_that_never_saved_anything_may_be_made_again(tmp_path):
    first = start(tmp_path / "run")
    assert Run.create(first.path, first.config).config == first.config


def test_a_state_without_progress_is_refused(run):
    (path,) = run.states()
    write_tensors(path, load_file(path), {})
    with pytest.raises(UnnoiseError, match="has no valid progress"):
        run.restore(run.config.build())


def test_the_state_of_another_optimiser_is_refused(run):
    (path,) = run.states()
    tensors = load_file(path)
    key = next(name for name in tensors if name.endswith("exp_avg"))
    facts = {"step": "4", "images": "64", "seconds": "1.0", "average_steps": "4"}
    write_tensors(path, {**tensors, key: torch.zeros(77)}, facts)
    with pytest.raises(UnnoiseError, match="the state of another optimiser"):
        run.restore(run.config.build())


@pytest.mark.parametrize("moment", ["writing", "flushing", "renaming"])
def test_a_failed_save_leaves_the_old_state_and_no_temporary_files(run, monkeypatch, moment):
    before = {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()}
    diffusion = run.config.build()
    run.restore(diffusion)

    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    if moment == "writing":
        monkeypatch.setattr(tensor_files, "save_file", fail)
    elif moment == "flushing":
        monkeypatch.setattr(files.os, "fsync", fail)
    else:
        monkeypatch.setattr(files.Path, "replace", fail)
    with pytest.raises(UnnoiseError, match="no space left on device"):
        run.save(diffusion, Progress(9, 144, 1.0))
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in run.path.rglob("*") if path.is_file()} == before


def test_tensors_without_a_checksum_are_refused(run):
    path = run.path / "model.safetensors"
    save_file(load_file(path), path)
    with pytest.raises(UnnoiseError, match="has no checksum"):
        run.load()


def test_every_dtype_of_tensors_is_read_as_written(tmp_path):
    tensors = {
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(2.5, dtype=torch.float64),
        "halves": torch.randn(5).bfloat16(),
        "counts": torch.arange(7),
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    }
    write_tensors(tmp_path / "some.safetensors", tensors, {"step": "3"})
    again, facts = read_tensors(tmp_path / "some.safetensors")
    assert facts == {"step": "3"}
    assert again.keys() == tensors.keys()
    assert all(torch.equal(again[name], tensors[name]) for name in tensors)
    assert all(again[name].dtype == tensors[name].dtype for name in tensors)
    assert read_facts(tmp_path / "some.safetensors")["step"] == "3"
    assert read_facts(tmp_path / "none.safetensors") == {}


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_damaged_files_are_refused(run, damage):
    """200 random places of a state, in its header as in its tensors: one bit flipped, or all after it gone."""
    (path,) = run.states()
    whole, numbers = path.read_bytes(), np.random.default_rng(6)
    header = 8 + int.from_bytes(whole[:8], "little")
    places = np.concatenate([numbers.integers(0, header, 100), numbers.integers(header, len(whole), 100)])
    found, diffusion = 0, run.config.build()
    for place in places:
        broken = bytearray(whole)
        if damage == "flipped":
            broken[place] ^= 1 << int(numbers.integers(8))
        else:
            del broken[place:]
        path.write_bytes(broken)
        with pytest.raises(UnnoiseError, match=r"is damaged|never opens pickles"):
            run.restore(diffusion)
        found += 1
    print(f"{damage}: {found} of {len(places)} damages found")  # noqa: T201
    path.write_bytes(whole)
    assert run.restore(run.config.build()).step == 4


def test_a_new_name_is_flushed_with_its_folder(tmp_path, monkeypatch):
    """In this order: the file, its name, the folder; else a power cut may leave an empty file, or none."""
    done, real_fsync, real_replace = [], files.os.fsync, files.Path.replace

    def fsync(opened):
        done.append("folder" if stat.S_ISDIR(files.os.fstat(opened).st_mode) else "file")
        real_fsync(opened)

    def replace(path, target):
        done.append("name")
        return real_replace(path, target)

    monkeypatch.setattr(files.os, "fsync", fsync)
    monkeypatch.setattr(files.Path, "replace", replace)
    write_tensors(tmp_path / "some.safetensors", {"one": torch.ones(1)}, {})
    assert done == ["file", "name", "folder"]


def test_config_json_is_indented(run):
    data = json.loads((run.path / "config.json").read_text())
    assert data["format"] == 1
    assert data["data"]["source"] == "digits"
