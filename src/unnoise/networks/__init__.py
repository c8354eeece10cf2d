"""Networks know no noise process: they take images and one number for each, and return images."""

from unnoise.networks.annotated import AnnotatedConfig, AnnotatedUNet
from unnoise.networks.unet import UNet
from unnoise.networks.unet2d import UNet2D, UNet2DConfig
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
]

NetworkConfig = UNetConfig | AnnotatedConfig | UNet2DConfig
"""The choices that make a network, of any kind."""


def build(config: NetworkConfig) -> UNet | AnnotatedUNet | UNet2D:
    """The network that these choices describe."""
    match config:
        case UNetConfig():
            return UNet.from_config(config)
        case AnnotatedConfig():
            return AnnotatedUNet(config)
        case UNet2DConfig():
            return UNet2D(config)
