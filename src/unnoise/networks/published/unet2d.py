"""The `UNet2DModel` of diffusers, weight for weight, in less time."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Literal

import torch
from torch import nn

from unnoise.diffusion.tensors import Classes, Features, Images, NextFeatures, Rates
from unnoise.networks.embeddings import Embeddings
from unnoise.networks.published.unet2d_blocks import (
    TimeEmbedding,
    UNet2DAttention,
    UNet2DResNetBlock,
    normed_silu,
)
from unnoise.networks.published.unet2d_config import UNet2DConfig
from unnoise.networks.resampling import Downsample2D, Upsample2D, crop, pad
from unnoise.utils.errors import require

__all__ = ["UNet2D", "UNet2DConfig"]


class UNet2DLevel(nn.Module):
    """The blocks of one size, the first of them followed by attention each, and the way to another size.

    Args:
        in_widths: of what comes into each block.
        width: of what comes out.
        attentions: how many of the blocks attention follows.
        resize: whether the picture is halved, doubled, or left as it is at the end.
    """

    def __init__(
        self,
        config: UNet2DConfig,
        in_widths: Sequence[int],
        width: int,
        attentions: int,
        resize: Literal["half", "double", "no"] = "no",
    ) -> None:
        super().__init__()
        # Made in the order of theirs, so that the same seed draws the same weights.
        blocks, attending = [], []
        for index, in_width in enumerate(in_widths):
            blocks.append(UNet2DResNetBlock(in_width, width, config))
            if index < attentions:
                attending.append(UNet2DAttention(width, config))
        self.attentions = nn.ModuleList(attending)
        self.resnets = nn.ModuleList(blocks)
        if resize == "half":
            self.downsamplers = nn.ModuleList([Downsample2D(width, config.downsample_padding)])
        if resize == "double":
            self.upsamplers = nn.ModuleList([Upsample2D(width)])

    def stages(self) -> Iterator[tuple[nn.Module, nn.Module | None]]:
        """Each block, and the attention that follows it."""
        return zip_longest(self.resnets, self.attentions)


class UNet2D(nn.Module):
    """The `UNet2DModel` of diffusers, told the step index t = 0, 1, ... of each image.

    Its `state_dict` has the names and shapes of theirs, so that weights go both ways unchanged:

        network = UNet2D(UNet2DConfig.from_diffusers(model.config))
        network.load_state_dict(model.state_dict())

    It computes the same, up to rounding, faster: see `unet2d_blocks` and `doubling`. Weights start as theirs.
    Unlike theirs, any height and width: padded by repeating the border, inside, and cropped back. For classes,
    self-conditioning or learned variances take `UNet`.

    Args:
        config: the `channels` of images in and out; the `widths` inside, one a level (`block_out_channels`);
            blocks a level (`layers`; one more on the way up); whether each level has `attention`; the width of
            its heads (`head_dim`, None for one head); the `groups` of its norms, and the `eps` under their
            square roots; `dropout` before the second convolution of each block; the sinusoids' order
            (`cosines_first`) and `frequency_shift`; and the `downsample_padding` of the halving convolutions.
            The models of the DDPM paper have eps 1e-6, sines first, a shift of 1 and no padding.
    """

    def __init__(self, config: UNet2DConfig) -> None:
        super().__init__()
        self.config = config
        widths, layers = config.widths, config.layers
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        self.time_embedding = TimeEmbedding(config)
        self.down_blocks = nn.ModuleList(
            UNet2DLevel(
                config,
                (before, *[after] * (layers - 1)),
                after,
                layers * config.attention[level],
                "no" if level == last else "half",
            )
            for level, (before, after) in enumerate(pairwise((widths[0], *widths)))
        )
        middle = UNet2DLevel(config, (widths[-1],) * 2, widths[-1], 1)
        self.up_blocks = nn.ModuleList(
            UNet2DLevel(
                config,
                [
                    hidden + skip
                    for hidden, skip in zip(
                        (widths[min(level + 1, last)], *[widths[level]] * layers),
                        (*[widths[level]] * layers, widths[max(level - 1, 0)]),
                        strict=True,
                    )
                ],
                widths[level],
                (layers + 1) * config.attention[level],
                "no" if level == 0 else "double",
            )
            for level in reversed(range(last + 1))
        )
        self.mid_block = middle  # made before the blocks up, and named after them, as theirs
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[0], eps=config.eps)
        self.conv_out = nn.Conv2d(widths[0], config.channels, 3, padding=1)

    def forward(
        self,
        noisy_images: Images,
        conditions: Rates,
        classes: Classes | None = None,
        previous_images: Images | None = None,
    ) -> Images:
        """(B, channels, H, W) with the step index of each image (B, 1, 1, 1) -> (B, channels, H, W).

        Raises:
            UnnoiseError: for classes or previous images, which this network does not know.
        """
        require(classes is None, "A UNet2D knows no classes: take UNet with num_classes.")
        require(
            previous_images is None, "A UNet2D takes no previous images: take UNet with self_conditioning=True."
        )
        padded = pad(noisy_images, 2 ** (len(self.config.widths) - 1))
        # Attention reads rows of positions and convolutions are faster so, whatever the weights' own layout is.
        stem = self.conv_in(padded).contiguous(memory_format=torch.channels_last)
        hidden = self._levels(stem, self.time_embedding(conditions))
        images = self.conv_out(normed_silu(self.conv_norm_out, hidden))
        return crop(images, *noisy_images.shape[-2:])

    def _levels(self, images: Features, embedding: Embeddings) -> NextFeatures:
        skips = [images]
        for level in self.down_blocks:
            for block, attention in level.stages():  # type: ignore[operator]
                images = block(images, embedding)
                images = images if attention is None else attention(images)
                skips.append(images)
            for halve in getattr(level, "downsamplers", ()):
                images = halve(images)
                skips.append(images)
        for block, attention in self.mid_block.stages():
            images = block(images, embedding)
            images = images if attention is None else attention(images)
        for level in self.up_blocks:
            for block, attention in level.stages():  # type: ignore[operator]
                images = block(torch.cat([images, skips.pop()], dim=1), embedding)
                images = images if attention is None else attention(images)
            for double in getattr(level, "upsamplers", ()):
                images = double(images)
        return images
