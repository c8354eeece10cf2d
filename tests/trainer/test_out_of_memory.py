"""Out of memory in training: steps, looks and measurements go on in smaller pieces, and nothing is lost."""

import itertools
import json
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from helpers.runs import digits, start
from helpers.sampling import last
from helpers.scarce_memory import COMPLAINTS, ScarceMemory
from unnoise.data.batches import Batches, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.history import read_history
from unnoise.runs.state_tensors import flat_optimizer
from unnoise.trainer.accumulation import Accumulation
from unnoise.trainer.loop import steps, train
from unnoise.trainer.previews import held_out_loss
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.out_of_memory import DoesNotFitError

AWARE = 'noise_levels={"kind": "LossAware", "num_slices": 4, "memory": 2, "uniform": 0.1}'
DROPOUT = "network.dropout=0.2"
RECIPES = [(), (AWARE,), ("network.self_conditioning=true", "offset_noise=0.1"), (DROPOUT,)]


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Run:
    """A run of four steps with memory enough."""
    run = begun(tmp_path_factory.mktemp("plain") / "run")
    last(train(run, digits()))
    return run


def begun(path, steps: int = 4, *changes: str) -> Run:
    return start(path, steps, recipe_changes=changes)


def learned(run: Run, pieces: int = 1) -> dict[str, torch.Tensor]:
    """What the bare steps of a run learn, without anything that it writes."""
    config, images = run.config, digits()
    diffusion = config.build()
    training = split(len(images), config.data.held_out, config.seed).training
    batches = Batches(images, training, config.recipe.batch_size, config.seed)
    for _ in steps(diffusion, batches, config.budget, accumulation=Accumulation(pieces)):
        pass
    history = diffusion.loss_history.state_dict() if diffusion.loss_history else {}
    return {**diffusion.network.state_dict(), **flat_optimizer(diffusion.weights.optimizer), **history}


def state(run: Run) -> dict[str, torch.Tensor]:
    return {**load_file(run.states()[0]), **load_file(run.path / "model.safetensors")}


def settings(run: Run) -> dict:
    return json.loads((run.path / "config.json").read_text())


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name, tensor in wanted.items() if not torch.equal(found[name], tensor)] == []


def assert_nearly_equal(run: Run, found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    """Adam moves weights whose gradient is nothing but rounding errors, so all of them are compared as one."""
    names = run.config.build().network.state_dict()
    one, other = (torch.cat([each[name].flatten() for name in names]) for each in (found, wanted))
    assert float((one - other).norm() / other.norm()) < 5e-4


# --- steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("changes", "backward"), [((), True), *((changes, False) for changes in RECIPES)])
def test_a_step_that_does_not_fit_is_taken_in_pieces_and_learns_the_same(
    tmp_path, monkeypatch, changes, backward
):
    run = begun(tmp_path / "run", 4, *changes)
    whole, wanted = learned(run), learned(run, pieces=4)
    ScarceMemory(monkeypatch, training=5, backward=backward)
    with pytest.warns(UserWarning, match="too small for a training step of 16 pictures in 1 piece") as told:
        found = learned(run)
    (warning,) = told
    assert "now on it takes 4 pieces (--accumulate 4). The training stays" in str(warning.message)
    assert_equal(found, wanted)  # to the last bit those of a run that began with --accumulate 4
    if DROPOUT not in changes:  # which draws other masks for other pieces
        assert_nearly_equal(run, found, whole)


@pytest.mark.parametrize("complaint", COMPLAINTS.values(), ids=COMPLAINTS)
def test_memory_may_run_out_late_and_on_any_device(tmp_path, monkeypatch, complaint):
    run = begun(tmp_path / "run")
    whole = learned(run)
    scarce = ScarceMemory(monkeypatch, training=8, complaint=complaint, first_step=2)
    with pytest.warns(UserWarning, match="in 1 piece: from now on it takes 2 pieces"):
        found = learned(run)
    assert scarce.calls[True] == [16, 16, 16, 8, 8, 8, 8]
    assert_nearly_equal(run, found, whole)


def test_the_global_random_numbers_stay_as_they_were(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", 3, DROPOUT)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    ScarceMemory(monkeypatch, training=8, first_step=1)
    with pytest.warns(UserWarning, match="2 pieces"):
        learned(run)
    assert torch.equal(torch.get_rng_state(), before)


def test_batch_statistics_are_put_back_before_a_step_is_repeated(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", 3, 'network.normalization="batch"')
    wanted = learned(run, pieces=2)
    ScarceMemory(monkeypatch, training=8, backward=True)
    with pytest.warns(UserWarning, match="2 pieces"):
        found = learned(run)
    moved = [name for name in wanted if name.endswith(("running_mean", "running_var"))]
    assert moved
    assert all(torch.equal(found[name], wanted[name]) for name in moved)


def test_a_resumed_run_remembers_what_fits(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", 6)
    scarce = ScarceMemory(monkeypatch, training=5)
    taken = train(run, digits())
    with pytest.warns(UserWarning, match="4 pieces"):
        assert len(list(itertools.islice(taken, 2))) == 2
    taken.close()
    assert settings(run)["accumulate"] == 4
    scarce.calls[True].clear()
    last(train(Run.open(run.path), digits()))
    assert scarce.calls[True] == [4] * 16  # four steps, and nothing was tried again or told


def test_pieces_are_remembered_after_going_back(tmp_path, monkeypatch):
    """A rollback builds the network anew; it must not have to find out again what fits."""
    run = begun(tmp_path / "run", 5)
    scarce = ScarceMemory(monkeypatch, training=8)
    real, faults = Diffusion.train_step, iter([True])

    def once_infinite(diffusion, *given, **more):
        result = real(diffusion, *given, **more)
        broken = diffusion.weights.average.steps == 3 and next(faults, False)
        return result._replace(loss=result.loss * torch.inf) if broken else result

    monkeypatch.setattr(Diffusion, "train_step", once_infinite)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        last(train(run, digits()))
    sentences = [str(one.message) for one in told]
    assert sum("too small for a training step" in sentence for sentence in sentences) == 1
    assert any("going on from" in sentence for sentence in sentences)
    assert scarce.failed == [16]


def test_a_single_picture_that_does_not_fit_ends_the_run_and_keeps_its_states(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", 6)
    taken = train(run, digits())
    list(itertools.islice(taken, 3))
    taken.close()
    before = state(run)
    with monkeypatch.context() as patches:
        ScarceMemory(patches, training=0)
        with pytest.raises(UnnoiseError, match="Not even one picture fits into the free memory of cpu in a tr"):
            last(train(run, digits()))
    assert_equal(state(run), before)
    assert last(train(Run.open(run.path), digits())).progress.step == 6  # with more memory it goes on


def test_an_optimiser_that_does_not_fit_moves_no_weight_twice(tmp_path, monkeypatch):
    """The weights may have moved in part, so the step is not repeated; the last state is whole."""
    run = begun(tmp_path / "run", 6)
    taken = train(run, digits())
    list(itertools.islice(taken, 3))
    taken.close()
    before, calls = state(run), []

    def full(optimizer, *_):
        calls.append(optimizer)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patches:
        patches.setattr(torch.optim.Adam, "step", full)
        patches.setattr(torch.optim.AdamW, "step", full)
        with pytest.raises(UnnoiseError, match="optimiser and the averages do not fit into memory"):
            last(train(run, digits()))
    assert len(calls) == 1
    assert_equal(state(run), before)
    assert last(train(Run.open(run.path), digits())).progress.step == 6


def test_of_several_processes_one_that_fails_says_what_to_do():
    noted = []
    accumulation = Accumulation(2, "cuda:1", shared=True, note=noted.append)
    with pytest.raises(DoesNotFitError, match="--resume goes on from the last saved state, with steps in 4"):
        accumulation.fit(16, lambda _: torch.empty(2**60))
    assert noted == [4]


@pytest.mark.parametrize("number", [1, 3, 16])
def test_pieces_are_never_more_than_pictures(number):
    tried, accumulation = [], Accumulation()

    def work(pieces: int) -> None:
        tried.append(pieces)
        raise MemoryError

    with pytest.raises(DoesNotFitError):
        accumulation.fit(number, work)
    assert tried == [pieces for pieces in (1, 2, 3 if number == 3 else 4, 8, 16) if pieces <= number]


# --- looks and measurements ----------------------------------------------------------------------------------


def test_looks_and_losses_go_on_in_pieces_with_the_same_pictures(plain, tmp_path, monkeypatch):
    run = begun(tmp_path / "run")
    scarce = ScarceMemory(monkeypatch, sampling=10)
    with pytest.warns(UserWarning, match="too small for 64 pictures at once: from now on the network takes 8"):
        last(train(run, digits()))
    assert_equal(state(run), state(plain))  # a look changes nothing that is learned
    assert scarce.failed == [64, 32, 16]
    assert settings(run)["pictures_at_once"] == 8
    assert {sheet.name for sheet in run.samples.iterdir()} == {sheet.name for sheet in plain.samples.iterdir()}
    losses = [read_history(each.path / "history.csv")[-1].held_out_loss for each in (plain, run)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    scarce.failed.clear()
    longer = replace(Run.open(run.path).config, budget=Budget(unit="steps", amount=5.0))
    last(train(run.with_config(longer), digits()))
    assert scarce.failed == []  # the resumed run remembers


def test_a_held_out_loss_in_pieces_is_the_same(tmp_path, monkeypatch):
    diffusion = begun(tmp_path / "run").config.build()
    nn.init.normal_(diffusion.ema.network.head.weight, std=0.1)
    held_out = [(digits().take(range(first, first + 40)), None) for first in (0, 40)]
    wanted = held_out_loss(diffusion, held_out)
    ScarceMemory(monkeypatch, sampling=3)
    with pytest.warns(UserWarning, match="takes 2 at a time"):
        assert held_out_loss(diffusion, held_out) == pytest.approx(wanted, rel=1e-6)


def test_a_look_that_never_fits_costs_the_look_and_not_the_run(plain, tmp_path, monkeypatch):
    run = begun(tmp_path / "run")
    ScarceMemory(monkeypatch, sampling=0)
    with pytest.warns(UserWarning, match="Not even one picture .* Training goes on, and tries again later"):
        last(train(run, digits()))
    assert_equal(state(run), state(plain))
