"""Pictures in memory, and networks small enough to compute by hand, for the tests of features."""

import numpy as np
from torch import nn

from unnoise.data.cache_building import fingerprint_of
from unnoise.data.image_set import ImageSet
from unnoise.evaluation.features import NetworkExtractor
from unnoise.evaluation.features.preprocessing import to_colour


def images_of(pixels: np.ndarray) -> ImageSet:
    return ImageSet(pixels, "memory", fingerprint_of(pixels))


def random_images(count=20, height=8, width=8, channels=3, seed=0) -> ImageSet:
    values = np.random.default_rng(seed).integers(0, 256, (count, height, width, channels))
    return images_of(values.astype(np.uint8))


class ChannelMeans(nn.Module):
    """(B, 3, H, W) to the mean of each channel."""

    def forward(self, images):
        return images.mean((2, 3))


def means_extractor(digest="means", backbone=None) -> NetworkExtractor:
    return NetworkExtractor("means", 8, "none", digest, True, to_colour, backbone or ChannelMeans())
