"""The U-Nets of the annotated studies of DDPM, as published to the last parameter.

stem -> [two blocks, attention, halve] -> block, attention, block -> [two blocks with skips, attention, double]
-> block -> head
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from unnoise.diffusion.tensors import Classes, Features, Images, NextFeatures, Rates
from unnoise.networks.attention import Attention, LinearAttention
from unnoise.networks.convnext import ConvNeXtBlock
from unnoise.networks.embeddings import Embeddings, TimestepEmbedding
from unnoise.networks.limits import LARGEST, MOST_LEVELS, require_between
from unnoise.networks.norms import ChannelLayerNorm, RMSNorm
from unnoise.networks.resampling import UnshuffleConv2d, UpsampleConv2d, crop, pad
from unnoise.networks.resnet import ResNetBlock
from unnoise.utils.errors import require

Study = Literal["convnext", "resnet", "ddpm_study"]


@dataclass(frozen=True, kw_only=True)
class AnnotatedConfig:
    """The choices that make a published U-Net; `AnnotatedUNet` says what each means."""

    study: Study = "resnet"
    channels: int = 1
    dim: int = 28
    multipliers: tuple[int, ...] = (1, 2, 4)
    groups: int = 4

    def __post_init__(self) -> None:
        studies = get_args(Study)
        require(self.study in studies, f"An annotated study is {' or '.join(studies)}, but got {self.study!r}.")
        require_between("An annotated U-Net's number of channels", self.channels, 1, LARGEST)
        require(
            4 <= self.dim <= LARGEST and self.dim % 2 == 0,
            f"An annotated U-Net's dim is even and from 4 to {LARGEST:,}, but got {self.dim}.",
        )
        levels = len(self.multipliers)
        require(
            1 <= levels <= MOST_LEVELS
            and min(self.multipliers) >= 1
            and self.dim * max(self.multipliers) <= LARGEST,
            f"An annotated U-Net needs one positive multiplier for each of at most {MOST_LEVELS} levels, and "
            f"no width above {LARGEST:,}, but got {self.multipliers[: MOST_LEVELS + 1]} of dim {self.dim}.",
        )
        require(
            self.groups >= 1 and (self.study == "convnext" or self.dim % self.groups == 0),
            f"An annotated U-Net's dim must be a multiple of its groups, but got {self.dim} and {self.groups}.",
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the stem, and of each level."""
        stem = self.dim // 3 * 2 if self.study == "convnext" else self.dim
        return stem, *(self.dim * multiplier for multiplier in self.multipliers)


class AnnotatedLevel(nn.Module):
    """Two blocks and attention at one size, and the way to the next size."""

    def __init__(self, first: nn.Module, second: nn.Module, attention: nn.Module, resize: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.attention, self.resize = first, second, attention, resize

    def blocks(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """In their order; skips are taken, or put in, between them."""
        return self.first, self.second, self.attention, self.resize


class AnnotatedUNet(nn.Module):
    """The three U-Nets of the annotated studies, told the step index t = 0, 1, ... of each image.

    `convnext`: the first annotated study. ConvNeXt blocks, 7x7 stem, linear attention at every level, one skip
        a level, strided 4x4 convolutions down and up; its last block is not told the time.
    `resnet`: the second. ResNet blocks with standardised weights, 1x1 stem, linear attention at every level,
        two skips a level and one from the stem to the last block, pixel-unshuffle down, nearest up.
    `ddpm_study`: lucidrains' v1.9. As `resnet` without standardised weights, with a 7x7 stem, RMSNorm and 4
        memory tokens in its attention, which is full at the innermost level.

    In all of them attention has 4 heads of 32, full between the two innermost blocks; the noise level is added
    in `convnext`, and scales and shifts in the others. Weights start as published: nothing starts at zero.
    Unlike published, any height and width: padded by repeating the border, inside, and cropped back. For
    classes, self-conditioning or learned variances take `UNet`.

    Args:
        config: `study`, the `channels` of images in and out, `dim` at level 0 (and of the embedding), a
            multiple of it for each level (`multipliers`), and the `groups` of the GroupNorms.
    """

    def __init__(self, config: AnnotatedConfig) -> None:
        super().__init__()
        self.config = config
        convnext, dim, widths = config.study == "convnext", config.dim, config.widths
        self.embed = TimestepEmbedding(dim)
        # Every block of the studies begins with this last activation; once is enough.
        activation = nn.GELU() if convnext else nn.SiLU()
        self.dense = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, 4 * dim), activation)
        kernel = 1 if config.study == "resnet" else 7
        self.stem = nn.Conv2d(config.channels, widths[0], kernel, padding=kernel // 2)
        self.down = nn.ModuleList(_down(config))
        self.middle_first = _block(config, widths[-1], widths[-1])
        self.middle_attention = _attention(config, widths[-1], full=True)
        self.middle_second = _block(config, widths[-1], widths[-1])
        self.up = nn.ModuleList(_up(config))
        self.final = _block(config, widths[1], dim, timeless=True) if convnext else _block(config, 2 * dim, dim)
        self.head = nn.Conv2d(dim, config.channels, 1)

    def forward(
        self,
        noisy_images: Images,
        conditions: Rates,
        classes: Classes | None = None,
        previous_images: Images | None = None,
    ) -> Images:
        """(B, channels, H, W) with the step index of each image (B, 1, 1, 1) -> (B, channels, H, W).

        Raises:
            UnnoiseError: for classes or previous images, which the published networks don't know.
        """
        require(classes is None, "The annotated networks know no classes: take UNet with num_classes.")
        require(
            previous_images is None,
            "The annotated networks take no previous images: take UNet with self_conditioning=True.",
        )
        padded = pad(noisy_images, 2 ** (len(self.config.multipliers) - 1))
        images = self.head(self._levels(self.stem(padded), self.dense(self.embed(conditions))))
        return crop(images, *noisy_images.shape[-2:])

    def _levels(self, stem: Features, embedding: Embeddings) -> NextFeatures:
        two_skips, images = self.config.study != "convnext", stem
        skips = []
        for level in self.down:
            first, second, attention, resize = level.blocks()  # type: ignore[operator]
            images = first(images, embedding)
            if two_skips:
                skips.append(images)
            images = attention(second(images, embedding))
            skips.append(images)
            images = resize(images)
        images = self.middle_attention(self.middle_first(images, embedding))
        images = self.middle_second(images, embedding)
        for level in self.up:
            first, second, attention, resize = level.blocks()  # type: ignore[operator]
            images = first(torch.cat([images, skips.pop()], dim=1), embedding)
            if two_skips:
                images = torch.cat([images, skips.pop()], dim=1)
            images = resize(attention(second(images, embedding)))
        # The skip of convnext's first level is left over, as published.
        final: NextFeatures = self.final(torch.cat([images, stem], dim=1) if two_skips else images, embedding)
        return final


def _down(config: AnnotatedConfig) -> Iterator[AnnotatedLevel]:
    convnext, last = config.study == "convnext", len(config.multipliers) - 1
    for level, (before, after) in enumerate(zip(config.widths, config.widths[1:], strict=False)):
        width = after if convnext else before
        resize: nn.Module
        if convnext:
            resize = nn.Identity() if level == last else nn.Conv2d(after, after, 4, stride=2, padding=1)
        elif level == last:
            resize = nn.Conv2d(before, after, 3, padding=1)
        else:
            resize = UnshuffleConv2d(before, after)
        yield AnnotatedLevel(
            _block(config, before, width),
            _block(config, width, width),
            _attention(config, width, full=config.study == "ddpm_study" and level == last),
            resize,
        )


def _up(config: AnnotatedConfig) -> Iterator[AnnotatedLevel]:
    convnext, last = config.study == "convnext", len(config.multipliers) - 1
    # convnext has no level of its own at the end: its last doubling leads to the final block.
    for level in range(last, 0 if convnext else -1, -1):
        before, after = config.widths[level : level + 2]
        width = before if convnext else after
        resize: nn.Module
        if convnext:
            resize = nn.ConvTranspose2d(before, before, 4, stride=2, padding=1)
        elif level == 0:
            resize = nn.Conv2d(after, before, 3, padding=1)
        else:
            resize = UpsampleConv2d(after, before)
        yield AnnotatedLevel(
            _block(config, 2 * after if convnext else before + after, width),
            _block(config, width if convnext else before + after, width),
            _attention(config, width, full=config.study == "ddpm_study" and level == last),
            resize,
        )


def _block(config: AnnotatedConfig, in_width: int, width: int, *, timeless: bool = False) -> nn.Module:
    embedding_dim = 0 if timeless else 4 * config.dim
    if config.study == "convnext":
        return ConvNeXtBlock(in_width, width, embedding_dim, "add", zero_start=False)
    return ResNetBlock(
        in_width,
        width,
        "group",
        embedding_dim,
        "scale_shift",
        groups=config.groups,
        standardized=config.study == "resnet",
        zero_start=False,
    )


def _attention(config: AnnotatedConfig, width: int, *, full: bool) -> nn.Module:
    def norm() -> nn.Module:
        match config.study:
            case "convnext":
                return ChannelLayerNorm(width)
            case "resnet":
                return nn.GroupNorm(1, width)
            case "ddpm_study":
                return RMSNorm(width)

    memory_tokens = 4 if config.study == "ddpm_study" else 0
    if full:
        return Attention(width, 4, norm(), head_dim=32, memory_tokens=memory_tokens, zero_start=False)
    return LinearAttention(width, 4, norm(), norm(), head_dim=32, memory_tokens=memory_tokens, zero_start=False)
