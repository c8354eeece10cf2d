"""Config of a `UNet2D`, which can be read from the config of diffusers' `UNet2DModel`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unnoise.utils.errors import require

_OWN_NAMES = {
    "in_channels": "channels",
    "block_out_channels": "widths",
    "layers_per_block": "layers",
    "attention_head_dim": "head_dim",
    "norm_num_groups": "groups",
    "dropout": "dropout",
    "norm_eps": "eps",
    "flip_sin_to_cos": "cosines_first",
    "freq_shift": "frequency_shift",
    "downsample_padding": "downsample_padding",
}

_ONLY: dict[str, tuple[object, ...]] = {
    "act_fn": ("silu", "swish"),
    "add_attention": (True,),
    "center_input_sample": (False,),
    "class_embed_type": (None,),
    "downsample_type": ("conv",),
    "mid_block_scale_factor": (1,),
    "mid_block_type": ("UNetMidBlock2D",),
    "num_class_embeds": (None,),
    "resnet_time_scale_shift": ("default",),
    "time_embedding_dim": (None,),
    "time_embedding_type": ("positional",),
    "upsample_type": ("conv",),
}
"""Options that must have their default value; `swish` is another name of `silu`."""

_OLDER_NAMES = {
    "image_size": "sample_size",
    "num_res_blocks": "layers_per_block",
    "block_channels": "block_out_channels",
    "down_blocks": "down_block_types",
    "up_blocks": "up_block_types",
    "downscale_freq_shift": "freq_shift",
    "resnet_num_groups": "norm_num_groups",
    "resnet_act_fn": "act_fn",
    "resnet_eps": "norm_eps",
    "num_head_channels": "attention_head_dim",
}
"""Names of the options in the first versions of diffusers."""

_ELSEWHERE = {"out_channels", "attn_norm_num_groups", "down_block_types", "up_block_types"}
_WITHOUT_EFFECT = {"sample_size", "num_train_timesteps"}


@dataclass(frozen=True, kw_only=True)
class UNet2DConfig:
    """Config of a `UNet2D`, whose docstring explains each field."""

    channels: int = 3
    widths: tuple[int, ...] = (224, 448, 672, 896)
    layers: int = 2
    attention: tuple[bool, ...] = (False, True, True, True)
    head_dim: int | None = 8
    groups: int = 32
    dropout: float = 0.0
    eps: float = 1e-5
    cosines_first: bool = True
    frequency_shift: int = 0
    downsample_padding: int = 1

    def __post_init__(self) -> None:
        for name in ("channels", "layers", "groups"):
            require(
                getattr(self, name) >= 1, f"UNet2D's {name} must be at least 1, but got {getattr(self, name)}."
            )
        for name in ("frequency_shift", "downsample_padding"):
            require(
                getattr(self, name) in (0, 1), f"UNet2D's {name} must be 0 or 1, but got {getattr(self, name)}."
            )
        require(
            0 <= self.dropout < 1, f"UNet2D's dropout must be at least 0 and below 1, but got {self.dropout}."
        )
        require(self.eps > 0, f"UNet2D's eps must be above 0, but got {self.eps}.")
        self._check_levels()

    def _check_levels(self) -> None:
        widths, attention, head_dim = self.widths, self.attention, self.head_dim
        require(
            len(widths) >= 1 and all(width >= 1 and width % self.groups == 0 for width in widths),
            f"UNet2D needs one width for each level, a multiple of its {self.groups} groups, but got {widths}.",
        )
        require(
            widths[0] >= 4 and widths[0] % 2 == 0,
            f"UNet2D's first width must be even and at least 4, but got {widths[0]}.",
        )
        require(
            len(attention) == len(widths),
            f"UNet2D's attention must be true or false for each of {len(widths)} levels, but got {attention}.",
        )
        # The last width always has attention, between the ways down and up.
        attending = [width for width, attends in zip(widths, attention, strict=True) if attends] + [widths[-1]]
        require(
            head_dim is None or (head_dim >= 1 and all(width % head_dim == 0 for width in attending)),
            f"UNet2D's head_dim must divide all widths with attention and the last width, but got {head_dim} "
            f"for {widths}. None means one head.",
        )

    @classmethod
    def from_diffusers(cls, config: Mapping[str, Any]) -> "UNet2DConfig":
        """Reads the config.json of a diffusers model, or `model.config`; options left out have their defaults.

        Raises:
            UnnoiseError: a model of another class, or with options that `UNet2D` lacks.
        """
        kind = config.get("_class_name", "UNet2DModel")
        require(kind == "UNet2DModel", f"UNet2D needs the config of a UNet2DModel, but got one of a {kind}.")
        given = {
            _OLDER_NAMES.get(name, name): value for name, value in config.items() if not name.startswith("_")
        }
        unknown = sorted(given.keys() - _OWN_NAMES.keys() - _ONLY.keys() - _ELSEWHERE - _WITHOUT_EFFECT)
        require(
            not unknown, f"UNet2D has no option {', '.join(unknown)}. Leave it out if it has its default value."
        )
        for name, allowed in _ONLY.items():
            got = given.get(name, allowed[0])
            require(got in allowed, f"UNet2D supports only {name} {allowed[0]!r}, but got {got!r}.")
        own = {_OWN_NAMES[name]: value for name, value in given.items() if name in _OWN_NAMES}
        own["widths"] = tuple(own.get("widths", cls.widths))
        made = cls(**own, attention=_attention(given))
        outputs, groups = given.get("out_channels", cls.channels), given.get("attn_norm_num_groups")
        require(
            outputs == made.channels,
            f"UNet2D returns as many channels as it takes, but got {made.channels} in and {outputs} out.",
        )
        require(
            groups in (None, made.groups),
            f"All norms of UNet2D have the same groups, but got {made.groups}, and {groups} for attention.",
        )
        return made

    def to_diffusers(self, height: int, width: int) -> dict[str, Any]:
        """The options of a `UNet2DModel` for pictures of this size: what `from_diffusers` reads."""
        own = {name: getattr(self, field) for name, field in _OWN_NAMES.items()}
        kinds = ["AttnDownBlock2D" if attends else "DownBlock2D" for attends in self.attention]
        return {
            **own,
            "block_out_channels": list(self.widths),
            "out_channels": self.channels,
            "sample_size": height if height == width else [height, width],
            "down_block_types": kinds,
            "up_block_types": [kind.replace("Down", "Up") for kind in reversed(kinds)],
        }


def _attention(given: Mapping[str, Any]) -> tuple[bool, ...]:
    """Whether each level has attention, from the names of its blocks."""
    down = given.get("down_block_types", ("DownBlock2D", *["AttnDownBlock2D"] * 3))
    up = given.get("up_block_types", (*["AttnUpBlock2D"] * 3, "UpBlock2D"))
    # The first versions of diffusers called them UNetResDownBlock2D.
    down, up = ([str(name).removeprefix("UNetRes") for name in names] for names in (down, up))
    known = {"DownBlock2D": "UpBlock2D", "AttnDownBlock2D": "AttnUpBlock2D"}
    for blocks, names in ((down, known.keys()), (up, known.values())):
        others = [block for block in blocks if block not in names]
        require(not others, f"UNet2D's blocks must be {' or '.join(names)}, but got {', '.join(others)}.")
    require(
        [known[block] for block in down] == [*reversed(up)],
        f"UNet2D needs attention at the same levels on the way down and up, but got {', '.join(down)} and "
        f"{', '.join(up)}.",
    )
    return tuple(block == "AttnDownBlock2D" for block in down)
