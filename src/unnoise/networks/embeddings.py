"""One number becomes a vector in which near and far values are both easy to tell apart."""

import math
from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Rates
from unnoise.utils.errors import require

Embeddings: TypeAlias = Float[Tensor, "batch dimensions"]


class SinusoidalEmbedding(nn.Module):
    r"""[sin(2 pi f_i x), cos(2 pi f_i x)] at frequencies in geometric progression (Attention, 1706.03762, 3.5).

        f_i = min_frequency (max_frequency / min_frequency)^(i / (dimensions / 2 - 1))

    The lowest frequency should be 1 / (the range of x); the highest sets the finest difference that is seen.
    Always computed in float32: in half precision 2 pi 1000 x has no correct digit left.

    Args:
        dimensions: length of the vector, even and at least 4; its squared norm is always dimensions / 2.
    """

    frequencies: Tensor

    def __init__(self, dimensions: int = 32, min_frequency: float = 1.0, max_frequency: float = 1000.0) -> None:
        super().__init__()
        self.dimensions = dimensions
        logs = torch.linspace(
            math.log(min_frequency), math.log(max_frequency), dimensions // 2, dtype=torch.float64
        )
        self.register_buffer("frequencies", (2 * math.pi * logs.exp()).float(), persistent=False)

    def forward(self, values: Rates) -> Embeddings:
        """(B, 1, 1, 1) -> (B, dimensions), float32, the sines first."""
        return _sinusoids(values, self.frequencies)


class TimestepEmbedding(nn.Module):
    r"""[sin(w_i t), cos(w_i t)] of the step index t = 0, 1, ... (2006.11239, after 1706.03762, 3.5).

        w_i = 10000^(-i / (dimensions / 2 - 1))

    From one radian a step to 10^-4: made for some thousand steps, and nearly constant for numbers in [0, 1].

    Raises:
        UnnoiseError: unless dimensions is even and at least 4 (at 2 the exponent would be 0 / 0).
    """

    frequencies: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        require(
            dimensions >= 4 and dimensions % 2 == 0,
            f"An embedding of time steps has an even number of dimensions, at least 4, but got {dimensions}.",
        )
        self.dimensions = dimensions
        exponents = torch.linspace(0, 1, dimensions // 2, dtype=torch.float64)
        self.register_buffer("frequencies", (10_000.0**-exponents).float(), persistent=False)

    def forward(self, values: Rates) -> Embeddings:
        """(B, 1, 1, 1) step indices as floats -> (B, dimensions), float32, the sines first."""
        return _sinusoids(values, self.frequencies)


def _sinusoids(values: Rates, frequencies: Float[Tensor, " half"]) -> Embeddings:
    with torch.autocast(values.device.type, enabled=False):
        angles = values.reshape(-1, 1).float() * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)
