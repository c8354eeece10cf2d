"""ConvNeXt block, as in the first annotated study of DDPM."""

from torch import nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, NextFeatures
from unnoise.networks.embeddings import Embeddings, Modulate, Modulation
from unnoise.networks.norms import ChannelLayerNorm
from unnoise.networks.residual import residual_sum


class ConvNeXtBlock(nn.Module):
    """ConvNeXt block: 7x7 depthwise conv, LayerNorm, 3x3 conv to expansion * width, GELU, LayerNorm, 3x3 conv.

    After 2201.03545, whose block has 1x1 convolutions, an expansion of 4 and one norm. The noise level enters
    before the first norm with `add`, as published, and after it, as its gain and shift, with `scale_shift`. The
    shortcut is a 1x1 convolution where the width changes.

    Args:
        in_width, width: channels of the input and of the output.
        embedding_dim: dimension of the (already activated) embedding; 0 for a block without noise level.
        modulation: how the embedding enters, see `Modulate`.
        dropout: probability of dropout before the last convolution.
        expansion: inner width, as a multiple of `width`.
        zero_start: see `Modulate`.
    """

    def __init__(
        self,
        in_width: int,
        width: int,
        embedding_dim: int,
        modulation: Modulation,
        dropout: float = 0.0,
        *,
        expansion: int = 2,
        zero_start: bool = True,
    ) -> None:
        super().__init__()
        self.shortcut = nn.Identity() if in_width == width else nn.Conv2d(in_width, width, 1)
        self.depthwise = nn.Conv2d(in_width, in_width, 7, padding=3, groups=in_width)
        self.modulate = (
            Modulate(modulation, embedding_dim, in_width, zero_start=zero_start) if embedding_dim else None
        )
        self.first_norm = ChannelLayerNorm(in_width)
        self.first = nn.Conv2d(in_width, expansion * width, 3, padding=1)
        self.second_norm = ChannelLayerNorm(expansion * width)
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()
        self.second = nn.Conv2d(expansion * width, width, 3, padding=1)

    def forward(self, images: Features, embedding: Embeddings | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W)."""
        hidden = self.depthwise(images)
        if self.modulate is None or embedding is None:
            hidden = self.first_norm(hidden)
        elif self.modulate.kind == "add":
            hidden = self.first_norm(self.modulate(hidden, embedding))
        else:
            hidden = self.modulate(self.first_norm(hidden), embedding)
        hidden = self.second_norm(functional.gelu(self.first(hidden)))
        hidden = self.second(self.dropout(hidden))
        return residual_sum(self.shortcut(images), hidden)
