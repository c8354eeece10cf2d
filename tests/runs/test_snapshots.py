"""Stored averages: within their disk budget, kept across a stop, and synthesised into others."""

import itertools
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.cli import run as unnoise
from unnoise.optim.ema import EMAConfig
from unnoise.optim.power_ema import DEFAULT_SIGMA_RELS, PowerAverages, Profile, mixture
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.resume import resume_config
from unnoise.runs.snapshots import FEWEST_STEPS, Snapshots, kept_steps, thinned
from unnoise.trainer.loop import train
from unnoise.trainer.recorder import EARLY_AVERAGES, Recorder
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tensor_files import read_tensors
from unnoise.utils.timers import Milestones


@pytest.fixture(autouse=True)
def _no_pictures(monkeypatch):
    """They are beside the point here, and slow."""
    monkeypatch.setattr(Recorder, "preview", lambda *_, **__: None)
    monkeypatch.setattr(Recorder, "write_history", lambda _self: None)


def begin(path, steps: int = 8, preset: str = "default", **settings) -> Run:
    """A tiny run on the digits that stores averages, not trained yet."""
    run = start(path, steps, preset)
    ema = replace(run.config.recipe.ema, profiles=(0.05, 0.1), **settings)
    return run.with_config(replace(run.config, recipe=replace(run.config.recipe, ema=ema)))


def stored(run: Run) -> list[Profile]:
    return Snapshots(run.path / "ema").stored()


def contents(run: Run) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in sorted((run.path / "ema").iterdir())}


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    run = begin(tmp_path_factory.mktemp("runs") / "run")
    last(train(run, digits()))
    return run


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


# --- the budget ---------------------------------------------------------------------------------------------


def test_thinning_keeps_the_last_step_and_spreads_the_others():
    assert thinned([3, 1, 2, 2], 3) == [1, 2, 3]
    assert thinned(range(1, 17), 8) == [2, 4, 6, 8, 10, 12, 14, 16]
    assert thinned([100, 200, 300, 301], 3) == [100, 200, 301]  # a stop, and the step after it
    assert thinned([5, 6], 1) == [6]
    kept: list[int] = []
    for step in range(1, 1001):  # as training goes, without knowing how far it will
        kept = thinned([*kept, step], 8)
        assert len(kept) <= 8
        assert kept[-1] == step
    gaps = np.diff([0, *kept])
    assert gaps.max() <= 4 * np.median(gaps)


@pytest.mark.parametrize(("megabytes", "room"), [(None, 8), (1.0, 8), (0.108, 6), (0.02, 5), (0.001, 5)])
def test_stored_averages_keep_to_their_megabytes_but_never_fewer_than_five_steps(tmp_path, megabytes, room):
    network = nn.Sequential(nn.Linear(31, 50), nn.BatchNorm1d(50))  # at most 18 kB for two
    averages = PowerAverages(network, (0.05, 0.1))
    snapshots = Snapshots(tmp_path / "ema", 8, megabytes)
    assert snapshots.room(averages) == room
    for _ in range(40):
        averages.update()
        snapshots.write(averages)
        files = list((tmp_path / "ema").iterdir())
        if room > FEWEST_STEPS and megabytes is not None:
            assert sum(path.stat().st_size for path in files) <= megabytes * 1e6
        assert len(files) <= 2 * room
    assert len(files) == 2 * room
    assert snapshots.stored()[-1].step == 40


@pytest.mark.parametrize("count", [1, 3, 5, 8, 100])
def test_the_budget_of_stored_averages_follows_the_size_of_the_network(count):
    for megabytes, needed in itertools.product((None, 1e-3, 200.0), (0, 1, 10**6, 261_500_000, 10**12)):
        assert min(count, FEWEST_STEPS) <= kept_steps(count, megabytes, needed) <= count
    assert kept_steps(count, None, 10**6) == min(count, 1000)
    assert kept_steps(8, None, 140e6) == 7  # thinned: eight take more than a gigabyte
    assert kept_steps(8, 200.0, 25e6) == 8


def test_megabytes_too_few_for_the_fewest_steps_are_told_and_training_goes_on(tmp_path):
    run = begin(tmp_path / "run", steps=12, megabytes=0.001)
    with pytest.warns(UserWarning, match=r"will take .* MB, more than ema\.megabytes=0\.001"):
        last(train(run, digits()))
    steps = sorted({profile.step for profile in stored(run)})
    assert len(steps) == FEWEST_STEPS
    assert steps[-1] == 12
    assert Snapshots(run.path / "ema").synthesize(0.1).misfit < 0.1
    assert Snapshots(run.path / "ema").weaker().step < 12


def test_the_fewest_steps_suffice_for_the_usual_widths():
    """The figures in the docstring of `FEWEST_STEPS`."""
    for count, worst in ((8, 0.04), (FEWEST_STEPS, 0.06), (4, 0.11)):
        kept: list[int] = []
        for part in range(1, 9):
            kept = thinned([*kept, 5000 * part], count)
        profiles = [Profile(step, width) for step in kept for width in DEFAULT_SIGMA_RELS]
        misfits = [
            mixture(profiles, Profile(40_000, width)).misfit for width in np.linspace(0.04, 0.15, 12).tolist()
        ]
        assert worst - 0.02 < max(misfits) < worst


# --- along a run --------------------------------------------------------------------------------------------


def test_a_run_stores_its_averages_while_it_trains(trained):
    assert stored(trained) == [Profile(step, width) for step in range(1, 9) for width in (0.05, 0.1)]
    _, facts = read_tensors(trained.path / "ema" / "0000000008-0.1.safetensors")
    assert facts == {"step": "8", "sigma_rel": "0.1"}
    weights = load_file(trained.path / "model.safetensors")
    for tensors in contents(trained).values():
        assert tensors.keys() == weights.keys()
        assert all(value.dtype == torch.float32 for value in tensors.values() if value.is_floating_point())
    assert not (start(trained.path.parent / "plain").path / "ema").exists()


@pytest.mark.row("J2", "L8")
@pytest.mark.parametrize(("preset", "every"), [("default", 1), ("keras-ddim", 2)])
def test_resume_is_bit_identical_with_profiles(tmp_path, preset, every):
    images = digits()
    settings = {"profile_every": every, "snapshots": 3}
    whole, halves = (begin(tmp_path / name, 6, preset, **settings) for name in ("whole", "halves"))
    losses = [step.result.loss.item() for step in train(whole, images)]
    iterator = train(halves, images)
    again = [step.result.loss.item() for step in itertools.islice(iterator, 3)]
    iterator.close()
    again += [step.result.loss.item() for step in train(Run.open(halves.path), images)]
    assert again == losses
    left, right = (load_file(run.states()[0]) for run in (whole, halves))
    assert any(name.startswith("profiles.1.") for name in left)
    assert same(left, right)
    left, right = contents(whole), contents(halves)
    assert left.keys() & right.keys() >= {name for name in left if name.startswith(f"{6:010d}")}
    assert all(same(left[name], right[name]) for name in left.keys() & right.keys())


def test_a_stopped_run_stores_averages_and_later_ones_are_deleted(tmp_path):
    images = digits()
    run = begin(tmp_path / "run", 100, snapshots=4)
    asked = iter([False] * 3 + [True])
    list(train(run, images, "cpu", lambda: next(asked)))
    assert {profile.step for profile in stored(run)} == {1, 2, 3}
    Snapshots(run.path / "ema").delete_after(2)
    assert {profile.step for profile in stored(run)} == {1, 2}


@pytest.mark.parametrize("until", [0.01, 0.03, 0.1, 0.3, 0.7, 1.0])
def test_a_run_that_ends_early_has_several_averages_over_its_time(tmp_path, until):
    """As a run that converges, or is stopped, does: of a budget of 10,000 steps a part is spent."""
    averages, snapshots = PowerAverages(nn.Linear(1, 1), (0.1,)), Snapshots(tmp_path)
    storing = Milestones(snapshots.count, 0.0, EARLY_AVERAGES)
    for step in range(1, int(10_000 * until) + 1):
        averages.update()
        if storing.due(step / 10_000):
            snapshots.write(averages)
    snapshots.write(averages)  # at the end
    steps = [profile.step for profile in snapshots.stored()]
    assert len(steps) >= 4
    assert snapshots.weaker().step <= 0.6 * steps[-1]
    assert until < 1 or steps == [1250 * part for part in range(1, 9)]  # the early ones are gone


def test_non_finite_averages_are_never_stored(run):
    before = contents(run)
    optimizer = replace(run.config.recipe.optimizer, learning_rate=1e30, warmup=0.0, max_gradient_norm=None)
    recipe = replace(run.config.recipe, optimizer=optimizer)
    budget = replace(run.config.budget, amount=30.0)
    broken = run.with_config(replace(run.config, recipe=recipe, budget=budget))
    with pytest.warns(UserWarning, match="going on"), pytest.raises(UnnoiseError, match="became nan"):
        list(train(broken, digits()))
    for tensors in contents(run).values():
        assert all(value.isfinite().all() for value in tensors.values())
    assert contents(run).keys() & before.keys()


def test_own_presets_store_averages_and_others_on_request():
    wish = ("ema.profiles=[0.05, 0.1]",)
    assert plan(digits(), TrainOptions()).recipe.ema.profiles == (0.05, 0.1)
    assert plan(digits(), TrainOptions(preset="keras-ddim")).recipe.ema.profiles == ()
    config = plan(digits(), TrainOptions(preset="keras-ddim", changes=wish))
    assert config.recipe.ema.profiles == (0.05, 0.1)
    assert RunConfig.from_json(config.to_json(), Path("config.json")) == config
    assert resume_config(config, TrainOptions(changes=wish)) == config
    with pytest.raises(UnnoiseError, match="started with another recipe"):
        resume_config(plan(digits(), TrainOptions(preset="keras-ddim")), TrainOptions(changes=wish))


# --- after training -----------------------------------------------------------------------------------------


@pytest.mark.row("W10")
@pytest.mark.parametrize("sigma_rel", [0.04, 0.05, 0.1, 0.15])
def test_a_synthesised_network_equals_the_average_of_its_width(tmp_path, sigma_rel):
    """A walk of 2,000 steps: the average from the files, against one of that width kept all along."""
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    averages, direct = PowerAverages(network, (0.05, 0.1)), PowerAverages(network, (sigma_rel,))
    snapshots = Snapshots(tmp_path, 8)
    for step in range(1, 2001):
        with torch.no_grad():
            for tensor in (*network.parameters(), *network.buffers()):
                tensor.add_(torch.randn(tensor.shape) / 100 if tensor.is_floating_point() else 1)
        averages.update()
        direct.update()
        if step % 250 == 0:
            snapshots.write(averages)
    made = snapshots.synthesize(sigma_rel)
    assert made.profile == Profile(2000, sigma_rel)
    assert made.sources == 16
    expected, moved = direct.networks[0].state_dict(), network.state_dict()
    for name, tensor in made.tensors.items():
        if not tensor.is_floating_point():
            assert torch.equal(tensor, moved[name])
            continue
        assert tensor.dtype == torch.float32
        error = (tensor - expected[name]).norm()
        assert error <= (2e-6 if sigma_rel in (0.05, 0.1) else 0.02) * (1 + expected[name].norm())
        assert error < 0.2 * (moved[name] - expected[name]).norm()


def test_ema_settings_are_read_from_config_json(tmp_path):
    averages = PowerAverages(nn.Linear(1, 1), (0.1234567,))
    averages.update()
    Snapshots(tmp_path).write(averages)
    assert Snapshots(tmp_path).stored() == [Profile(1, 0.1234567)]
    (tmp_path / "1-x.safetensors").touch()
    with pytest.raises(UnnoiseError, match="is not a stored average"):
        Snapshots(tmp_path).stored()


def test_nothing_is_stored_before_the_first_update(tmp_path):
    averages = PowerAverages(nn.Linear(1, 1), (0.1,), every=5)
    averages.update()
    Snapshots(tmp_path / "ema").write(averages)
    assert not (tmp_path / "ema").exists()


# --- unnoise ema --------------------------------------------------------------------------------------------


def ok(*arguments: object) -> None:
    assert unnoise([str(argument) for argument in arguments]) == 0


def refused(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert unnoise([str(argument) for argument in arguments]) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unnoise: ")]
    assert sentence.endswith(".")
    return sentence


@pytest.mark.row("W10")
def test_ema_writes_a_run_that_generates(run, capsys):
    ok("ema", run.path, "--sigma-rel", "0.10")
    made = run.path.with_name("run-ema0.10")
    shown = capsys.readouterr()
    assert shown.out == f"run: {made}\n"
    assert "sigma_rel 0.1 at step 8, from 16 stored averages" in shown.err
    kept, built = (
        load_file(run.path / "ema" / "0000000008-0.1.safetensors"),
        load_file(made / "model.safetensors"),
    )
    assert kept.keys() == built.keys()
    for name, tensor in built.items():
        torch.testing.assert_close(tensor, kept[name], rtol=1e-6, atol=1e-7)
    _, facts = read_tensors(made / "model.safetensors")
    assert facts == {"step": "8", "sigma_rel": "0.1"}
    assert Run.open(made).config == run.config
    ok("generate", made, "--num-images", 2, "--num-steps", 2, "--device", "cpu")
    assert (made / "generated.png").is_file()


def test_ema_names_its_folder_by_the_width_or_by_out(run, tmp_path, capsys):
    ok("ema", run.path, "--sigma-rel", "0.125")
    assert (tmp_path / "run-ema0.125" / "model.safetensors").is_file()
    ok("ema", run.path, "--sigma-rel", "0.07", "--out", tmp_path / "other")
    assert Run.open(tmp_path / "other").load().generate(1, 2).shape == (1, 1, 8, 8)
    assert "already holds a run" in refused(capsys, "ema", run.path, "--sigma-rel", "0.125")


@pytest.mark.filterwarnings("default")  # as the command line prints it
def test_a_width_far_from_what_is_stored_comes_with_a_warning(run, tmp_path, capsys):
    Snapshots(run.path / "ema").keep([8])
    ok("ema", run.path, "--sigma-rel", "0.25", "--out", tmp_path / "wide")
    assert "cannot be combined into sigma_rel 0.25 well: the result is 104% off" in capsys.readouterr().err
    ok("ema", run.path, "--sigma-rel", "0.05", "--out", tmp_path / "narrow")
    assert "too far" not in capsys.readouterr().err


@pytest.mark.parametrize("width", ["0", "-0.1", "0.3", "nan"])
def test_ema_refuses_a_width_out_of_range(run, capsys, width):
    sentence = refused(capsys, "ema", run.path, "--sigma-rel", width)
    assert "sigma_rel is above 0 and at most 0.2887" in sentence


def test_ema_needs_a_width_a_run_and_stored_averages(run, tmp_path, capsys):
    assert "--sigma-rel" in refused(capsys, "ema", run.path)
    assert "There is no run at" in refused(capsys, "ema", tmp_path / "none", "--sigma-rel", "0.1")
    damaged = run.path / "ema" / "0000000008-0.1.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-9])
    assert "is damaged" in refused(capsys, "ema", run.path, "--sigma-rel", "0.1")
    shutil.rmtree(run.path / "ema")
    sentence = refused(capsys, "ema", run.path, "--sigma-rel", "0.1")
    assert "There are no stored averages in" in sentence
    assert "ema.profiles=[0.05,0.1]" in sentence
    assert not (tmp_path / "run-ema0.10").exists()


def test_the_help_of_ema_explains_sigma_rel(capsys):
    for command in ("ema", "train"):
        with pytest.raises(SystemExit):
            unnoise([command, "--help"])
    shown = " ".join(re.sub(r"[^\w.\-]+", " ", capsys.readouterr().out).split())
    assert "0.05 to 0.15 is usual" in shown
    assert "(default: None)" not in shown


def test_train_stores_averages(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    arguments = ("--steps", 2, "--batch-size", 4, "--device", "cpu")
    ok("train", "digits", "--out", tmp_path / "run", *arguments)
    assert [profile.step for profile in stored(Run.open(tmp_path / "run"))] == [1, 1, 2, 2]
    assert EMAConfig().profiles == ()
