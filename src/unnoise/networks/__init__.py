"""Networks know no noise process: they take images and one number for each, and return images."""

from unnoise.networks import limits
from unnoise.networks.published.annotated import AnnotatedConfig, AnnotatedUNet
from unnoise.networks.published.unet2d import UNet2D, UNet2DConfig
from unnoise.networks.unet import UNet
from unnoise.networks.unet_config import UNetConfig

__all__ = [
    "AnnotatedConfig",
    "AnnotatedUNet",
    "NetworkConfig",
    "UNet",
    "UNet2D",
    "UNet2DConfig",
    "UNetConfig",
    "build",
    "require_room",
]

NetworkConfig = UNetConfig | AnnotatedConfig | UNet2DConfig
"""The choices that make a network, of any kind."""


def build(config: NetworkConfig) -> UNet | AnnotatedUNet | UNet2D:
    """The network that these choices describe; raises UnnoiseError where it is larger than the memory."""
    require_room(config)
    return _made(config)


def require_room(config: NetworkConfig) -> None:
    """Raises `UnnoiseError` where the network of these choices is larger than the memory; makes none."""
    depth, ends = 2, [config.channels]
    match config:
        case UNetConfig():
            depth = config.block_depth
            ends = [config.channels * config.patch_size**2, config.num_classes, config.embedding_dim]
        case UNet2DConfig():
            depth = config.layers + 1
    limits.require_room(lambda: _made(config), (*config.widths, *ends), depth)


def _made(config: NetworkConfig) -> UNet | AnnotatedUNet | UNet2D:
    match config:
        case UNetConfig():
            return UNet.from_config(config)
        case AnnotatedConfig():
            return AnnotatedUNet(config)
        case UNet2DConfig():
            return UNet2D(config)
