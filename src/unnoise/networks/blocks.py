"""A residual block changes a picture a little: it adds what its convolutions compute to what came in."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.tensors import Features, NextFeatures

Normalization = Literal["group", "batch"]
Modulation = Literal["add", "scale_shift"]


def normalization(kind: Normalization, width: int, *, affine: bool = True) -> nn.Module:
    """GroupNorm in 8 groups (1803.08494), or the book's BatchNorm without gain and bias.

    Keras and PyTorch count momentum from opposite ends: Keras's 0.99 is 0.01 here. A width that 8 does not
    divide takes the largest number of groups that both share.
    """
    if kind == "batch":
        return nn.BatchNorm2d(width, affine=False, momentum=0.01, eps=1e-3)
    return nn.GroupNorm(math.gcd(8, width), width, affine=affine)


class Modulate(nn.Module):
    """Tells a block the noise level: one shift, or one gain and one shift, for each channel.

    `add`: x + W e (DDPM). `scale_shift`: x (1 + W_1 e) + W_2 e (2105.05233, section 3; FiLM).
    W starts at zero for `scale_shift`: untrained, it changes nothing.
    """

    def __init__(self, kind: Modulation, embedding_dim: int, width: int) -> None:
        super().__init__()
        self.kind = kind
        self.project = nn.Linear(embedding_dim, width if kind == "add" else 2 * width)
        if kind == "scale_shift":
            nn.init.zeros_(self.project.weight)
            nn.init.zeros_(self.project.bias)

    def forward(self, images: Features, embedding: Float[Tensor, "batch dimensions"]) -> Features:
        """(B, width, H, W) with (B, embedding_dim) -> (B, width, H, W)."""
        values = self.project(embedding)[:, :, None, None]
        if self.kind == "add":
            return torch.add(images, values)
        scale, shift = values.chunk(2, dim=1)
        return torch.addcmul(images + shift, images, scale)


class BookBlock(nn.Module):
    """The block of Generative Deep Learning, chapter 8: norm, conv, swish, conv, and no activation at the end.

    A 1x1 convolution carries the input across where the width changes.
    """

    def __init__(
        self, in_width: int, width: int, norm: Normalization, embedding_dim: int, modulation: Modulation
    ) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if in_width == width else nn.Conv2d(in_width, width, 1)
        self.norm = normalization(norm, in_width)
        self.first = nn.Conv2d(in_width, width, 3, padding=1)
        self.modulate = Modulate(modulation, embedding_dim, width) if embedding_dim else None
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, images: Features, embedding: Float[Tensor, "batch dimensions"] | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W); the embedding, if any, enters between the convolutions."""
        hidden = self.first(self.norm(images))
        if self.modulate is not None and embedding is not None:
            hidden = self.modulate(hidden, embedding)
        return torch.add(self.shortcut(images), self.second(functional.silu(hidden)))


class ResidualBlock(nn.Module):
    """The pre-activation block (1603.05027): norm, SiLU, conv, the noise level, norm, SiLU, conv.

    With `add` the noise level enters between the convolutions, before the second norm; with `scale_shift`
    after it, as its gain and shift. The second convolution starts at zero: an untrained block passes its
    input through.
    """

    def __init__(
        self, in_width: int, width: int, norm: Normalization, embedding_dim: int, modulation: Modulation
    ) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if in_width == width else nn.Conv2d(in_width, width, 1)
        self.first_norm = normalization(norm, in_width)
        self.first = nn.Conv2d(in_width, width, 3, padding=1)
        self.modulate = Modulate(modulation, embedding_dim, width) if embedding_dim else None
        self.second_norm = normalization(norm, width)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, images: Features, embedding: Float[Tensor, "batch dimensions"] | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W)."""
        hidden = self.first(functional.silu(self.first_norm(images)))
        if self.modulate is None or embedding is None:
            hidden = self.second_norm(hidden)
        elif self.modulate.kind == "add":
            hidden = self.second_norm(self.modulate(hidden, embedding))
        else:
            hidden = self.modulate(self.second_norm(hidden), embedding)
        return torch.add(self.shortcut(images), self.second(functional.silu(hidden)))
