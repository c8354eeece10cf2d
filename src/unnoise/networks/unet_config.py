"""Config of the U-Net, with checks that its choices agree."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from unnoise.networks.embeddings import Modulation
from unnoise.networks.limits import (
    MAX_BLOCKS,
    MAX_CLASSES,
    MAX_LEVELS,
    MAX_WIDTH,
    require_between,
    require_classes,
)
from unnoise.networks.norms import Normalization
from unnoise.utils.errors import require

Block = Literal["residual", "book", "resnet", "convnext"]
AttentionKind = Literal["none", "linear", "full"]
AttentionChoice: TypeAlias = bool | AttentionKind
"""Attention of one level; True means `full`, False means `none`."""


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """Config of a `UNet`, whose docstring explains each field.

    True and False in `attention` become `full` and `none`.

    Raises:
        UnnoiseError: a choice out of its range, or choices that contradict each other.
    """

    channels: int = 3
    widths: tuple[int, ...] = (32, 64, 96, 128)
    block_depth: int = 2
    block: Block = "residual"
    normalization: Normalization = "group"
    attention: tuple[AttentionChoice, ...] = ("none", "none", "none", "full")
    attention_heads: int = 4
    embedding: Literal["blocks", "input"] = "blocks"
    embedding_dim: int = 32
    frequencies: Literal["unit", "timesteps"] = "unit"
    max_frequency: float = 1000.0
    modulation: Modulation = "scale_shift"
    patch_size: int = 1
    upsampling: Literal["nearest", "bilinear"] = "nearest"
    dropout: float = 0.0
    num_classes: int = 0
    self_conditioning: bool = False
    learned_variance: bool = False
    uncertainty: bool = False
    step_length: bool = False
    input_skip: bool = False
    pixel_width: int = 0
    clusters: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "attention", tuple(_attention_kind(choice) for choice in self.attention))
        for name, number, most in (
            ("channels", self.channels, MAX_WIDTH),
            ("block_depth", self.block_depth, MAX_BLOCKS),
            ("attention_heads", self.attention_heads, MAX_WIDTH),
            ("patch_size", self.patch_size, MAX_BLOCKS),
        ):
            require_between(f"UNet's {name}", number, 1, most)
        self._check_words()
        self._check_widths()
        require(
            4 <= self.embedding_dim <= MAX_WIDTH and self.embedding_dim % 2 == 0,
            f"UNet's embedding_dim must be even and from 4 to {MAX_WIDTH:,}, but got {self.embedding_dim}.",
        )
        require(self.max_frequency > 1, f"UNet's max_frequency must be above 1, but got {self.max_frequency}.")
        require(
            0 <= self.dropout < 1,
            f"UNet's dropout must be at least 0 and below 1, but got {self.dropout}.",
        )
        require_between("UNet's num_classes", self.num_classes, 0, MAX_CLASSES)
        require_classes("UNet", self.clusters, self.num_classes)
        require_between("UNet's pixel_width", self.pixel_width, 0, MAX_WIDTH)

    def _check_words(self) -> None:
        for name, value, allowed in (
            ("block", self.block, get_args(Block)),
            ("normalization", self.normalization, get_args(Normalization)),
            ("embedding", self.embedding, ("blocks", "input")),
            ("frequencies", self.frequencies, ("unit", "timesteps")),
            ("modulation", self.modulation, get_args(Modulation)),
            ("upsampling", self.upsampling, ("nearest", "bilinear")),
            *(("attention", choice, get_args(AttentionKind)) for choice in self.attention),
        ):
            require(value in allowed, f"UNet's {name} must be {' or '.join(allowed)}, but got {value!r}.")
        require(
            self.block != "convnext" or self.normalization == "group",
            f"A convnext block has its own norms, but got normalization {self.normalization!r}. Leave it out.",
        )

    def _check_widths(self) -> None:
        levels = len(self.widths)
        require(
            1 <= levels <= MAX_LEVELS and min(self.widths) >= 1 and max(self.widths) <= MAX_WIDTH,
            f"UNet needs one positive width for each level, such as (32, 64, 96), with at most {MAX_LEVELS} "
            f"levels and widths of at most {MAX_WIDTH:,}, but got {self.widths[: MAX_LEVELS + 1]}.",
        )
        require(
            len(self.attention) == levels,
            f"UNet's attention must be chosen for each of its {levels} widths, but got {self.attention}.",
        )
        attended = [w for w, chosen in zip(self.widths, self.attention, strict=True) if chosen != "none"]
        require(
            all(width % self.attention_heads == 0 for width in attended),
            f"Widths with attention must be multiples of attention_heads={self.attention_heads}, but got "
            f"{attended}. Change one of the two.",
        )

    @property
    def size_multiple(self) -> int:
        """What heights and widths are rounded up to a multiple of: whole positions of the last level."""
        return self.patch_size * (1 << (len(self.widths) - 1))

    @property
    def outputs(self) -> int:
        """Channels that the network returns, without the uncertainty."""
        return self.channels * (2 if self.learned_variance else 1)


def _attention_kind(choice: AttentionChoice) -> AttentionChoice:
    return {True: "full", False: "none"}[choice] if isinstance(choice, bool) else choice  # type: ignore[return-value]
