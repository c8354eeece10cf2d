"""Neural networks: U-Nets and a transformer that map noisy images and one number for each to a prediction.

They know no noise process: the number is whatever the diffusion conditions them on.
"""

from unnoise.networks import limits
from unnoise.networks.published.annotated import AnnotatedConfig, AnnotatedUNet
from unnoise.networks.published.unet2d import UNet2D, UNet2DConfig
from unnoise.networks.transformer import Transformer, TransformerConfig
from unnoise.networks.unet import UNet
from unnoise.networks.unet_config import UNetConfig

__all__ = [
    "AnnotatedConfig",
    "AnnotatedUNet",
    "Network",
    "NetworkConfig",
    "OwnConfig",
    "Transformer",
    "TransformerConfig",
    "UNet",
    "UNet2D",
    "UNet2DConfig",
    "UNetConfig",
    "build",
    "require_fits_in_memory",
]

Network = UNet | Transformer | AnnotatedUNet | UNet2D
"""A network of any kind."""

OwnConfig = UNetConfig | TransformerConfig
"""Config of a network that is not a published one: it can be told classes and lengths of steps."""

NetworkConfig = OwnConfig | AnnotatedConfig | UNet2DConfig
"""Config of a network of any kind."""


def build(config: NetworkConfig) -> Network:
    """Builds the network of a config; raises `UnnoiseError` where it would not fit into memory."""
    require_fits_in_memory(config)
    return _made(config)


def require_fits_in_memory(config: NetworkConfig) -> None:
    """Raises `UnnoiseError` where the network of a config would not fit into memory; allocates none of it."""
    depth, ends = 2, [config.channels]
    match config:
        case UNetConfig():
            depth = config.block_depth
            ends = [config.channels * config.patch_size**2, config.num_classes, config.embedding_dim]
        case TransformerConfig():
            depth = max(config.depths)
            ends = [config.channels * config.patch_size**2, config.num_classes, config.embedding_dim]
        case UNet2DConfig():
            depth = config.layers + 1
    limits.require_fits_in_memory(lambda: _made(config), (*config.widths, *ends), depth)


def _made(config: NetworkConfig) -> Network:
    match config:
        case UNetConfig():
            return UNet.from_config(config)
        case TransformerConfig():
            return Transformer(config)
        case AnnotatedConfig():
            return AnnotatedUNet(config)
        case UNet2DConfig():
            return UNet2D(config)
