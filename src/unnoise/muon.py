r"""A matrix learns fastest when its update turns all directions equally; Muon makes it so.

    M <- m M + (1 - m) G,    U = orthogonal((1 - m) G + m M),    W <- (1 - lr wd) W - lr 0.2 sqrt(max(U)) U

`orthogonal` replaces the singular values by about 1 (Muon, K. Jordan 2024; the scale 0.2 sqrt(larger side)
gives updates as long as AdamW's, so that learning rates carry over: 2502.16982, eq. 4). A convolution is the
matrix (out, in * height * width).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

_ODD_POLYNOMIAL = (3.4445, -4.7750, 2.0315)
"""a x + b x^3 + c x^5, steep at 0: five times over, it takes all of (0.01, 1] to between 0.7 and 1.2."""


def orthogonalize(matrix: Float[Tensor, "rows columns"], steps: int = 5) -> Float[Tensor, "rows columns"]:
    """U diag(about 1) V^T for U diag(s) V^T, by Newton-Schulz steps: products of matrices alone."""
    wide = matrix.T if matrix.shape[0] > matrix.shape[1] else matrix
    wide = wide / (wide.norm() + 1e-7)
    first, second, third = _ODD_POLYNOMIAL
    for _ in range(steps):
        square = wide @ wide.T
        polynomial = torch.addmm(square, square, square, beta=second, alpha=third)
        wide = torch.addmm(wide, polynomial, wide, beta=first)
    return wide.T if matrix.shape[0] > matrix.shape[1] else wide


def is_matrix(parameter: Tensor) -> bool:
    """Whether Muon takes it: at least 16 rows and columns, which leaves heads and depthwise filters out."""
    return parameter.ndim >= 2 and min(len(parameter), parameter[0].numel()) >= 16 and parameter.shape[1] > 1


class Muon(torch.optim.Optimizer):
    """Muon for the matrices, AdamW for all else (biases, gains, heads), with one learning rate for both."""

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        learning_rate: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        fused: bool = False,
    ) -> None:
        chosen = list(parameters)
        matrices = [parameter for parameter in chosen if is_matrix(parameter)]
        others = [parameter for parameter in chosen if not is_matrix(parameter)]
        self._adamw = torch.optim.AdamW(
            [{"params": others}], learning_rate, betas, weight_decay=weight_decay, fused=fused
        )
        group = {"params": matrices, "momentum": momentum, "weight_decay": weight_decay}
        super().__init__([group, *self._adamw.param_groups], {"lr": learning_rate})

    @overload
    def step(self, closure: None = None) -> None: ...

    @overload
    def step(self, closure: Callable[[], float]) -> float: ...

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Moves every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        matrices, *others = self.param_groups
        for parameter in matrices["params"]:
            if parameter.grad is not None:
                self._turn(parameter, parameter.grad, matrices)
        # One memory for both, so that saving and loading this optimiser is saving and loading all of it.
        self._adamw.state, self._adamw.param_groups = self.state, others
        self._adamw.step()
        return loss

    def _turn(self, parameter: Tensor, gradient: Tensor, group: dict[str, Any]) -> None:
        memory = self.state[parameter]
        if not memory:
            memory["momentum"] = torch.zeros_like(parameter)
        average = memory["momentum"].lerp_(gradient, 1 - group["momentum"])
        update = orthogonalize(gradient.lerp(average, group["momentum"]).flatten(1))
        parameter.mul_(1 - group["lr"] * group["weight_decay"])
        length = 0.2 * math.sqrt(max(update.shape))
        parameter.add_(update.view(parameter.shape), alpha=-group["lr"] * length)
