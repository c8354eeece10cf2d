"""Residual blocks of the U-Net: the block of Generative Deep Learning and the pre-activation block."""

from torch import nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, NextFeatures
from unnoise.networks.embeddings import Embeddings, Modulate, Modulation
from unnoise.networks.normed_silu import normed_silu
from unnoise.networks.norms import Normalization, normalization
from unnoise.networks.residual import residual_sum


class BookBlock(nn.Module):
    """Residual block of Generative Deep Learning, chapter 8: norm, conv, swish, conv, no activation at the end.

    The shortcut is a 1x1 convolution where the width changes. Dropout, if any, comes before the second 3x3
    convolution, as in all blocks here.
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
        """(B, in_width, H, W) -> (B, width, H, W); an embedding enters between the convolutions."""
        hidden = self.first(self.norm(images))
        if self.modulate is not None and embedding is not None:
            hidden = self.modulate(hidden, embedding)
        hidden = self.second(self.dropout(functional.silu(hidden)))
        return residual_sum(self.shortcut(images), hidden)


class ResidualBlock(nn.Module):
    """Pre-activation residual block (1603.05027): norm, SiLU, conv, norm, SiLU, conv.

    The noise level enters before the second norm with `add`, and after it, as its gain and shift, with
    `scale_shift`. The weights of the second convolution start at zero.
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
        hidden = self.first(normed_silu(self.first_norm, images))
        modulate = self.modulate
        if modulate is not None and modulate.kind == "add" and embedding is not None:
            hidden, modulate = modulate(hidden, embedding), None
        hidden = normed_silu(self.second_norm, hidden, modulate, embedding)
        hidden = self.second(self.dropout(hidden))
        return residual_sum(self.shortcut(images), hidden)
