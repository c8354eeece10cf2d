"""Networks know no noise process: they take images and one number for each, and return images."""

from unnoise.networks.annotated import AnnotatedConfig, AnnotatedUNet
from unnoise.networks.unet import UNet
from unnoise.networks.unet_config import UNetConfig

__all__ = ["AnnotatedConfig", "AnnotatedUNet", "NetworkConfig", "UNet", "UNetConfig", "build"]

NetworkConfig = UNetConfig | AnnotatedConfig
"""The choices that make a network, of either kind."""


def build(config: NetworkConfig) -> UNet | AnnotatedUNet:
    """The network that these choices describe."""
    return AnnotatedUNet(config) if isinstance(config, AnnotatedConfig) else UNet.from_config(config)
