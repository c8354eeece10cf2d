r"""Compilation of a run's network before it trains: where it was asked for, or pays within the budget.

    saved seconds = steps left * (seconds of an eager step - seconds of a compiled step)

On CUDA devices it is tried where that is expected to be more than compiling takes, and kept where steps did
become faster. What is measured is the forward and the backward pass; the rest of a step stays as it is.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import Literal, TypeAlias, TypeVar

import torch

from unnoise.data.batches import Batches
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Progress
from unnoise.runs.compiling import compile_training, rehearse
from unnoise.runs.config import Budget
from unnoise.trainer.accumulation import Accumulation
from unnoise.utils.device_speed import synchronize

Result = TypeVar("Result")

CompileChoice: TypeAlias = Literal["auto", "always", "never"]

EXPECTED_GAIN = 0.2
"""Share of the time of a step that compiling is expected to save. A guess, until it is measured."""

_SECONDS, _SECONDS_PER_LAYER = 20.0, 0.4
"""Guess of the time that compiling takes, for any network and for each of its layers with weights."""

_WARM_UP, _TIMED = 3, 5
"""Passes before those that are timed, and the number of these."""


@dataclass(frozen=True)
class Rehearsal:
    """The forward and the backward pass of a run's steps, to be timed and compiled; nothing is learned.

    Args:
        diffusion, batches: of the run.
        accumulation: in how many pieces its steps go through the network.
        clock: seconds.
    """

    diffusion: Diffusion
    batches: Batches
    accumulation: Accumulation
    clock: Callable[[], float] = time.perf_counter

    def seconds(self) -> float:
        """Seconds of one step's two passes: the median of some, after some that plan and allocate."""
        taken = []
        for _ in range(_WARM_UP + _TIMED):
            began = self.clock()
            self._fit(rehearse)
            synchronize(self.diffusion.denoiser.device)
            taken.append(self.clock() - began)
        return median(taken[_WARM_UP:])

    def compile(self) -> float | None:
        """Compiles the network; returns the seconds that it took, or None where it failed, with a warning."""
        began = self.clock()
        return None if self._fit(compile_training) is None else self.clock() - began

    def _fit(self, work: Callable[..., Result]) -> Result:
        images, classes, part = self.batches[0], self.batches.classes(0), self.batches.part
        step = partial(work, self.diffusion, images, classes, part=part)
        return self.accumulation.fit(len(images), lambda pieces: step(accumulate=pieces))


@dataclass
class TrainingCompiler:
    """Compiles the network of a run before it trains, or decides not to.

    Args:
        choice: `always` compiles, and its time does not count towards the budget. `auto` compiles where that
            pays, and its time counts. `never` does not compile.
        device_type: of the device that trains; `auto` is `never` on others than cuda.
        tell: called with what was decided and measured, a sentence at a time.
    """

    choice: CompileChoice = "auto"
    device_type: str = "cpu"
    tell: Callable[[str], object] = lambda _: None
    _worth: bool = True

    def __call__(
        self,
        rehearsal: Rehearsal,
        budget: Budget,
        progress: Progress,
        agree: Callable[[float], float] = lambda number: number,
    ) -> float:
        """Compiles the network that learns, or not; returns the seconds that count towards the budget.

        Args:
            rehearsal: of the run's steps.
            budget, progress: what it may take, and how far it has come.
            agree: of several processes, makes one number of the number of each.
        """
        if self.choice == "always":
            self.tell(f"Compiling the network: this can take minutes the first time.{self._remark()}")
            seconds = rehearsal.compile()
            if seconds is not None:
                self.tell(
                    f"Compiled in {seconds:.0f} s, which do not count towards the budget; the next start "
                    "reuses it."
                )
        if self.choice != "auto" or self.device_type != "cuda" or not self._worth:
            return 0.0
        began = rehearsal.clock()
        self._worth = self._compile_where_it_pays(rehearsal, budget, progress, agree)
        return rehearsal.clock() - began

    def _remark(self) -> str:
        if self.device_type != "cpu":
            return ""
        return (
            " On CPUs compiled training was slower wherever it was measured: there --compile is meant for "
            "`unnoise generate`."
        )

    def _compile_where_it_pays(
        self, rehearsal: Rehearsal, budget: Budget, progress: Progress, agree: Callable[[float], float]
    ) -> bool:
        """Returns whether the network is compiled now."""
        denoiser = rehearsal.diffusion.denoiser
        network, expected = denoiser.network, compile_seconds(denoiser.network)
        eager = agree(rehearsal.seconds())
        left = agree(steps_left(budget, progress, eager, rehearsal.batches.batch_size)) * eager
        if left * EXPECTED_GAIN <= expected:
            self.tell(
                f"Not compiled: that might take {expected:,.0f} s, and save {left * EXPECTED_GAIN:,.0f} s in "
                "the rest of the budget. --compile compiles all the same."
            )
            return False
        self.tell(
            f"Compiling the network, which might take {expected:,.0f} s of the budget, and save "
            f"{left * EXPECTED_GAIN:,.0f} s. --no-compile leaves it out."
        )
        seconds = rehearsal.compile()
        faster = agree(eager if seconds is None else rehearsal.seconds())
        if seconds is None:
            return False
        change = f"forward and backward pass take {1e3 * faster:,.1f} ms instead of {1e3 * eager:,.1f}"
        if faster >= eager:
            denoiser.network = network
            self.tell(f"Compiled in {seconds:.0f} s, but {change}: training goes on without.")
            return False
        self.tell(f"Compiled in {seconds:.0f} s: {change}.")
        return True


def compile_seconds(network: torch.nn.Module) -> float:
    """A guess of how long it takes to compile a network, forward and backward."""
    layers = sum(1 for part in network.modules() if next(part.parameters(recurse=False), None) is not None)
    return _SECONDS + _SECONDS_PER_LAYER * layers


def steps_left(budget: Budget, progress: Progress, step_seconds: float, batch_size: int) -> float:
    """The number of steps that a budget leaves, at least 0."""
    left = {
        "steps": budget.amount - progress.step,
        "images": (budget.amount - progress.images) / batch_size,
        "minutes": (60 * budget.amount - progress.seconds) / max(step_seconds, 1e-9),
    }
    return max(0.0, left[budget.unit])
