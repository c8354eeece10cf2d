"""Distributed training: several processes compute the same step as one."""

import itertools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers import training_process
from helpers.ranks import run_ranks
from helpers.runs import digits, start
from unnoise.data.batches import Batches, split
from unnoise.diffusion.noise_levels import LossAware
from unnoise.diffusion.noising import Noising
from unnoise.optim.process_group import BatchPart
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.trainer.accumulation import Accumulation
from unnoise.trainer.loop import steps, train
from unnoise.trainer.previews import draw_samples
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tensor_files import read_facts

LOSS_AWARE = 'noise_levels={"kind": "LossAware", "num_slices": 4, "memory": 2, "uniform": 0.1}'
MORE_NOISES = ("network.self_conditioning=true", "offset_noise=0.1")


def launch(folder: Path, processes: int, *more: str) -> list[dict[str, np.ndarray]]:
    """Trains the run with so many processes; what each of them found."""
    done = run_ranks(processes, training_process.main, str(folder), *more)
    assert done.codes == [0] * processes, done.err
    return [dict(np.load(folder / f"rank-{rank}.npz")) for rank in range(processes)]


def begun(folder: Path, steps: int, *changes: str, accumulate: int = 1, **more) -> Run:
    return start(folder, steps, recipe_changes=["batch_size=64", *changes], accumulate=accumulate, **more)


def gradients_of_a_step(run: Run) -> dict[str, torch.Tensor]:
    diffusion, images, config = run.config.build(), digits(), run.config
    training = split(len(images), config.data.held_out, config.seed).training
    batches = Batches(images, training, config.recipe.batch_size, config.seed)
    pieces = Accumulation(config.accumulate)
    list(itertools.islice(steps(diffusion, batches, config.budget, accumulation=pieces), 1))
    found = {name: p.grad for name, p in diffusion.network.named_parameters() if p.grad is not None}
    assert max(float(gradient.abs().max()) for gradient in found.values()) > 1e-3
    return found


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The same 50 steps by one process, by two, and by two that take their half in two pieces."""
    folder = tmp_path_factory.mktemp("shared")
    alone = begun(folder / "alone", 50)
    losses = [step.result.loss.item() for step in train(alone, digits())]
    begun(folder / "two", 50)
    begun(folder / "pieces", 50, accumulate=2)
    return losses, alone, launch(folder / "two", 2), launch(folder / "pieces", 2)


@pytest.mark.slow
def test_two_processes_have_the_losses_of_one(shared):
    """1 process x 64, 2 x 32, and 2 x 16 with accumulation 2: to 1e-5 over 50 steps, in each process."""
    losses, _, two, pieces = shared
    assert len(losses) == 50
    for found in (*two, *pieces):
        np.testing.assert_allclose(found["losses"], losses, rtol=0, atol=1e-5)
        assert np.ptp(found["losses"]) > 0.1  # it learned


@pytest.mark.slow
def test_the_average_and_the_gradients_are_the_same_in_each_process(shared):
    """To the last bit. Against one process only what matters is compared, which is what the network draws.

    A bias before a norm has no gradient but rounding errors, which Adam makes as large as any other.
    """
    _, alone, two, pieces = shared
    expected = load_file(alone.path / "model.safetensors")
    for first, second in (two, pieces):
        names = [name for name in first if name.startswith(("ema.", "grad."))]
        assert len(names) == 2 * len(expected)  # the tiny network has no buffers
        for name in names:
            np.testing.assert_array_equal(first[name], second[name], err_msg=name)


@pytest.mark.slow
def test_processes_divide_the_batch_of_one_process(shared):
    _, alone, two, _ = shared
    images, config = digits(), alone.config
    training = split(len(images), config.data.held_out, config.seed).training
    whole = Batches(images, training, 64, config.seed)[3].numpy()
    np.testing.assert_array_equal(np.concatenate([found["pictures"] for found in two]), whole)


@pytest.mark.slow
def test_rank_0_writes_and_all_ranks_draw_the_sample_sheet(shared):
    _, alone, _, _ = shared
    two = Run.open(alone.path.parent / "two")
    assert sorted(path.name for path in two.samples.iterdir()) == ["0000000050.png"]
    assert [path.stem for path in two.states()] == ["0000000050"]
    assert read_facts(two.states()[0])["processes"] == "2"
    left, right = (run.load().generate(4, 3) for run in (alone, two))
    torch.testing.assert_close(left, right, rtol=0, atol=1e-3)


@pytest.mark.slow
def test_gradients_of_two_processes_are_those_of_one(tmp_path):
    """After one step nothing has had time to grow: gradients of 1 x 64 and of 2 x 32."""
    expected = gradients_of_a_step(begun(tmp_path / "one", 1))
    begun(tmp_path / "two", 1)
    found, _ = launch(tmp_path / "two", 2)
    for name, gradient in expected.items():
        np.testing.assert_allclose(found[f"grad.{name}"], gradient.numpy(), rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.slow
def test_a_run_is_resumed_with_another_number_of_processes(tmp_path):
    """And says what can't be exact; times drawn by importance remember the losses of both."""
    changes = [LOSS_AWARE, "network.dropout=0.0"]
    whole = begun(tmp_path / "whole", 8, *changes)
    losses = [step.result.loss.item() for step in train(whole, digits())]
    run = begun(tmp_path / "run", 4, *changes)
    list(train(run, digits()))
    run.with_config(replace(run.config, budget=Budget(unit="steps", amount=8.0)))
    # The learning rate follows the budget, so the whole run is the yardstick for the batches, not for digits.
    found, other = launch(run.path, 2)
    assert found["losses"].shape == (4,)
    np.testing.assert_array_equal(found["losses"], other["losses"])
    np.testing.assert_allclose(found["losses"], losses[4:], rtol=0.1)
    longer = run.with_config(replace(run.config, budget=Budget(unit="steps", amount=10.0)))
    with pytest.warns(UserWarning, match=r"by 2 process.* continues with 1. .* rounded in another order"):
        assert len(list(train(longer, digits()))) == 2


@pytest.mark.slow
def test_processes_agree_on_the_pieces_of_the_one_with_the_least_memory(tmp_path):
    """One rank holds 10 images, and its part of a batch is 32: all ranks take four pieces, from the start."""
    wanted, run = begun(tmp_path / "wanted", 4, accumulate=4), begun(tmp_path / "run", 4)
    expected = [step.result.loss.item() for step in train(wanted, digits())]
    for found in launch(run.path, 2, "10"):
        np.testing.assert_allclose(found["losses"], expected, rtol=0, atol=1e-5)
    assert Run.open(run.path).config.accumulate == 4


# --- without any second process -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "accumulate"),
    [((), 64), *itertools.product([(), (LOSS_AWARE,), MORE_NOISES], [2, 3])],
)
def test_gradient_accumulation_makes_the_same_step(tmp_path, changes, accumulate):
    """Gradients that are added up are the gradients of the sum, also where the pieces are not equal."""
    whole = begun(tmp_path / "whole", 4, *changes)
    pieces = begun(tmp_path / "pieces", 4, *changes, accumulate=accumulate)
    gradients = [gradients_of_a_step(run) for run in (whole, pieces)]
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], gradient, rtol=0, atol=1e-6, msg=name)
    found = [[step.result for step in train(run, digits())] for run in (whole, pieces)]
    for left, right in zip(*found, strict=True):
        torch.testing.assert_close(torch.stack([*left[:3]]), torch.stack([*right[:3]]), rtol=0, atol=1e-5)
        torch.testing.assert_close(left.gradient_norm, right.gradient_norm, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("levels", [LossAware(4, 2), None])
def test_each_part_of_a_batch_has_its_part_of_the_random_numbers(tmp_path, levels):
    run = begun(tmp_path / "run", 1, 'noise_levels={"kind": "LogNormal"}', "offset_noise=0.2")
    denoiser, images = run.config.denoiser(), torch.rand(12, 1, 8, 8)
    noising, chosen = Noising(offset_noise=0.2), levels or run.config.recipe.noise_levels

    def drawn(some, part):
        generator = torch.Generator().manual_seed(3)
        more = {"training": True, "part": part}
        return noising.draw(some, None, chosen, denoiser.schedule, denoiser.abilities, generator, **more)

    whole = drawn(images, None)
    parts = [drawn(images[first : first + 4], BatchPart(first, 12)) for first in (0, 4, 8)]
    for field in ("noises", "noise_rates", "signal_rates"):
        assert torch.equal(torch.cat([getattr(part, field) for part in parts]), getattr(whole, field))


def test_parts_of_the_sample_sheet_equal_the_whole(tmp_path):
    run = begun(tmp_path / "run", 2)
    list(train(run, digits()))
    diffusion = run.load()
    sheet = draw_samples(diffusion, run.config, range(36))
    parts = [draw_samples(diffusion, run.config, range(first, first + 18)) for first in (0, 18)]
    torch.testing.assert_close(torch.cat(parts), sheet, rtol=0, atol=1e-5)


def test_more_pieces_than_pictures_are_refused(tmp_path):
    with pytest.raises(UnnoiseError, match="into 1 to 64 pieces, but accumulate is 65"):
        begun(tmp_path / "run", 1, accumulate=65)


@pytest.mark.slow
def test_a_launcher_that_starts_only_one_of_two_processes_is_warned_of(tmp_path):
    """`accelerate launch --cpu --num_processes 2` starts one process, silently."""
    command = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "-m", "unnoise"]
    arguments = ["train", "digits", "--out", str(tmp_path / "run"), "--steps", "1", "--batch-size", "4"]
    done = subprocess.run(
        [sys.executable, *command, *arguments],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stderr.split())
    assert "Only one process trains: `accelerate launch --cpu` ignores --num_processes" in told
    assert "torchrun --nproc_per_node 2 -m unnoise train" in done.stderr
    assert done.stdout.count("run: ") == 1
