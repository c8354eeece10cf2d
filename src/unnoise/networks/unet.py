"""U-Net of diffusion models (Ronneberger et al., 2015), with a choice of blocks, attention and embeddings.

patches -> stem -> [blocks, downsample] x (levels - 1) -> blocks -> [upsample, blocks with skips] -> head
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from unnoise.diffusion.tensors import Classes, Features, HiddenFeatures, Images, Levels, NextFeatures, Rates
from unnoise.networks.checkpointing import block_caller
from unnoise.networks.conditioned import Conditioned, dense_embedding
from unnoise.networks.embeddings import Embeddings, Modulation, SinusoidalEmbedding, TimestepEmbedding
from unnoise.networks.hidden import hidden_features
from unnoise.networks.normed_silu import normed_silu
from unnoise.networks.norms import Normalization, normalization
from unnoise.networks.published.annotated import AnnotatedConfig, AnnotatedUNet, Study
from unnoise.networks.published.unet2d import UNet2D, UNet2DConfig
from unnoise.networks.resampling import upsample
from unnoise.networks.stages import Level, Stage
from unnoise.networks.unet_config import AttentionChoice, Block, UNetConfig

__all__ = ["UNet", "UNetConfig"]


class UNet(Conditioned):
    """U-Net (1505.04597) of diffusion models, for any number of channels and any height and width.

    Args:
        channels: number of channels of the images, in and out.
        widths: inner channels, one number for each level; each level works at half the size of the one before.
        block_depth: blocks of each level, on the way down and again on the way up.
        block: `residual` (pre-activation, two norms), `book` (Generative Deep Learning's), `resnet`
            (post-activation, `ResNetBlock`) or `convnext` (`ConvNeXtBlock`).
        normalization: norm of the blocks, `group` or (as in the book) `batch`.
        attention: attention after the blocks of each level: `full` over all positions (or True), `linear`, or
            `none` (or False). Left out, `full` at the last level, where images are smallest.
        attention_heads: heads of each attention layer.
        embedding: where the noise level enters: in every block (`blocks`, after two dense layers), or as
            constant channels at the `input`, as in the book.
        embedding_dim, max_frequency: see `SinusoidalEmbedding`; the dense layers are 4 times as wide.
        frequencies: frequencies for conditions in [0, 1] (`unit`, up to max_frequency), or for step indices
            (`timesteps`, see `TimestepEmbedding`).
        modulation: how a block uses the embedding: `scale_shift` or `add`.
        patch_size: each p x p patch of pixels becomes one position with p^2 times the channels, so that each
            layer takes p^2 times less work.
        upsampling: `nearest` or `bilinear` (the book's).
        dropout: probability of dropout before the second convolution of each block, in training.
        num_classes: classes that it can be conditioned on, besides none. Their embeddings are added to that of
            the noise level (2105.05233, section 3) and start at zero.
        self_conditioning: also takes the images that it predicted in the step before (2208.04202, section 3.2).
        learned_variance: also returns the raw v of the reverse process's variance (2102.09672, eq. 15).
        uncertainty: also returns u(noise level), the logarithm of the expected loss (2312.02696, eq. 21); it
            starts at zero.
        step_length: is also told the length of a step (`diffusion.mean_velocity`); has no effect at first.
        input_skip: the noisy images are added to the prediction, times gains of the noise level that start at
            zero, so that their noise need not pass through the layers.
        pixel_width: features of each pixel that a `PixelHead` gets, which adds what single pixels need to the
            prediction of patches; 0 for none.
        clusters: the classes are clusters of pictures that look alike, which the network keeps; see `Clusters`.

    Heights and widths that patch_size * 2^(levels - 1) does not divide are padded inside, by repeating the
    border, and cropped again. The head starts at zero, so that an untrained network returns exactly 0.

    Raises:
        UnnoiseError: choices that contradict each other.
    """

    config: UNetConfig

    def __init__(
        self,
        channels: int = UNetConfig.channels,
        widths: Sequence[int] = UNetConfig.widths,
        block_depth: int = UNetConfig.block_depth,
        *,
        block: Block = UNetConfig.block,
        normalization: Normalization = UNetConfig.normalization,
        attention: Sequence[AttentionChoice] | None = None,
        attention_heads: int = UNetConfig.attention_heads,
        embedding: Literal["blocks", "input"] = UNetConfig.embedding,
        embedding_dim: int = UNetConfig.embedding_dim,
        frequencies: Literal["unit", "timesteps"] = UNetConfig.frequencies,
        max_frequency: float = UNetConfig.max_frequency,
        modulation: Modulation = UNetConfig.modulation,
        patch_size: int = UNetConfig.patch_size,
        upsampling: Literal["nearest", "bilinear"] = UNetConfig.upsampling,
        dropout: float = UNetConfig.dropout,
        num_classes: int = UNetConfig.num_classes,
        self_conditioning: bool = UNetConfig.self_conditioning,
        learned_variance: bool = UNetConfig.learned_variance,
        uncertainty: bool = UNetConfig.uncertainty,
        step_length: bool = UNetConfig.step_length,
        input_skip: bool = UNetConfig.input_skip,
        pixel_width: int = UNetConfig.pixel_width,
        clusters: bool = UNetConfig.clusters,
    ) -> None:
        widths = tuple(widths)
        # By default attention is at the last level, where images are smallest and it costs least.
        attention = (False,) * (len(widths) - 1) + (True,) if attention is None else tuple(attention)
        # The arguments are the fields of the config, with its defaults; a test checks that they agree.
        given = locals()
        super().__init__()
        self.config = UNetConfig(**{field.name: given[field.name] for field in fields(UNetConfig)})
        self._build_levels(self.config)
        self._build_extras(self.config.patch_size**2 * channels, widths[0])
        self.checkpointing = False  # see `checkpointing`

    @classmethod
    def from_config(cls, config: UNetConfig) -> "UNet":
        """Builds the U-Net of a config."""
        return cls(**asdict(config))

    @classmethod
    def keras_ddim(cls, channels: int = 3) -> "UNet":
        """U-Net of the Keras DDIM example and of Generative Deep Learning, chapter 8.

        1,950,627 trainable parameters at 3 channels, and 2,880 batch statistics.
        """
        book: dict[str, Any] = {"block": "book", "normalization": "batch", "upsampling": "bilinear"}
        return cls(channels, attention=("none",) * 4, embedding="input", **book)

    @staticmethod
    def annotated_convnext(
        channels: int = 1, dim: int = 28, multipliers: Sequence[int] = (1, 2, 4)
    ) -> AnnotatedUNet:
        """U-Net of the first annotated study of DDPM (June 2022): 2,996,315 parameters by default."""
        return _annotated("convnext", channels, dim, multipliers)

    @staticmethod
    def annotated_resnet(
        channels: int = 1, dim: int = 28, multipliers: Sequence[int] = (1, 2, 4), groups: int = 4
    ) -> AnnotatedUNet:
        """U-Net of the second annotated study (December 2022): 2,020,257 parameters by default."""
        return _annotated("resnet", channels, dim, multipliers, groups=groups)

    @staticmethod
    def ddpm_study(
        channels: int = 3, dim: int = 64, multipliers: Sequence[int] = (1, 2, 4, 8), groups: int = 8
    ) -> AnnotatedUNet:
        """U-Net of the DDPM study, which is lucidrains' v1.9.4: 35,719,555 parameters by default."""
        return _annotated("ddpm_study", channels, dim, multipliers, groups=groups)

    @staticmethod
    def diffusers(config: Mapping[str, Any] | None = None) -> UNet2D:
        """The `UNet2DModel` of a diffusers config, with the same weights: 274,056,163 parameters by default."""
        return UNet2D(UNet2DConfig.from_diffusers(config or {}))

    def _build_levels(self, config: UNetConfig) -> None:
        patch = config.patch_size**2
        widths, depth = config.widths, config.block_depth
        book = config.block == "book"
        self.embed = (
            SinusoidalEmbedding(config.embedding_dim, max_frequency=config.max_frequency)
            if config.frequencies == "unit"
            else TimestepEmbedding(config.embedding_dim)
        )
        self.dense = dense_embedding(config.embedding_dim) if config.embedding == "blocks" else None
        # The book's stem and head are 1x1; other blocks want a 3x3 stem, and a norm before the head.
        pixels = patch * config.channels * (2 if config.self_conditioning else 1)
        self.stem = nn.Conv2d(pixels, widths[0], 1) if book else nn.Conv2d(pixels, widths[0], 3, padding=1)
        width = widths[0] + (config.embedding_dim if self.dense is None else 0)

        skips: list[int] = []
        down, up = [], []
        for level in range(len(widths) - 1):
            down.append(Level([Stage(config, level, w) for w in (width, *[widths[level]] * (depth - 1))]))
            width = widths[level]
            skips += [width] * depth
        bottom = len(widths) - 1
        self.middle = Level([Stage(config, bottom, w) for w in (width, *[widths[bottom]] * (depth - 1))])
        width = widths[bottom]
        for level in reversed(range(bottom)):
            inputs = [w + skips.pop() for w in (width, *[widths[level]] * (depth - 1))]
            up.append(Level([Stage(config, level, w) for w in inputs]))
            width = widths[level]
        self.down, self.up = nn.ModuleList(down), nn.ModuleList(up)

        pixels = patch * config.outputs
        # In a list, for stored weights are named head_norm.0.
        self.head_norm = None if book else nn.Sequential(normalization("group", width))
        self.head = nn.Conv2d(width, pixels, 1) if book else nn.Conv2d(width, pixels, 3, padding=1)

    def _predicted(self, patches: Features, embedding: Embeddings) -> tuple[NextFeatures, HiddenFeatures]:
        images = self.stem(patches)
        if self.dense is None:
            constant = embedding.to(images.dtype)[:, :, None, None].expand(-1, -1, *images.shape[-2:])
            output = self._levels(torch.cat([images, constant], dim=1), None)
        else:
            output = self._levels(images, embedding)
        if self.head_norm is not None:
            output = normed_silu(self.head_norm[0], output)
        return self.head(output), output

    def hidden(self, noisy_images: Images, conditions: Rates, classes: Classes | None = None) -> Levels:
        """What the last block of each level down to the coarsest returns; for a network in eval mode."""
        layers = [level.last for level in (*self.down, self.middle) if isinstance(level, Level)]
        return hidden_features(self, layers, noisy_images, conditions, classes)

    def _levels(self, images: Features, embedding: Embeddings | None) -> NextFeatures:
        skips, call = [], block_caller(self)
        for level in self.down:
            for stage in level:  # type: ignore[attr-defined]
                images = call(stage, images, embedding)
                skips.append(images)
            images = functional.avg_pool2d(images, 2)
        for stage in self.middle:
            images = call(stage, images, embedding)
        for level in self.up:
            images = upsample(images, self.config.upsampling)
            for stage in level:  # type: ignore[attr-defined]
                images = call(stage, torch.cat([images, skips.pop()], dim=1), embedding)
        return images


def _annotated(study: Study, channels: int, dim: int, multipliers: Sequence[int], **more: int) -> AnnotatedUNet:
    config = AnnotatedConfig(study=study, channels=channels, dim=dim, multipliers=tuple(multipliers), **more)
    return AnnotatedUNet(config)
