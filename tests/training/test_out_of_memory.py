"""Out of memory in training: steps, looks and measurements go on in smaller pieces, and nothing is lost."""

import itertools
import json
import warnings
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from helpers.oracles import last
from helpers.runs import digits, start
from helpers.scarce_memory import COMPLAINTS, ScarceMemory
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Run
from unnoise.training.accumulation import Accumulation
from unnoise.training.loop import train
from unnoise.training.previews import held_out_loss
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.out_of_memory import DoesNotFitError

AWARE = 'noise_levels={"kind": "LossAware", "num_slices": 4, "memory": 2, "uniform": 0.1}'
RECIPES = [(), (AWARE,), ("network.self_conditioning=true", "offset_noise=0.1"), ("network.dropout=0.2",)]


def begun(path, steps: int = 4, *changes: str, **more) -> Run:
    return start(path, steps, recipe_changes=changes, **more)


def trained(run: Run) -> dict[str, torch.Tensor]:
    """The newest state of the run after training it, and the averaged weights."""
    last(train(run, digits()))
    state = load_file(run.states()[0])
    return {**state, **load_file(run.path / "model.safetensors")}


def settings(run: Run) -> dict:
    return json.loads((run.path / "config.json").read_text())


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name, tensor in wanted.items() if not torch.equal(found[name], tensor)] == []


# --- steps ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", RECIPES)
@pytest.mark.parametrize("backward", [False, True], ids=["forward", "backward"])
def test_a_step_that_does_not_fit_is_taken_in_pieces_and_learns_the_same(
    tmp_path, monkeypatch, changes, backward
):
    wanted = trained(begun(tmp_path / "pieces", 4, *changes, accumulate=4))
    whole = trained(begun(tmp_path / "whole", 4, *changes))
    run = begun(tmp_path / "scarce", 4, *changes)
    ScarceMemory(monkeypatch, training=5, backward=backward)
    with pytest.warns(UserWarning, match="too small for a training step of 16 pictures in 1 piece") as told:
        found = trained(run)
    (warning,) = told
    assert str(warning.message).endswith(
        "now on it takes 4 pieces (--accumulate 4). The training stays the same."
    )
    assert_equal(found, wanted)  # to the last bit those of a run that began with --accumulate 4
    if "network.dropout=0.2" not in changes:  # which draws other masks for other pieces
        for name, tensor in whole.items():
            torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=2e-4, msg=name)
    assert settings(run)["accumulate"] == 4


@pytest.mark.parametrize("complaint", COMPLAINTS.values(), ids=COMPLAINTS)
def test_memory_may_run_out_late_and_on_any_device(tmp_path, monkeypatch, complaint):
    whole = trained(begun(tmp_path / "whole"))
    run = begun(tmp_path / "scarce")
    scarce = ScarceMemory(monkeypatch, training=8, complaint=complaint, first_step=2)
    with pytest.warns(UserWarning, match="in 1 piece: from now on it takes 2 pieces"):
        found = trained(run)
    assert scarce.calls[True] == [16, 16, 16, 8, 8, 8, 8]
    for name, tensor in whole.items():
        torch.testing.assert_close(found[name], tensor, rtol=1e-3, atol=2e-4, msg=name)


def test_random_numbers_are_those_of_a_run_without_the_fault(tmp_path, monkeypatch):
    def numbers(run: Run) -> list[torch.Tensor]:
        torch.manual_seed(5)
        found = []
        for _ in train(run, digits()):
            found.append(torch.get_rng_state())
        return found

    wanted = numbers(begun(tmp_path / "whole", 3, "network.dropout=0.2"))
    ScarceMemory(monkeypatch, training=8, first_step=1)
    with pytest.warns(UserWarning, match="2 pieces"):
        found = numbers(begun(tmp_path / "scarce", 3, "network.dropout=0.2"))
    assert all(torch.equal(*pair) for pair in zip(found, wanted, strict=True))


def test_a_resumed_run_remembers_what_fits(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", 6)
    scarce = ScarceMemory(monkeypatch, training=5)
    with pytest.warns(UserWarning, match="4 pieces"):
        steps = train(run, digits())
        assert len(list(itertools.islice(steps, 2))) == 2
        steps.close()
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


def test_batch_statistics_are_put_back_before_a_step_is_repeated(tmp_path, monkeypatch):
    changes = ('network.normalization="batch"',)
    wanted = trained(begun(tmp_path / "pieces", 3, *changes, accumulate=2))
    ScarceMemory(monkeypatch, training=8, backward=True)
    with pytest.warns(UserWarning, match="2 pieces"):
        found = trained(begun(tmp_path / "scarce", 3, *changes))
    moved = [name for name, tensor in wanted.items() if tensor.is_floating_point() and "running" in name]
    assert moved
    assert all(torch.equal(found[name], wanted[name]) for name in moved)


def test_a_single_picture_that_does_not_fit_ends_the_run_and_keeps_its_states(tmp_path, monkeypatch):
    run = begun(tmp_path / "run", 6)
    steps = train(run, digits())
    list(itertools.islice(steps, 3))
    steps.close()
    before = {path.name: path.read_bytes() for path in [*run.states(), run.path / "model.safetensors"]}
    with monkeypatch.context() as patches:
        ScarceMemory(patches, training=0)
        with pytest.raises(UnnoiseError, match="Not even one picture fits into the free memory of cpu in a tr"):
            last(train(run, digits()))
    assert {path.name: path.read_bytes() for path in [*run.states(), run.path / "model.safetensors"]} == before
    assert last(train(Run.open(run.path), digits())).progress.step == 6  # with more memory it goes on


def test_an_optimiser_that_does_not_fit_moves_no_weight_twice(tmp_path, monkeypatch):
    """The weights may have moved in part, so the step is not repeated; the last state is whole."""
    run = begun(tmp_path / "run", 6)
    steps = train(run, digits())
    list(itertools.islice(steps, 3))
    steps.close()
    before, calls = run.states()[0].read_bytes(), []

    def full(optimizer, *_):
        calls.append(optimizer)
        raise torch.OutOfMemoryError("CUDA out of memory")

    with monkeypatch.context() as patches:
        patches.setattr(torch.optim.Adam, "step", full)
        patches.setattr(torch.optim.AdamW, "step", full)
        with pytest.raises(UnnoiseError, match="optimiser and the averages do not fit into memory"):
            last(train(run, digits()))
    assert len(calls) == 1
    assert run.states()[0].read_bytes() == before
    assert last(train(Run.open(run.path), digits())).progress.step == 6


def test_of_several_processes_one_that_fails_says_what_to_do(tmp_path):
    noted = []
    accumulation = Accumulation(2, "cuda:1", shared=True, note=noted.append)
    with pytest.raises(
        DoesNotFitError, match=r"--resume goes on from the last saved state, with steps in 4 pie"
    ):
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


def test_looks_and_losses_go_on_in_pieces_with_the_same_pictures(tmp_path, monkeypatch):
    plain, run = (begun(tmp_path / name, 4) for name in ("plain", "scarce"))
    wanted = trained(plain)
    scarce = ScarceMemory(monkeypatch, sampling=10)
    with pytest.warns(UserWarning, match=r"too small for 64 pictures at once: from now on the network takes 8"):
        found = trained(run)
    assert_equal(found, wanted)  # a look changes nothing that is learned
    assert scarce.failed == [64, 32, 16]
    assert settings(run)["pictures_at_once"] == 8
    for sheet in plain.samples.glob("*.png"):
        assert (run.samples / sheet.name).is_file()
    histories = [
        (each.path / "history.csv").read_text().splitlines()[-1].split(",")[-1] for each in (plain, run)
    ]
    assert float(histories[1]) == pytest.approx(float(histories[0]), rel=1e-5)
    scarce.failed.clear()
    last(train(Run.open(run.path).with_config(replace(run.config, pictures_at_once=8)), digits()))
    assert scarce.failed == []


def test_a_held_out_loss_in_pieces_is_the_same(tmp_path, monkeypatch):
    diffusion = begun(tmp_path / "run").config.build()
    nn.init.normal_(diffusion.ema.network.head.weight, std=0.1)
    held_out = [(digits().take(range(first, first + 40)), None) for first in (0, 40)]
    wanted = held_out_loss(diffusion, held_out)
    ScarceMemory(monkeypatch, sampling=3)
    with pytest.warns(UserWarning, match="takes 2 at a time"):
        assert held_out_loss(diffusion, held_out) == pytest.approx(wanted, rel=1e-6)


def test_a_look_that_never_fits_costs_the_look_and_not_the_run(tmp_path, monkeypatch):
    plain, run = (begun(tmp_path / name, 4) for name in ("plain", "scarce"))
    wanted = trained(plain)
    ScarceMemory(monkeypatch, sampling=0)
    with pytest.warns(UserWarning, match="Not even one picture .* Training goes on, and tries again later"):
        found = trained(run)
    assert_equal(found, wanted)
