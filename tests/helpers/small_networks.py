"""A small U-Net and a small transformer on patches of 2 x 2, for what both have in common."""

import torch

from unnoise.networks import Transformer, TransformerConfig, UNet

LEVELS = torch.tensor([0.2, 0.9]).view(-1, 1, 1, 1)


def unet(**options) -> UNet:
    return UNet(2, (8, 8), 1, attention=("none", "none"), embedding_dim=8, patch_size=2, **options)


def transformer(**options) -> Transformer:
    config = TransformerConfig(
        channels=2, patch_size=2, widths=(8,), depths=(1,), window=0, head_dim=8, embedding_dim=8, **options
    )
    return Transformer(config)
