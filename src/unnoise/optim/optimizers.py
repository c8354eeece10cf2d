"""Optimisers, and the learning-rate schedule over the budget of a run."""

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from unnoise.optim.muon import Muon
from unnoise.optim.weight_roles import MuonWeights, muon_weights
from unnoise.utils.errors import require


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Settings of the optimiser: AdamW (1711.05101), Adam (1412.6980), RMSprop, or Muon with AdamW.

    Args:
        name: AdamW and Muon decouple the weight decay; Adam and RMSprop add it to the gradient. Muon moves
            the matrices of hidden layers, and AdamW the other weights.
        muon: which weights Muon moves; see `weight_roles`.
        learning_rate: the highest, after the warm-up.
        weight_decay: 1e-4 in the Keras example, where it prevents divergence.
        betas: of Adam and AdamW; RMSprop takes the second as its smoothing constant.
        max_gradient_norm: gradients are clipped to this norm; None for no clipping.
        warmup: fraction of the budget in which the learning rate rises from 0.
        decay: how it falls to 0 by the end of the budget; `constant` does not.

    Raises:
        UnnoiseError: for values outside their range.
    """

    name: Literal["adamw", "adam", "rmsprop", "muon"] = "adamw"
    muon: MuonWeights = "hidden"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    betas: tuple[float, float] = (0.9, 0.999)
    max_gradient_norm: float | None = None
    warmup: float = 0.0
    decay: Literal["constant", "linear", "cosine"] = "constant"

    def __post_init__(self) -> None:
        require(
            self.learning_rate > 0, f"The learning rate is above 0, but got {self.learning_rate}. Try 1e-3."
        )
        require(
            all(0 <= beta < 1 for beta in self.betas),
            f"betas are from 0 to below 1, but got {self.betas}. Try 0.9 and 0.999.",
        )
        require(self.weight_decay >= 0, f"The weight decay is at least 0, but got {self.weight_decay}. Try 0.")
        require(
            self.max_gradient_norm is None or self.max_gradient_norm > 0,
            f"max_gradient_norm is above 0, or null for no clipping, but got {self.max_gradient_norm}. Try 1.",
        )
        require(
            0 <= self.warmup < 1,
            f"warmup is a fraction of the budget from 0 to below 1, but got {self.warmup}. Try 0.02.",
        )

    def build(self, network: nn.Module) -> torch.optim.Optimizer:
        """Builds the optimiser of a network's weights, with fused kernels where the device has them."""
        chosen = [parameter for parameter in network.parameters() if parameter.requires_grad]
        fused = all(parameter.device.type in ("cpu", "cuda") for parameter in chosen)
        rate, weight_decay = self.learning_rate, self.weight_decay
        match self.name:
            case "adamw":
                return torch.optim.AdamW(chosen, rate, betas=self.betas, weight_decay=weight_decay, fused=fused)
            case "adam":
                return torch.optim.Adam(chosen, rate, betas=self.betas, weight_decay=weight_decay, fused=fused)
            case "rmsprop":
                return torch.optim.RMSprop(chosen, rate, alpha=self.betas[1], weight_decay=weight_decay)
            case "muon":
                matrices = [weight for weight in muon_weights(network, self.muon) if weight.requires_grad]
                moved = set(map(id, matrices))
                others = [parameter for parameter in chosen if id(parameter) not in moved]
                return Muon(matrices, others, rate, betas=self.betas, weight_decay=weight_decay, fused=fused)

    def learning_rate_at(self, spent: float) -> float:
        """The learning rate when this fraction (0 to 1) of the budget is spent."""
        rise = min(1.0, max(0.01, spent / self.warmup)) if self.warmup else 1.0  # the first step moves, too
        left = 1 - min(1.0, max(0.0, (spent - self.warmup) / (1 - self.warmup)))
        fall = {"constant": 1.0, "linear": left, "cosine": (1 - math.cos(math.pi * left)) / 2}[self.decay]
        return self.learning_rate * rise * fall
