"""A residual block changes a picture a little: it adds what its convolutions compute to what came in."""

import torch
from torch import nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, NextFeatures
from unnoise.networks.embeddings import Embeddings, Modulate, Modulation
from unnoise.networks.norms import Normalization, normalization


class BookBlock(nn.Module):
    """The block of Generative Deep Learning, chapter 8: norm, conv, swish, conv, and no activation at the end.

    A 1x1 convolution carries the input across where the width changes. Dropout, if any, before the second
    3x3 convolution, as in every block of ours.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        norm: Normalization,
        embedding_dim: int,
        modulation: Modulation,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if in_width == width else nn.Conv2d(in_width, width, 1)
        self.norm = normalization(norm, in_width)
        self.first = nn.Conv2d(in_width, width, 3, padding=1)
        self.modulate = Modulate(modulation, embedding_dim, width) if embedding_dim else None
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, images: Features, embedding: Embeddings | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W); the embedding, if any, enters between the convolutions."""
        hidden = self.first(self.norm(images))
        if self.modulate is not None and embedding is not None:
            hidden = self.modulate(hidden, embedding)
        return torch.add(self.shortcut(images), self.second(self.dropout(functional.silu(hidden))))


class ResidualBlock(nn.Module):
    """The pre-activation block (1603.05027): norm, SiLU, conv, the noise level, norm, SiLU, conv.

    With `add` the noise level enters between the convolutions, before the second norm; with `scale_shift`
    after it, as its gain and shift. The second convolution starts at zero: an untrained block passes its
    input through.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        norm: Normalization,
        embedding_dim: int,
        modulation: Modulation,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if in_width == width else nn.Conv2d(in_width, width, 1)
        self.first_norm = normalization(norm, in_width)
        self.first = nn.Conv2d(in_width, width, 3, padding=1)
        self.modulate = Modulate(modulation, embedding_dim, width) if embedding_dim else None
        self.second_norm = normalization(norm, width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.second = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, images: Features, embedding: Embeddings | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W)."""
        hidden = self.first(functional.silu(self.first_norm(images)))
        if self.modulate is None or embedding is None:
            hidden = self.second_norm(hidden)
        elif self.modulate.kind == "add":
            hidden = self.second_norm(self.modulate(hidden, embedding))
        else:
            hidden = self.modulate(self.second_norm(hidden), embedding)
        return torch.add(self.shortcut(images), self.second(self.dropout(functional.silu(hidden))))
