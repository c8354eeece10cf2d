"""U-Nets of the annotated studies of DDPM, exact to the last parameter.

stem -> [two blocks, attention, downsample] -> block, attention, block
     -> [two blocks with skips, attention, upsample] -> block -> head
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import nn

from unnoise.diffusion.tensors import Classes, Features, Images, NextFeatures, Rates
from unnoise.networks.attention import Attention, LinearAttention
from unnoise.networks.checkpointing import block_caller
from unnoise.networks.convnext import ConvNeXtBlock
from unnoise.networks.embeddings import Embeddings, TimestepEmbedding
from unnoise.networks.limits import MAX_LEVELS, MAX_WIDTH, require_between
from unnoise.networks.norms import ChannelLayerNorm, RMSNorm
from unnoise.networks.resampling import UnshuffleConv2d, UpsampleConv2d, crop, pad
from unnoise.networks.resnet import ResNetBlock
from unnoise.utils.errors import require

Study = Literal["convnext", "resnet", "ddpm_study"]


@dataclass(frozen=True, kw_only=True)
class AnnotatedConfig:
    """Config of an `AnnotatedUNet`, whose docstring explains each field."""

    study: Study = "resnet"
    channels: int = 1
    dim: int = 28
    multipliers: tuple[int, ...] = (1, 2, 4)
    groups: int = 4

    def __post_init__(self) -> None:
        studies = get_args(Study)
        require(
            self.study in studies,
            f"AnnotatedUNet's study must be {' or '.join(studies)}, but got {self.study!r}.",
        )
        require_between("AnnotatedUNet's number of channels", self.channels, 1, MAX_WIDTH)
        require(
            4 <= self.dim <= MAX_WIDTH and self.dim % 2 == 0,
            f"AnnotatedUNet's dim must be even and from 4 to {MAX_WIDTH:,}, but got {self.dim}.",
        )
        levels = len(self.multipliers)
        require(
            1 <= levels <= MAX_LEVELS
            and min(self.multipliers) >= 1
            and self.dim * max(self.multipliers) <= MAX_WIDTH,
            f"AnnotatedUNet needs one positive multiplier for each of at most {MAX_LEVELS} levels, and widths "
            f"of at most {MAX_WIDTH:,}, but got {self.multipliers[: MAX_LEVELS + 1]} times {self.dim}.",
        )
        require(
            self.groups >= 1 and (self.study == "convnext" or self.dim % self.groups == 0),
            f"AnnotatedUNet's dim must be a multiple of its groups, but got {self.dim} and {self.groups}.",
        )

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of the stem, and of each level."""
        stem = self.dim // 3 * 2 if self.study == "convnext" else self.dim
        return stem, *(self.dim * multiplier for multiplier in self.multipliers)


class AnnotatedLevel(nn.Module):
    """Two blocks and attention at one image size, and the layer that changes to the next size."""

    def __init__(self, first: nn.Module, second: nn.Module, attention: nn.Module, resize: nn.Module) -> None:
        super().__init__()
        self.first, self.second, self.attention, self.resize = first, second, attention, resize

    def blocks(self) -> tuple[nn.Module, nn.Module, nn.Module, nn.Module]:
        """The four layers in their order."""
        return self.first, self.second, self.attention, self.resize


class AnnotatedUNet(nn.Module):
    """U-Net of an annotated study of DDPM, conditioned on the step index t = 0, 1, ... of each image.

    `convnext`: the first annotated study. ConvNeXt blocks, 7x7 stem, linear attention at every level, one skip
        a level, strided 4x4 convolutions down and up; its last block is not conditioned on the step.
    `resnet`: the second annotated study. ResNet blocks with standardised weights, 1x1 stem, linear attention at
        every level, two skips a level and one from the stem to the last block, pixel unshuffle down, nearest
        neighbours up.
    `ddpm_study`: lucidrains' denoising-diffusion-pytorch 1.9. As `resnet`, but without standardised weights,
        with a 7x7 stem, RMSNorm and 4 memory tokens in its attention, which is full at the innermost level.

    In all three, attention has 4 heads of 32, and is full between the two innermost blocks. The embedding of
    the step is added in `convnext`, and scales and shifts in the others. Weights are initialised as published,
    none at zero. Unlike the published networks, any height and width is taken: padded inside, by repeating the
    border, and cropped again. For classes, self-conditioning or learned variances use `UNet`.

    Args:
        config: `study`, the `channels` of the images, `dim` of level 0 and of the embedding, the width of each
            level as a multiple of it (`multipliers`), and the `groups` of group norms.
    """

    def __init__(self, config: AnnotatedConfig) -> None:
        super().__init__()
        self.config = config
        convnext, dim, widths = config.study == "convnext", config.dim, config.widths
        self.embed = TimestepEmbedding(dim)
        # In the studies every block begins with this activation; here it is computed once.
        activation = nn.GELU() if convnext else nn.SiLU()
        self.dense = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, 4 * dim), activation)
        kernel = 1 if config.study == "resnet" else 7
        self.stem = nn.Conv2d(config.channels, widths[0], kernel, padding=kernel // 2)
        self.down = nn.ModuleList(_down(config))
        self.middle_first = _block(config, widths[-1], widths[-1])
        self.middle_attention = _attention(config, widths[-1], full=True)
        self.middle_second = _block(config, widths[-1], widths[-1])
        self.up = nn.ModuleList(_up(config))
        self.final = (
            _block(config, widths[1], dim, unconditioned=True) if convnext else _block(config, 2 * dim, dim)
        )
        self.head = nn.Conv2d(dim, config.channels, 1)
        self.checkpointing = False
        """See `checkpointing`."""

    @property
    def ends(self) -> list[nn.Module]:
        """Stem and head, which an optimiser may move otherwise than hidden layers."""
        return [self.stem, self.head]

    def forward(
        self,
        noisy_images: Images,
        conditions: Rates,
        classes: Classes | None = None,
        previous_images: Images | None = None,
    ) -> Images:
        """(B, channels, H, W) with the step index of each image (B, 1, 1, 1) -> (B, channels, H, W).

        Raises:
            UnnoiseError: classes or previous images, which these networks do not take.
        """
        require(classes is None, "The annotated networks know no classes. Use UNet with num_classes.")
        require(
            previous_images is None,
            "The annotated networks take no previous images. Use UNet with self_conditioning=True.",
        )
        padded = pad(noisy_images, 2 ** (len(self.config.multipliers) - 1))
        images = self.head(self._levels(self.stem(padded), self.dense(self.embed(conditions))))
        return crop(images, *noisy_images.shape[-2:])

    def _levels(self, stem: Features, embedding: Embeddings) -> NextFeatures:
        two_skips, images = self.config.study != "convnext", stem
        skips, call = [], block_caller(self)
        for level in self.down:
            first, second, attention, resize = level.blocks()  # type: ignore[operator]
            images = call(first, images, embedding)
            if two_skips:
                skips.append(images)
            images = call(attention, call(second, images, embedding))
            skips.append(images)
            images = resize(images)
        images = call(self.middle_attention, call(self.middle_first, images, embedding))
        images = call(self.middle_second, images, embedding)
        for level in self.up:
            first, second, attention, resize = level.blocks()  # type: ignore[operator]
            images = call(first, torch.cat([images, skips.pop()], dim=1), embedding)
            if two_skips:
                images = torch.cat([images, skips.pop()], dim=1)
            images = resize(call(attention, call(second, images, embedding)))
        # As published, the skip of convnext's first level is not used.
        return call(self.final, torch.cat([images, stem], dim=1) if two_skips else images, embedding)


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
    # convnext has one level less: its last upsampling leads to the final block.
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


def _block(config: AnnotatedConfig, in_width: int, width: int, *, unconditioned: bool = False) -> nn.Module:
    embedding_dim = 0 if unconditioned else 4 * config.dim
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
