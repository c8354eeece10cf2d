"""Sinusoidal embeddings of the noise level, and the layer that modulates features with them."""

import math
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Features, Rates
from unnoise.utils.errors import require

Embeddings: TypeAlias = Float[Tensor, "batch dimensions"]
Modulation = Literal["add", "scale_shift"]


class SinusoidalEmbedding(nn.Module):
    r"""Sinusoidal embedding of a number, with frequencies in geometric progression (after 1706.03762, 3.5).

        [sin(2 pi f_i x), cos(2 pi f_i x)]

        f_i = min_frequency (max_frequency / min_frequency)^(i / (dimensions / 2 - 1))

    The lowest frequency should be 1 / (the range of x); the highest one sets the smallest difference that can
    be told apart. Always computed in float32: in half precision 2 pi 1000 x has no correct digit.

    Args:
        dimensions: length of the vector, even and at least 4; its squared norm is always dimensions / 2.
        min_frequency, max_frequency: the lowest and the highest f_i.
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
    r"""Sinusoidal embedding of the step index t = 0, 1, ... of DDPM (2006.11239, after 1706.03762, 3.5).

        [sin(w_i t), cos(w_i t)],        w_i = 10000^(-i / (dimensions / 2 - 1))

    From one radian a step down to 10^-4: suits some thousand steps, and is nearly constant for t in [0, 1].

    Raises:
        UnnoiseError: `dimensions` is odd or below 4 (at 2 the exponent would be 0 / 0).
    """

    frequencies: Tensor

    def __init__(self, dimensions: int) -> None:
        super().__init__()
        require(
            dimensions >= 4 and dimensions % 2 == 0,
            f"TimestepEmbedding needs an even number of dimensions of at least 4, but got {dimensions}.",
        )
        self.dimensions = dimensions
        exponents = torch.linspace(0, 1, dimensions // 2, dtype=torch.float64)
        self.register_buffer("frequencies", (10_000.0**-exponents).float(), persistent=False)

    def forward(self, values: Rates) -> Embeddings:
        """Step indices as floats (B, 1, 1, 1) -> (B, dimensions), float32, the sines first."""
        return _sinusoids(values, self.frequencies)


def _sinusoids(values: Rates, frequencies: Float[Tensor, " half"]) -> Embeddings:
    with torch.autocast(values.device.type, enabled=False):
        angles = values.reshape(-1, 1).float() * frequencies
        return torch.cat([angles.sin(), angles.cos()], dim=1)


class StepLength(nn.Module):
    r"""Embedding of the length of a step, W (e(l) - e(0)), where W starts at zero; a step of length 0 adds 0.

    Args:
        dimensions: of the sinusoidal embedding e.
        width: of what is returned.
    """

    def __init__(self, dimensions: int, width: int) -> None:
        super().__init__()
        self.embed = SinusoidalEmbedding(dimensions, max_frequency=100.0)
        self.project = nn.Linear(dimensions, width, bias=False)

    def forward(self, lengths: Rates) -> Embeddings:
        """Lengths in [0, 1], (B, 1, 1, 1) -> (B, width)."""
        moved = self.embed(lengths) - self.embed(torch.zeros_like(lengths))
        embedded: Embeddings = self.project(moved.to(self.project.weight.dtype))
        return embedded


class Modulate(nn.Module):
    """Modulation of features by an embedding e: one shift, or one gain and one shift, for each channel.

    `add`: x + W e (DDPM, 2006.11239). `scale_shift`: x (1 + W_1 e) + W_2 e (FiLM, 1709.07871; 2105.05233,
        section 3).

    Args:
        kind: `add` or `scale_shift`.
        embedding_dim: dimension of e.
        width: channels of the features.
        zero_start: W starts at zero for `scale_shift`, so that the untrained layer returns its input.
    """

    def __init__(self, kind: Modulation, embedding_dim: int, width: int, *, zero_start: bool = True) -> None:
        super().__init__()
        self.kind = kind
        self.project = nn.Linear(embedding_dim, width if kind == "add" else 2 * width)
        if kind == "scale_shift" and zero_start:
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def forward(self, images: Features, embedding: Embeddings) -> Features:
        """(B, width, H, W) with (B, embedding_dim) -> (B, width, H, W)."""
        if self.kind == "add":
            return torch.add(images, self.project(embedding)[:, :, None, None])
        scale, shift = (each[:, :, None, None] for each in self.scale_shift(embedding))
        return torch.addcmul(shift, images, 1 + scale)

    def scale_shift(
        self, embedding: Embeddings
    ) -> tuple[Float[Tensor, "batch features"], Float[Tensor, "batch features"]]:
        """W_1 e and W_2 e of `scale_shift`, (B, width) each."""
        scale, shift = self.project(embedding).chunk(2, dim=1)
        return scale, shift
