"""Networks know no noise process: they take images and one number for each, and return images."""

from unnoise.networks.unet import UNet

__all__ = ["UNet"]
