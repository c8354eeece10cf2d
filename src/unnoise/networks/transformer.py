"""Transformer for pixels: an hourglass of local attention above and global attention below.

patches -> stem -> [blocks, merge 2 x 2] x (levels - 1) -> blocks -> [split, skip, blocks] -> norm -> head

After HDiT (2401.11605), with one level it is a plain ViT on patches, as in JiT (2511.13720).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Classes, Features, HiddenFeatures, Images, Levels, NextFeatures, Rates
from unnoise.networks.attention import TokenDense
from unnoise.networks.checkpointing import block_caller
from unnoise.networks.conditioned import Conditioned, dense_embedding
from unnoise.networks.embeddings import Embeddings, SinusoidalEmbedding
from unnoise.networks.hidden import hidden_features
from unnoise.networks.limits import (
    MAX_BLOCKS,
    MAX_CLASSES,
    MAX_LEVELS,
    MAX_WIDTH,
    require_between,
    require_classes,
)
from unnoise.networks.stages import Level
from unnoise.networks.windows import GridAttention, Tokens
from unnoise.utils.errors import require


@dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """Config of a `Transformer`.

    Args:
        channels: number of channels of the images, in and out.
        patch_size: side of the square of pixels that a token of the first level stands for.
        widths: features of a token, one number for each level; each level has a quarter of the tokens.
        depths: blocks of each level, on the way down and again on the way up; those of the last level once.
        window: side of the windows that attention is within at all levels but the last; 0 for attention among
            all tokens at every level.
        head_dim: features of each head.
        expansion: hidden features of the gated layers, compared with the width.
        embedding_dim, max_frequency: see `SinusoidalEmbedding`.
        num_classes, self_conditioning, uncertainty, step_length, input_skip, pixel_width, clusters: see `UNet`.

    Raises:
        UnnoiseError: for choices that are out of range or contradict each other.
    """

    channels: int = 3
    patch_size: int = 4
    widths: tuple[int, ...] = (128, 256)
    depths: tuple[int, ...] = (2, 4)
    window: int = 8
    head_dim: int = 32
    expansion: float = 2.0
    embedding_dim: int = 64
    max_frequency: float = 100.0
    num_classes: int = 0
    self_conditioning: bool = False
    uncertainty: bool = False
    step_length: bool = False
    input_skip: bool = False
    pixel_width: int = 0
    clusters: bool = False

    def __post_init__(self) -> None:
        levels = len(self.widths)
        require(
            1 <= levels <= MAX_LEVELS and len(self.depths) == levels,
            f"A Transformer has 1 to {MAX_LEVELS} levels, each with a width and a depth, but got the widths "
            f"{self.widths[: MAX_LEVELS + 1]} and the depths {self.depths[: MAX_LEVELS + 1]}.",
        )
        require_classes("Transformer", self.clusters, self.num_classes)
        for name, number, least, most in (
            ("channels", self.channels, 1, MAX_WIDTH),
            ("patch_size", self.patch_size, 1, MAX_BLOCKS),
            ("window", self.window, 0, MAX_WIDTH),
            ("num_classes", self.num_classes, 0, MAX_CLASSES),
            ("pixel_width", self.pixel_width, 0, MAX_WIDTH),
            *(("depths", depth, 1, MAX_BLOCKS) for depth in self.depths),
            *(("widths", width, 4, MAX_WIDTH) for width in self.widths),
        ):
            require_between(f"Transformer's {name}", number, least, most)
        require(
            self.head_dim >= 4 and self.head_dim % 4 == 0 and not any(w % self.head_dim for w in self.widths),
            f"Transformer's head_dim must be a multiple of 4 that divides all widths, but got {self.head_dim} "
            f"and {self.widths}.",
        )
        require(
            0 < self.expansion <= 16,
            f"Transformer's expansion must be above 0 and at most 16, but got {self.expansion:g}.",
        )
        require(
            4 <= self.embedding_dim <= MAX_WIDTH and self.embedding_dim % 2 == 0,
            f"Transformer's embedding_dim must be even and from 4 to {MAX_WIDTH:,}, but got "
            f"{self.embedding_dim}.",
        )
        require(
            self.max_frequency > 1,
            f"Transformer's max_frequency must be above 1, but got {self.max_frequency}.",
        )

    @property
    def size_multiple(self) -> int:
        """What sides are rounded up to a multiple of: tokens of the last level; windows may be cut off."""
        return int(self.patch_size * 2 ** (len(self.widths) - 1))


class AdaptiveNorm(nn.Module):
    """RMSNorm over the features of a token, times 1 + W e of the embedding e, where W starts at zero."""

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.width, self.scale = width, nn.Linear(embedding_dim, width)
        for parameter in self.scale.parameters():
            nn.init.zeros_(parameter)

    def forward(self, tokens: Tokens, embedding: Embeddings) -> Tokens:
        """(B, H, W, width) with (B, embedding_dim) -> (B, H, W, width)."""
        scale: Tensor = 1 + self.scale(embedding)[:, None, None]
        return functional.rms_norm(tokens, (self.width,), eps=1e-6) * scale


class GatedLayers(nn.Module):
    """Two dense layers with a gate between them, W_3 (SiLU(W_1 x) W_2 x) (2002.05202, eq. 6).

    W_3 starts at zero.
    """

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.enter = TokenDense(width, 2 * hidden, bias=False)
        self.leave = TokenDense(hidden, width, bias=False)
        nn.init.zeros_(self.leave.weight)

    def forward(self, tokens: Tokens) -> Tokens:
        """(B, H, W, width) -> the same shape."""
        gate, values = self.enter(tokens).chunk(2, dim=-1)
        left: Tokens = self.leave(functional.silu(gate) * values)
        return left


class TransformerBlock(nn.Module):
    """Attention and gated layers, each after an adaptive norm and added to its input."""

    def __init__(self, config: TransformerConfig, width: int, window: int, *, shifted: bool) -> None:
        super().__init__()
        embedding_dim, hidden = 4 * config.embedding_dim, max(1, round(config.expansion * width))
        self.attention_norm = AdaptiveNorm(width, embedding_dim)
        self.attention = GridAttention(width, config.head_dim, window, shifted=shifted)
        self.layers_norm = AdaptiveNorm(width, embedding_dim)
        self.layers = GatedLayers(width, hidden)

    def forward(self, tokens: Tokens, embedding: Embeddings) -> Tokens:
        """(B, H, W, width) -> the same shape."""
        tokens = tokens + self.attention(self.attention_norm(tokens, embedding))
        left: Tokens = self.layers(self.layers_norm(tokens, embedding))
        return tokens + left


class Transformer(Conditioned):
    """Transformer of diffusion models, for any number of channels and any height and width.

    Heights and widths that the config's `size_multiple` does not divide are padded inside, by repeating the
    border, and cropped again. The head starts at zero, so that an untrained network returns exactly 0.
    """

    config: TransformerConfig

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.config, widths = config, config.widths
        self.embed = SinusoidalEmbedding(config.embedding_dim, max_frequency=config.max_frequency)
        self.dense = dense_embedding(config.embedding_dim)
        pixels = config.patch_size**2 * config.channels
        self.stem = TokenDense(pixels * (2 if config.self_conditioning else 1), widths[0])
        outer = range(len(widths) - 1)
        self.down = nn.ModuleList([self._blocks(level, config.window) for level in outer])
        self.merge = nn.ModuleList([TokenDense(4 * widths[i], widths[i + 1], bias=False) for i in outer])
        self.middle = self._blocks(len(widths) - 1, 0)
        self.split = nn.ModuleList([TokenDense(widths[i + 1], 4 * widths[i], bias=False) for i in outer])
        self.mix = nn.ParameterList([nn.Parameter(torch.full((1,), 0.5)) for _ in outer])
        self.up = nn.ModuleList([self._blocks(level, config.window) for level in outer])
        self.head_norm = AdaptiveNorm(widths[0], 4 * config.embedding_dim)
        self.head = TokenDense(widths[0], pixels)
        self._build_extras(pixels, widths[0])
        self.checkpointing = False  # see `checkpointing`

    def _blocks(self, level: int, window: int) -> Level:
        width, depth = self.config.widths[level], self.config.depths[level]
        return Level(
            [TransformerBlock(self.config, width, window, shifted=place % 2 == 1) for place in range(depth)]
        )

    def _predicted(self, patches: Features, embedding: Embeddings) -> tuple[NextFeatures, HiddenFeatures]:
        tokens = self._levels(self.stem(patches.permute(0, 2, 3, 1)), embedding)
        tokens = self.head_norm(tokens, embedding)
        return self.head(tokens).permute(0, 3, 1, 2), tokens.permute(0, 3, 1, 2)

    def hidden(self, noisy_images: Images, conditions: Rates, classes: Classes | None = None) -> Levels:
        """What the last block of each level down to the coarsest returns, (B, width, rows, columns)."""
        layers = [level.last for level in (*self.down, self.middle) if isinstance(level, Level)]
        tokens = hidden_features(self, layers, noisy_images, conditions, classes)
        return [each.permute(0, 3, 1, 2) for each in tokens]

    def _levels(self, tokens: Tokens, embedding: Embeddings) -> Float[Tensor, "batch rows columns width"]:
        skips, call = [], block_caller(self)
        for blocks, merge in zip(self.down, self.merge, strict=True):
            for block in blocks:  # type: ignore[attr-defined]
                tokens = call(block, tokens, embedding)
            skips.append(tokens)
            tokens = merge(_merged(tokens))
        for block in self.middle:
            tokens = call(block, tokens, embedding)
        for level in reversed(range(len(self.up))):
            tokens = torch.lerp(
                skips.pop(), _split(self.split[level](tokens)), self.mix[level].to(tokens.dtype)
            )
            for block in self.up[level]:  # type: ignore[attr-defined]
                tokens = call(block, tokens, embedding)
        return tokens


def _merged(tokens: Tokens) -> Float[Tensor, "batch rows//2 columns//2 4*width"]:
    """Puts the features of each 2 x 2 tokens into one."""
    tiles = torch.unflatten(torch.unflatten(tokens, 2, (-1, 2)), 1, (-1, 2))  # (B, i, 2, j, 2, width)
    return tiles.permute(0, 1, 3, 2, 4, 5).flatten(3)


def _split(
    tokens: Float[Tensor, "batch half_rows half_columns four_widths"],
) -> Float[Tensor, "batch rows columns width"]:
    """Undoes `_merged`."""
    tiles = torch.unflatten(tokens, 3, (2, 2, -1))  # (B, i, j, 2, 2, width)
    return tiles.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
