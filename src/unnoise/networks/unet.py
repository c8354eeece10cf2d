"""A U-Net looks at a picture at several sizes and hands what each size saw across to the way back up.

patches -> stem -> [blocks, halve] x (levels - 1) -> blocks -> [double, blocks with skips] -> head
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.errors import require
from unnoise.networks.attention import Attention
from unnoise.networks.blocks import BookBlock, Modulation, Normalization, ResidualBlock, normalization
from unnoise.networks.embeddings import SinusoidalEmbedding
from unnoise.tensors import Features, Images, NextFeatures, Rates


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The choices that make a U-Net; `UNet` says what each means."""

    channels: int = 3
    widths: tuple[int, ...] = (32, 64, 96, 128)
    block_depth: int = 2
    block: Literal["residual", "book"] = "residual"
    normalization: Normalization = "group"
    attention: tuple[bool, ...] = (False, False, False, True)
    attention_heads: int = 4
    embedding: Literal["blocks", "input"] = "blocks"
    embedding_dim: int = 32
    max_frequency: float = 1000.0
    modulation: Modulation = "scale_shift"
    patch_size: int = 1
    upsampling: Literal["nearest", "bilinear"] = "nearest"

    def __post_init__(self) -> None:
        levels = len(self.widths)
        for name, number in (("channels", self.channels), ("block_depth", self.block_depth)):
            require(number >= 1, f"A U-Net's {name} is at least 1, but got {number}.")
        require(
            levels >= 1 and min(self.widths) >= 1,
            f"A U-Net needs one positive width for each level, such as (32, 64, 96), but got {self.widths}.",
        )
        require(
            len(self.attention) == levels,
            f"A U-Net's attention says yes or no for each of its {levels} widths, but got {self.attention}.",
        )
        attended = [w for w, chosen in zip(self.widths, self.attention, strict=True) if chosen]
        require(
            self.attention_heads >= 1 and all(width % self.attention_heads == 0 for width in attended),
            f"The widths that get attention must be multiples of attention_heads={self.attention_heads}, "
            f"but got {attended}: change one of the two.",
        )
        require(
            self.embedding_dim >= 4 and self.embedding_dim % 2 == 0,
            f"A U-Net's embedding_dim is even and at least 4, but got {self.embedding_dim}.",
        )
        require(self.max_frequency > 1, f"A U-Net's max_frequency is above 1, but got {self.max_frequency}.")
        for name, value, allowed in (
            ("block", self.block, ("residual", "book")),
            ("normalization", self.normalization, ("group", "batch")),
            ("embedding", self.embedding, ("blocks", "input")),
            ("modulation", self.modulation, ("add", "scale_shift")),
            ("upsampling", self.upsampling, ("nearest", "bilinear")),
        ):
            require(value in allowed, f"A U-Net's {name} is {' or '.join(allowed)}, but got {value!r}.")
        require(self.patch_size >= 1, f"A U-Net's patch_size is at least 1, but got {self.patch_size}.")


class Stage(nn.Module):
    """One block, followed by attention where its level has it."""

    def __init__(self, config: UNetConfig, level: int, in_width: int) -> None:
        super().__init__()
        width = config.widths[level]
        block = ResidualBlock if config.block == "residual" else BookBlock
        embedding_dim = 4 * config.embedding_dim if config.embedding == "blocks" else 0
        self.block = block(in_width, width, config.normalization, embedding_dim, config.modulation)
        self.attention = (
            Attention(width, config.attention_heads, normalization("group", width, affine=False))
            if config.attention[level]
            else nn.Identity()
        )

    def forward(self, images: Features, embedding: Float[Tensor, "batch dimensions"] | None) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width of the level, H, W)."""
        attended: NextFeatures = self.attention(self.block(images, embedding))
        return attended


class Level(nn.Module):
    """The stages that work at one size, in order."""

    def __init__(self, stages: Sequence[Stage]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def __iter__(self) -> Iterator[Stage]:
        return iter(self.stages)  # type: ignore[arg-type]


class UNet(nn.Module):
    """The U-Net (1505.04597) of diffusion models, for any number of channels and any height and width.

    Args:
        channels: of the images, in and out.
        widths: channels inside, one number a level; each further level works at half the size.
        block_depth: blocks a level, on the way down and again on the way up.
        block: `residual` (pre-activation, two norms) or `book` (Generative Deep Learning's).
        normalization: of the blocks: `group`, or `batch` as in the book.
        attention: for each level, whether its blocks are followed by self-attention.
        embedding: where the noise level enters: in every block (`blocks`, after two dense layers), or as
            constant channels at the `input`, as in the book.
        embedding_dim, max_frequency: see `SinusoidalEmbedding`; dense layers are 4 times as wide.
        modulation: how a block uses the embedding: `scale_shift` or `add`.
        patch_size: each p x p patch of pixels becomes one position with p^2 times the channels: p^2 times
            less work a layer.
        upsampling: `nearest` or `bilinear` (the book's).

    Sizes that patch_size * 2^(levels - 1) does not divide are padded by repeating the border, inside, and
    cropped back. The head starts at zero, so an untrained network returns exactly 0.

    Raises:
        UnnoiseError: for choices that contradict each other.
    """

    def __init__(
        self,
        channels: int = UNetConfig.channels,
        widths: Sequence[int] = UNetConfig.widths,
        block_depth: int = UNetConfig.block_depth,
        *,
        block: Literal["residual", "book"] = UNetConfig.block,
        normalization: Normalization = UNetConfig.normalization,
        attention: Sequence[bool] | None = None,
        attention_heads: int = UNetConfig.attention_heads,
        embedding: Literal["blocks", "input"] = UNetConfig.embedding,
        embedding_dim: int = UNetConfig.embedding_dim,
        max_frequency: float = UNetConfig.max_frequency,
        modulation: Modulation = UNetConfig.modulation,
        patch_size: int = UNetConfig.patch_size,
        upsampling: Literal["nearest", "bilinear"] = UNetConfig.upsampling,
    ) -> None:
        super().__init__()
        if attention is None:  # where the picture is smallest, and attention cheapest
            attention = [False] * (len(widths) - 1) + [True]
        self.config = config = UNetConfig(
            channels=channels,
            widths=tuple(widths),
            block_depth=block_depth,
            block=block,
            normalization=normalization,
            attention=tuple(attention),
            attention_heads=attention_heads,
            embedding=embedding,
            embedding_dim=embedding_dim,
            max_frequency=max_frequency,
            modulation=modulation,
            patch_size=patch_size,
            upsampling=upsampling,
        )
        self._build(config)

    @classmethod
    def from_config(cls, config: UNetConfig) -> "UNet":
        """The network that a run's config.json describes."""
        return cls(**asdict(config))

    @classmethod
    def keras_ddim(cls, channels: int = 3) -> "UNet":
        """The U-Net of the Keras DDIM example and of Generative Deep Learning, chapter 8.

        1,950,627 trainable parameters at 3 channels, and 2,880 batch statistics.
        """
        return cls(
            channels,
            (32, 64, 96, 128),
            2,
            block="book",
            normalization="batch",
            attention=(False,) * 4,
            embedding="input",
            upsampling="bilinear",
        )

    def _build(self, config: UNetConfig) -> None:
        pixels = config.channels * config.patch_size**2
        widths, depth = config.widths, config.block_depth
        book = config.block == "book"
        self.embed = SinusoidalEmbedding(config.embedding_dim, max_frequency=config.max_frequency)
        dense = 4 * config.embedding_dim
        self.dense = (
            nn.Sequential(nn.Linear(config.embedding_dim, dense), nn.SiLU(), nn.Linear(dense, dense), nn.SiLU())
            if config.embedding == "blocks"
            else None
        )
        # The book's stem and head are 1x1; pre-activation blocks want a 3x3 stem, and a norm before the head.
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

        self.head_norm = nn.Identity() if book else nn.Sequential(normalization("group", width), nn.SiLU())
        self.head = nn.Conv2d(width, pixels, 1) if book else nn.Conv2d(width, pixels, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, noisy_images: Images, conditions: Rates) -> Images:
        """(B, channels, H, W) with one number in [0, 1] for each image (B, 1, 1, 1) -> (B, channels, H, W)."""
        height, width = noisy_images.shape[-2:]
        multiple = self.config.patch_size * 2 ** (len(self.config.widths) - 1)
        padding = (0, -width % multiple, 0, -height % multiple)
        images = functional.pad(noisy_images, padding, mode="replicate") if any(padding) else noisy_images
        images = self.stem(functional.pixel_unshuffle(images, self.config.patch_size))

        embedding = self.embed(conditions)
        if self.dense is None:
            constant = embedding.to(images.dtype)[:, :, None, None].expand(-1, -1, *images.shape[-2:])
            images, embedding = torch.cat([images, constant], dim=1), None
        else:
            embedding = self.dense(embedding)

        images = self.head(self.head_norm(self._levels(images, embedding)))
        images = functional.pixel_shuffle(images, self.config.patch_size)
        return images[..., :height, :width]

    def _levels(self, images: Features, embedding: Float[Tensor, "batch dimensions"] | None) -> NextFeatures:
        skips = []
        for level in self.down:
            for stage in level:  # type: ignore[attr-defined]
                images = stage(images, embedding)
                skips.append(images)
            images = functional.avg_pool2d(images, 2)
        for stage in self.middle:
            images = stage(images, embedding)
        for level in self.up:
            images = self._double(images)
            for stage in level:  # type: ignore[attr-defined]
                images = stage(torch.cat([images, skips.pop()], dim=1), embedding)
        return images

    def _double(self, images: Features) -> Float[Tensor, "batch features 2*height 2*width"]:
        if self.config.upsampling == "nearest":
            return functional.interpolate(images, scale_factor=2.0, mode="nearest")
        return functional.interpolate(images, scale_factor=2.0, mode="bilinear", align_corners=False)
