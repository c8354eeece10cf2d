"""Losses and gradients are asked whether they are finite when they are read anyway: each time on a CPU."""

import math
from collections.abc import Sequence

import torch

from unnoise.diffusion.diffusion import StepResult
from unnoise.training.guards.faults import Fault


def found_now(result: StepResult) -> bool:
    """Whether a step is known to have failed without waiting for a device."""
    norm = result.gradient_norm
    return norm is not None and norm.device.type == "cpu" and not math.isfinite(norm)


def require_finite(results: Sequence[StepResult], last_step: int) -> None:
    """Raises the `Fault` of the first of these steps whose loss or gradient was not finite, if there is one."""
    losses = torch.stack([result.loss for result in results]).float()
    norms = torch.stack([_norm(result).to(losses) for result in results])
    for place, (loss, norm) in enumerate(torch.stack([losses, norms], 1).tolist()):
        step = last_step - len(results) + 1 + place
        if not math.isfinite(loss):
            raise Fault("non-finite loss", f"The loss became {loss}", step=step, good=step - 1)
        if not math.isfinite(norm):
            raise Fault("non-finite gradient", f"The gradient became {norm}", step=step, good=step - 1)


def _norm(result: StepResult) -> torch.Tensor:
    return result.loss if result.gradient_norm is None else result.gradient_norm
