"""Levels of a network: stages of one image size; those of the U-Net are blocks that attention may follow."""

from collections.abc import Iterator, Sequence

from torch import nn

from unnoise.diffusion.tensors import Features, NextFeatures
from unnoise.networks.attention import Attention, LinearAttention
from unnoise.networks.blocks import BookBlock, ResidualBlock
from unnoise.networks.convnext import ConvNeXtBlock
from unnoise.networks.embeddings import Embeddings
from unnoise.networks.norms import RMSNorm, normalization
from unnoise.networks.resnet import ResNetBlock
from unnoise.networks.unet_config import UNetConfig


class Stage(nn.Module):
    """One block and, where the level has it, attention."""

    def __init__(self, config: UNetConfig, level: int, in_width: int) -> None:
        super().__init__()
        self.block = _block(config, in_width, config.widths[level])
        self.attention = _attention(config, level)

    def forward(self, images: Features, embedding: Embeddings | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, widths[level], H, W)."""
        attended: NextFeatures = self.attention(self.block(images, embedding))
        return attended


class Level(nn.Module):
    """The stages of one image size, in order."""

    def __init__(self, stages: Sequence[nn.Module]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def __iter__(self) -> Iterator[nn.Module]:
        return iter(self.stages)

    @property
    def last(self) -> nn.Module:
        """The stage whose output leaves the level."""
        return self.stages[-1]


def _block(config: UNetConfig, in_width: int, width: int) -> nn.Module:
    embedding_dim = 4 * config.embedding_dim if config.embedding == "blocks" else 0
    if config.block == "convnext":
        return ConvNeXtBlock(in_width, width, embedding_dim, config.modulation, config.dropout)
    block = {"residual": ResidualBlock, "book": BookBlock, "resnet": ResNetBlock}[config.block]
    return block(in_width, width, config.normalization, embedding_dim, config.modulation, config.dropout)


def _attention(config: UNetConfig, level: int) -> nn.Module:
    width, heads = config.widths[level], config.attention_heads
    if config.attention[level] == "none":
        return nn.Identity()
    norm = normalization("group", width, affine=False)
    if config.attention[level] == "full":
        return Attention(width, heads, norm)
    return LinearAttention(width, heads, norm, RMSNorm(width))
