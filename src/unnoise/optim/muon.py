r"""Muon optimiser (K. Jordan, 2024): orthogonalised momentum for matrices, AdamW for the other parameters.

    M <- m M + (1 - m) G,    U = orthogonal((1 - m) G + m M)
    W <- (1 - lr wd) W - lr 0.2 sqrt(max(rows, columns)) U

G is the gradient, M the momentum, W the matrix. `orthogonal` replaces the singular values by about 1: an update
is equally long in all directions. The scale 0.2 sqrt(larger side) makes updates as long as AdamW's, so that
learning rates carry over (2502.16982, eq. 4). A convolution is the matrix (out, in * height * width).
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""a x + b x^3 + c x^5, steep at 0: applied five times, it maps (0.01, 1] to between 0.7 and 1.2."""

_LARGE = 96
"""Fewest rows and columns of matrices that bfloat16 makes faster."""

Matrices: TypeAlias = Float[Tensor, "*batch rows columns"]
Wide: TypeAlias = Float[Tensor, "batch rows columns"]


def orthogonalize(matrices: Matrices, steps: int = 5, *, half: bool = False) -> Matrices:
    r"""Orthogonalises U diag(s) V^T to U diag(about 1) V^T by Newton-Schulz steps, which are matrix products.

        X <- P X,    P = a + b G + c G^2,    G = X X^T

    All P commute with G, so that G <- P^2 G, and a wide X is multiplied once, by the product of all P: the
    matrix of a convolution is nine times as wide as high, and G is small. In bfloat16, with `half`, and in
    TF32 rounding makes eigenvalues of G negative, and the steps would let them grow: there X and with it G is
    formed again every second step.

    Args:
        matrices: (..., rows, columns).
        steps: 5, as published.
        half: computes in bfloat16, as published; the result is in the precision of `matrices`.
    """
    tall = matrices.shape[-2] > matrices.shape[-1]
    wide = matrices.mT if tall else matrices
    wide = wide / (wide.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    wide = wide.bfloat16() if half else wide
    stacked = wide.reshape(-1, *wide.shape[-2:])
    rounded = half or (matrices.is_cuda and torch.get_float32_matmul_precision() != "highest")
    at_once = 1 if wide.shape[-1] <= 2 * wide.shape[-2] else 2 if rounded else steps
    for count in (steps % at_once, *[at_once] * (steps // at_once)):
        stacked = _newton_schulz(stacked, count) if count else stacked
    result: Tensor = stacked.reshape(wide.shape).to(matrices.dtype)
    return result.mT if tall else result


def _newton_schulz(
    wide: Float[Tensor, "batch rows columns"], steps: int
) -> Float[Tensor, "batch rows columns"]:
    """So many steps that multiply the matrices once."""
    first, second, third = _COEFFICIENTS
    square, product = wide @ wide.mT, None
    for left in reversed(range(steps)):
        polynomial = torch.baddbmm(square, square, square, beta=second, alpha=third)
        if steps == 1:
            return torch.baddbmm(wide, polynomial, wide, beta=first)
        polynomial.diagonal(dim1=-2, dim2=-1).add_(first)
        product = polynomial if product is None else polynomial @ product
        square = polynomial @ (polynomial @ square) if left else square
    return wide if product is None else product @ wide


class Muon(torch.optim.Optimizer):
    """Muon for matrices and AdamW for all other parameters, with one learning rate for both.

    Args:
        matrices: parameters of two or more dimensions; see `weight_roles`.
        others: parameters that AdamW moves.
        learning_rate, momentum, betas, weight_decay: the last for both.
        fused: of AdamW.

    Attributes:
        half: whether large matrices are orthogonalised in bfloat16, for a network that computes in it.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        learning_rate: float,
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        fused: bool = False,
    ) -> None:
        self._adamw = torch.optim.AdamW(
            [{"params": list(others)}], learning_rate, betas, weight_decay=weight_decay, fused=fused
        )
        self.half = False
        group = {"params": list(matrices), "momentum": momentum, "weight_decay": weight_decay}
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
        self._orthogonal_step(
            [parameter for parameter in matrices["params"] if parameter.grad is not None], matrices
        )
        # Both share one state, so that saving and loading this optimiser includes AdamW.
        self._adamw.state, self._adamw.param_groups = self.state, others
        self._adamw.step()
        return loss

    def _orthogonal_step(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        """Moves the matrices, those of one shape together, for single products are small."""
        if not parameters:
            return
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum"] = torch.zeros_like(parameter)
        averages = [self.state[parameter]["momentum"] for parameter in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - group["momentum"])
        ahead = torch._foreach_lerp(gradients, averages, group["momentum"])
        torch._foreach_mul_([*parameters], 1 - group["lr"] * group["weight_decay"])
        alike: dict[torch.Size, list[int]] = {}
        for place, update in enumerate(ahead):
            alike.setdefault(_channels_last(update).shape, []).append(place)
        for places in alike.values():
            stacked = torch.stack([_channels_last(ahead[place]).flatten(1) for place in places])
            updates = orthogonalize(stacked, half=self.half and min(stacked.shape[1:]) >= _LARGE)
            length = 0.2 * math.sqrt(max(updates.shape[1:]))
            for place, update in zip(places, updates, strict=True):
                moved = _channels_last(parameters[place])
                moved.add_(update.view(moved.shape), alpha=-group["lr"] * length)


def _channels_last(weight: Tensor) -> Tensor:
    """A filter with its input channels last, as in memory; the order of columns does not matter to Muon."""
    return weight.permute(0, *range(2, weight.ndim), 1)
