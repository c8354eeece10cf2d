"""The noise level reaches a block as one shift, or one gain and one shift, for each channel."""

from typing import Literal

import torch
from torch import nn

from unnoise.diffusion.tensors import Features
from unnoise.networks.embeddings import Embeddings

Modulation = Literal["add", "scale_shift"]


class Modulate(nn.Module):
    """Tells a block the noise level: one shift, or one gain and one shift, for each channel.

    `add`: x + W e (DDPM). `scale_shift`: x (1 + W_1 e) + W_2 e (2105.05233, section 3; FiLM).
    W starts at zero for `scale_shift`: untrained, it changes nothing; `zero_start=False` starts it at random.
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
        values = self.project(embedding)[:, :, None, None]
        if self.kind == "add":
            return torch.add(images, values)
        scale, shift = values.chunk(2, dim=1)
        return torch.addcmul(shift, images, 1 + scale)
