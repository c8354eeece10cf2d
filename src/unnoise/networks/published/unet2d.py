"""`UNet2DModel` of diffusers with the same weights, computed faster."""

from collections.abc import Iterator, Sequence
from itertools import pairwise, zip_longest
from typing import Literal

import torch
from torch import nn

from unnoise.diffusion.tensors import Classes, Features, Images, NextFeatures, Rates
from unnoise.networks.checkpointing import block_caller
from unnoise.networks.embeddings import Embeddings
from unnoise.networks.normed_silu import normed_silu
from unnoise.networks.published.unet2d_blocks import (
    UNet2DAttention,
    UNet2DResNetBlock,
    UNet2DTimeEmbedding,
)
from unnoise.networks.published.unet2d_config import UNet2DConfig
from unnoise.networks.resampling import Downsample2D, Upsample2D, crop, pad
from unnoise.utils.errors import require

__all__ = ["UNet2D", "UNet2DConfig"]


class UNet2DLevel(nn.Module):
    """Blocks of one image size, attention after the first of them, and the layer to another size.

    Args:
        config: of the network.
        in_widths: channels that come into each block.
        width: channels that come out of each block.
        attentions: number of blocks that attention follows.
        resize: whether the last layer halves or doubles height and width; `no` for no such layer.
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
        # Built in the order of diffusers, so that the same seed draws the same weights.
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
        """Each block, and the attention that follows it, if any."""
        return zip_longest(self.resnets, self.attentions)


class UNet2D(nn.Module):
    """`UNet2DModel` of diffusers, conditioned on the step index t = 0, 1, ... of each image.

    Its `state_dict` has the same names and shapes, so that weights can be exchanged in both directions:

        network = UNet2D(UNet2DConfig.from_diffusers(model.config))
        network.load_state_dict(model.state_dict())

    Outputs are the same up to rounding, but computed faster: see `unet2d_blocks` and `resampling`. Weights are
    initialised as in diffusers. Unlike there, any height and width is taken: padded inside, by repeating the
    border, and cropped again. For classes, self-conditioning or learned variances use `UNet`.

    Args:
        config: the `channels` of the images; the inner `widths`, one for each level (`block_out_channels`);
            blocks of each level (`layers`; one more on the way up); whether each level has `attention`; the
            dimension of its heads (`head_dim`, None for one head); the `groups` of its norms, and the `eps`
            under their square roots; `dropout` before the second convolution of each block; the order
            (`cosines_first`) and `frequency_shift` of the sinusoids; and the `downsample_padding` of the
            strided convolutions. The models of the DDPM paper have eps 1e-6, sines first, a shift of 1 and no
            padding.
    """

    def __init__(self, config: UNet2DConfig) -> None:
        super().__init__()
        self.config = config
        widths, layers = config.widths, config.layers
        last = len(widths) - 1
        self.conv_in = nn.Conv2d(config.channels, widths[0], 3, padding=1)
        self.time_embedding = UNet2DTimeEmbedding(config)
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
        self.mid_block = middle  # as in diffusers, built before the blocks up and registered after them
        self.conv_norm_out = nn.GroupNorm(config.groups, widths[0], eps=config.eps)
        self.conv_out = nn.Conv2d(widths[0], config.channels, 3, padding=1)
        self.checkpointing = False
        """See `checkpointing`."""

    @property
    def ends(self) -> list[nn.Module]:
        """Stem and head, which an optimiser may move otherwise than hidden layers."""
        return [self.conv_in, self.conv_out]

    def forward(
        self,
        noisy_images: Images,
        conditions: Rates,
        classes: Classes | None = None,
        previous_images: Images | None = None,
    ) -> Images:
        """(B, channels, H, W) with the step index of each image (B, 1, 1, 1) -> (B, channels, H, W).

        Raises:
            UnnoiseError: classes or previous images, which this network does not take.
        """
        require(classes is None, "UNet2D knows no classes. Use UNet with num_classes.")
        require(
            previous_images is None, "UNet2D takes no previous images. Use UNet with self_conditioning=True."
        )
        padded = pad(noisy_images, 2 ** (len(self.config.widths) - 1))
        # Channels last, whatever the layout of the weights: faster for convolutions, and what attention reads.
        stem = self.conv_in(padded).contiguous(memory_format=torch.channels_last)
        hidden = self._levels(stem, self.time_embedding(conditions))
        images = self.conv_out(normed_silu(self.conv_norm_out, hidden))
        return crop(images, *noisy_images.shape[-2:])

    def _levels(self, images: Features, embedding: Embeddings) -> NextFeatures:
        skips, call = [images], block_caller(self)
        for level in self.down_blocks:
            for block, attention in level.stages():  # type: ignore[operator]
                images = call(block, images, embedding)
                images = images if attention is None else call(attention, images)
                skips.append(images)
            for halve in getattr(level, "downsamplers", ()):
                images = halve(images)
                skips.append(images)
        for block, attention in self.mid_block.stages():
            images = call(block, images, embedding)
            images = images if attention is None else call(attention, images)
        for level in self.up_blocks:
            for block, attention in level.stages():  # type: ignore[operator]
                images = call(block, torch.cat([images, skips.pop()], dim=1), embedding)
                images = images if attention is None else call(attention, images)
            for double in getattr(level, "upsamplers", ()):
                images = double(images)
        return images
