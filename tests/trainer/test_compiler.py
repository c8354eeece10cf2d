"""Compilation where it pays: by the time of a step, the rest of the budget and the measured gain."""

import pytest
import torch
from torch import nn

from helpers.fake_extractors import Clock
from helpers.runs import cache, digits, start  # noqa: F401 (a fixture)
from unnoise.data.batches import Batches, split
from unnoise.networks import UNet
from unnoise.runs.checkpoint import Progress
from unnoise.runs.config import Budget
from unnoise.trainer.accumulation import Accumulation
from unnoise.trainer.compiler import (
    EXPECTED_GAIN,
    Rehearsal,
    TrainingCompiler,
    compile_seconds,
    steps_left,
)
from unnoise.trainer.loop import train

pytestmark = pytest.mark.usefixtures("cache")


class Machine:
    """A clock that calls of the network move on, and a compiler that makes them take other times."""

    def __init__(self, patches: pytest.MonkeyPatch, *, eager: float, compiled: float, compiling: float) -> None:
        self.clock, self.compilations = Clock(), 0
        forward, machine = UNet.forward, self

        def timed(network: nn.Module, *given: object, **more: object) -> object:
            self.clock.now += eager
            return forward(network, *given, **more)

        class Compiled(nn.Module):
            def __init__(self, network: nn.Module) -> None:
                super().__init__()
                self.network = network
                machine.clock.now += compiling
                machine.compilations += 1

            def forward(self, *given: object, **more: object) -> object:
                machine.clock.now += compiled - eager
                return self.network(*given, **more)

        patches.setattr(UNet, "forward", timed)
        patches.setattr(torch, "compile", Compiled)


def decided(folder, machine: Machine, budget: Budget, choice="auto", device="cuda", seconds: float = 0.0):
    """The rehearsal, what was told, and the seconds that count."""
    config, images, heard = start(folder / "run").config, digits(), []
    batches = Batches(images, split(len(images), 0, 0).training, config.recipe.batch_size, 0)
    rehearsal = Rehearsal(config.build(), batches, Accumulation(), machine.clock)
    compiler = TrainingCompiler(choice, device, heard.append)
    taken = compiler(rehearsal, budget, Progress(seconds=seconds))
    return rehearsal, heard, taken, compiler


def is_compiled(rehearsal: Rehearsal) -> bool:
    return not isinstance(rehearsal.diffusion.denoiser.network, UNet)


HOUR = Budget(unit="minutes", amount=60)


def test_a_long_budget_on_cuda_compiles_and_says_what_it_gained(tmp_path, monkeypatch):
    machine = Machine(monkeypatch, eager=0.1, compiled=0.06, compiling=30)
    rehearsal, heard, taken, _ = decided(tmp_path, machine, HOUR)
    assert is_compiled(rehearsal)
    assert [sentence.partition(",")[0] for sentence in heard] == [
        "Compiling the network",
        "Compiled in 30 s: forward and backward pass take 60.0 ms instead of 100.0.",
    ]
    assert taken == pytest.approx(30 + 8 * 0.1 + 9 * 0.06)  # of the budget: the compiler and all passes


def test_a_compiled_network_that_is_not_faster_is_left_out(tmp_path, monkeypatch):
    machine = Machine(monkeypatch, eager=0.1, compiled=0.1, compiling=30)
    rehearsal, heard, taken, compiler = decided(tmp_path, machine, HOUR)
    assert not is_compiled(rehearsal)
    assert heard[-1].endswith("take 100.0 ms instead of 100.0: training goes on without.")
    assert taken > 30
    assert compiler(rehearsal, HOUR, Progress()) == 0  # nor is it tried again, after a rollback
    assert machine.compilations == 1


@pytest.mark.parametrize("choice", [("minutes", 60.0, 3590.0), ("minutes", 1.0, 0.0), ("steps", 300.0, 0.0)])
def test_a_short_rest_of_the_budget_does_not_compile(tmp_path, monkeypatch, choice):
    unit, amount, seconds = choice
    machine = Machine(monkeypatch, eager=0.1, compiled=0.01, compiling=30)
    rehearsal, heard, taken, _ = decided(tmp_path, machine, Budget(unit=unit, amount=amount), seconds=seconds)
    assert not is_compiled(rehearsal)
    assert machine.compilations == 0
    (sentence,) = heard
    assert sentence.startswith("Not compiled: that might take ")
    assert taken < 1


@pytest.mark.parametrize(("choice", "device"), [("auto", "cpu"), ("auto", "mps"), ("never", "cuda")])
def test_elsewhere_nothing_is_measured_or_compiled(tmp_path, monkeypatch, choice, device):
    machine = Machine(monkeypatch, eager=0.1, compiled=0.01, compiling=1)
    rehearsal, heard, taken, _ = decided(tmp_path, machine, HOUR, choice, device)
    assert (is_compiled(rehearsal), heard, taken) == (False, [], 0)
    assert machine.clock.now == Clock.now


def test_what_was_asked_for_is_compiled_outside_of_the_budget(tmp_path, monkeypatch):
    machine = Machine(monkeypatch, eager=0.1, compiled=0.2, compiling=30)
    rehearsal, heard, taken, _ = decided(tmp_path, machine, Budget(unit="steps", amount=1), "always", "cpu")
    assert is_compiled(rehearsal)
    assert taken == 0
    assert "On CPUs compiled training was slower" in heard[0]
    assert len(heard) == 2


def test_the_expected_gain_has_to_exceed_the_expected_time(tmp_path, monkeypatch):
    """The border: steps left * seconds of a step * expected gain = seconds of compiling."""
    network = start(tmp_path / "other").config.build().network
    border = compile_seconds(network) / EXPECTED_GAIN / 0.1
    for share, wanted in ((0.99, 0), (1.01, 1)):
        with monkeypatch.context() as patches:
            machine = Machine(patches, eager=0.1, compiled=0.05, compiling=1)
            decided(tmp_path / str(share), machine, Budget(unit="steps", amount=share * border))
            assert machine.compilations == wanted


def test_larger_networks_are_expected_to_take_longer():
    small, large = UNet(1, (8, 16), 1), UNet(1, (8, 16), 4)
    assert compile_seconds(small) < compile_seconds(large)


@pytest.mark.parametrize(
    ("unit", "amount", "wanted"), [("steps", 50, 40), ("images", 800, 40), ("minutes", 1, 100), ("steps", 5, 0)]
)
def test_the_steps_that_a_budget_leaves(unit, amount, wanted):
    progress = Progress(step=10, images=160, seconds=10.0)
    assert steps_left(Budget(unit=unit, amount=amount), progress, 0.5, 16) == wanted


def test_the_time_counts_in_a_budget_of_minutes(tmp_path, monkeypatch):
    """A run that spends 30 s on compiling has 30 s less to train."""
    machine = Machine(monkeypatch, eager=0.1, compiled=0.06, compiling=30)
    run = start(tmp_path / "run", 2)
    compiler = TrainingCompiler("auto", "cuda")
    real = Rehearsal.__init__
    monkeypatch.setattr(Rehearsal, "__init__", lambda *given: real(*given, clock=machine.clock))
    monkeypatch.setattr("unnoise.trainer.compiler.EXPECTED_GAIN", 1e6)
    (first, *_) = train(run, digits(), compiler=compiler)
    assert first.progress.seconds > 30
