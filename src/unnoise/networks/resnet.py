"""The ResNet block of the DDPM studies: convolution, norm and SiLU twice, and the noise level in the first."""

import torch
from torch import nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, NextFeatures
from unnoise.networks.convolutions import WeightStandardizedConv2d
from unnoise.networks.embeddings import Embeddings
from unnoise.networks.modulation import Modulate, Modulation
from unnoise.networks.norms import Normalization, normalization


class ResNetBlock(nn.Module):
    """Post-activation: [conv, norm, SiLU], [conv, norm, SiLU], added to the input (1512.03385).

        scale_shift:  h = SiLU(norm(conv x) (1 + W_1 e) + W_2 e)        (the later study, and lucidrains')
        add:          h = SiLU(norm(conv x)) + W e                      (the first study)
        x + SiLU(norm(conv h))

    A 1x1 convolution carries the input across where the width changes.

    Args:
        embedding_dim: of e, already activated; 0 for a block that is not told the noise level.
        groups: of its GroupNorms, where they are not BatchNorms.
        standardized: the weights of its 3x3 convolutions, see `WeightStandardizedConv2d`.
        zero_start: see `Modulate`.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        norm: Normalization,
        embedding_dim: int,
        modulation: Modulation,
        dropout: float = 0.0,
        *,
        groups: int = 8,
        standardized: bool = False,
        zero_start: bool = True,
    ) -> None:
        super().__init__()

        def convolution(before: int) -> nn.Module:
            return (
                WeightStandardizedConv2d(before, width)
                if standardized
                else nn.Conv2d(before, width, 3, padding=1)
            )

        self.shortcut = nn.Identity() if in_width == width else nn.Conv2d(in_width, width, 1)
        self.first, self.first_norm = convolution(in_width), normalization(norm, width, groups=groups)
        self.modulate = (
            Modulate(modulation, embedding_dim, width, zero_start=zero_start) if embedding_dim else None
        )
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.second, self.second_norm = convolution(width), normalization(norm, width, groups=groups)

    def forward(self, images: Features, embedding: Embeddings | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W)."""
        hidden = self.first_norm(self.first(images))
        if self.modulate is None or embedding is None:
            hidden = functional.silu(hidden)
        elif self.modulate.kind == "add":
            hidden = self.modulate(functional.silu(hidden), embedding)
        else:
            hidden = functional.silu(self.modulate(hidden, embedding))
        hidden = functional.silu(self.second_norm(self.second(self.dropout(hidden))))
        return torch.add(self.shortcut(images), hidden)
