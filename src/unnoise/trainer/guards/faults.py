"""Faults of a training run, and the check that losses and gradients are finite."""

import math
from collections.abc import Sequence
from typing import Literal

import torch

from unnoise.diffusion.diffusion import StepResult
from unnoise.utils.errors import UnnoiseError

FaultKind = Literal[
    "non-finite loss",
    "non-finite gradient",
    "non-finite weights",
    "loss spike",
    "collapsed samples",
    "colour shift",
]


class Fault(UnnoiseError):  # noqa: N818
    """Fault in a training run; an error like any other where no guard handles it.

    Args:
        kind: which kind of fault.
        cause: what was found, as the beginning of a sentence.
        step: at which it was found.
        last_good_step: states saved until then can be trusted; None if the fault was there from the start, so
            that it can only be reported.
    """

    def __init__(self, kind: FaultKind, cause: str, *, step: int, last_good_step: int | None) -> None:
        super().__init__(
            f"{cause} at step {step}. Continue from the last saved state with --resume, or train again with a "
            "lower learning rate or in float32."
        )
        self.kind = kind
        self.cause = cause
        self.step = step
        self.last_good_step = last_good_step

    @property
    def is_non_finite(self) -> bool:
        """Whether a number was not finite, which may come from low precision."""
        return self.kind.startswith("non-finite")


def known_to_have_failed(result: StepResult) -> bool:
    """Whether a step is known to have failed, without waiting for a device: on a CPU only."""
    norm = result.gradient_norm
    return norm is not None and norm.device.type == "cpu" and not math.isfinite(norm)


def require_finite(results: Sequence[StepResult], last_step: int) -> None:
    """Raises the `Fault` of the first of these steps whose loss or gradient is not finite, if there is one.

    Args:
        results: of consecutive steps.
        last_step: the step of the last one.
    """
    losses = torch.stack([result.loss for result in results]).float()
    norms = torch.stack([_norm(result).to(losses) for result in results])
    for place, (loss, norm) in enumerate(torch.stack([losses, norms], 1).tolist()):
        step = last_step - len(results) + 1 + place
        steps = {"step": step, "last_good_step": step - 1}
        if not math.isfinite(loss):
            raise Fault("non-finite loss", f"The loss became {loss}", **steps)
        if not math.isfinite(norm):
            raise Fault(
                "non-finite gradient", f"The gradient became {norm}", step=step, last_good_step=step - 1
            )


def _norm(result: StepResult) -> torch.Tensor:
    return result.loss if result.gradient_norm is None else result.gradient_norm
