"""The choices that make a U-Net are checked against one another before anything is built."""

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from unnoise.networks.embeddings import Modulation
from unnoise.networks.limits import LARGEST, MOST_BLOCKS, MOST_CLASSES, MOST_LEVELS, require_between
from unnoise.networks.norms import Normalization
from unnoise.utils.errors import require

Block = Literal["residual", "book", "resnet", "convnext"]
AttentionKind = Literal["none", "linear", "full"]
AttentionChoice: TypeAlias = bool | AttentionKind
"""Of one level; True is short for `full`, False for `none`."""


@dataclass(frozen=True, kw_only=True)
class UNetConfig:
    """The choices that make a U-Net; `UNet` says what each means.

    `attention` may be given with True and False, and holds words afterwards.
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

    def __post_init__(self) -> None:
        object.__setattr__(self, "attention", tuple(_in_words(choice) for choice in self.attention))
        for name, number, most in (
            ("channels", self.channels, LARGEST),
            ("block_depth", self.block_depth, MOST_BLOCKS),
            ("attention_heads", self.attention_heads, LARGEST),
            ("patch_size", self.patch_size, MOST_BLOCKS),
        ):
            require_between(f"A U-Net's {name}", number, 1, most)
        self._check_words()
        self._check_widths()
        require(
            4 <= self.embedding_dim <= LARGEST and self.embedding_dim % 2 == 0,
            f"A U-Net's embedding_dim is even and from 4 to {LARGEST:,}, but got {self.embedding_dim}.",
        )
        require(self.max_frequency > 1, f"A U-Net's max_frequency is above 1, but got {self.max_frequency}.")
        require(0 <= self.dropout < 1, f"A U-Net's dropout is from 0 to below 1, but got {self.dropout}.")
        require_between("A U-Net's num_classes", self.num_classes, 0, MOST_CLASSES)

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
            require(value in allowed, f"A U-Net's {name} is {' or '.join(allowed)}, but got {value!r}.")
        require(
            self.block != "convnext" or self.normalization == "group",
            f"A convnext block has its own norms, but got normalization {self.normalization!r}: leave it out.",
        )

    def _check_widths(self) -> None:
        levels = len(self.widths)
        require(
            1 <= levels <= MOST_LEVELS and min(self.widths) >= 1 and max(self.widths) <= LARGEST,
            f"A U-Net needs one positive width for each level, such as (32, 64, 96), for at most {MOST_LEVELS} "
            f"levels and each at most {LARGEST:,}, but got {self.widths[: MOST_LEVELS + 1]}.",
        )
        require(
            len(self.attention) == levels,
            f"A U-Net's attention is chosen for each of its {levels} widths, but got {self.attention}.",
        )
        attended = [w for w, chosen in zip(self.widths, self.attention, strict=True) if chosen != "none"]
        require(
            all(width % self.attention_heads == 0 for width in attended),
            f"The widths that get attention must be multiples of attention_heads={self.attention_heads}, "
            f"but got {attended}: change one of the two.",
        )

    @property
    def outputs(self) -> int:
        """How many numbers the network returns for each position, but for the uncertainty."""
        return self.channels * (2 if self.learned_variance else 1)


def _in_words(choice: AttentionChoice) -> AttentionChoice:
    return {True: "full", False: "none"}[choice] if isinstance(choice, bool) else choice  # type: ignore[return-value]
