"""Post-activation ResNet block of the annotated studies of DDPM, with optional weight standardisation."""

import torch
from torch import nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, NextFeatures
from unnoise.networks.embeddings import Embeddings, Modulate, Modulation
from unnoise.networks.normed_silu import normed_silu
from unnoise.networks.norms import Normalization, normalization
from unnoise.networks.residual import residual_sum


class WeightStandardizedConv2d(nn.Module):
    r"""3x3 convolution whose weights are standardised for each output channel (1903.10520, eq. 3).

        w -> (w - mean w) / \sqrt{var w + eps},        eps = 10^-5; 10^-3 in half precision

    The output is the same for a w + b as for w (a > 0). The bias is not changed.
    """

    def __init__(self, in_width: int, width: int) -> None:
        super().__init__()
        # A plain convolution holds the parameters, so that they are initialised like any other's.
        self.convolution = nn.Conv2d(in_width, width, 3, padding=1)

    def standardized(self) -> torch.Tensor:
        """The standardised weights (width, in_width, 3, 3)."""
        weight = self.convolution.weight
        # Under autocast the weights, and so these statistics, stay in float32.
        eps = 1e-3 if weight.dtype in (torch.float16, torch.bfloat16) else 1e-5
        variance, mean = torch.var_mean(weight, dim=(1, 2, 3), correction=0, keepdim=True)
        return (weight - mean) * (variance + eps).rsqrt()

    def forward(self, images: Features) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W)."""
        return functional.conv2d(images, self.standardized(), self.convolution.bias, padding=1)


class ResNetBlock(nn.Module):
    """Post-activation residual block (1512.03385): [conv, norm, SiLU] twice, added to x.

        scale_shift:  h = SiLU(norm(conv x) (1 + W_1 e) + W_2 e)        (the later study, and lucidrains')
        add:          h = SiLU(norm(conv x)) + W e                      (the first study)
        x + SiLU(norm(conv h))

    The shortcut is a 1x1 convolution where the width changes.

    Args:
        in_width, width: channels of the input and of the output.
        norm: kind of its norms.
        embedding_dim: dimension of e, which is already activated; 0 for a block without noise level.
        modulation: how the embedding enters, see `Modulate`.
        dropout: probability of dropout before the second convolution.
        groups: of group norms.
        standardized: whether the 3x3 convolutions are `WeightStandardizedConv2d`.
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
        modulate = self.modulate
        adds = modulate is not None and modulate.kind == "add"
        hidden = normed_silu(self.first_norm, self.first(images), None if adds else modulate, embedding)
        if modulate is not None and adds and embedding is not None:
            hidden = modulate(hidden, embedding)
        hidden = normed_silu(self.second_norm, self.second(self.dropout(hidden)))
        return residual_sum(self.shortcut(images), hidden)
