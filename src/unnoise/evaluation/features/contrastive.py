"""Contrastive learning (SimCLR, 2002.05709): random views of pictures and the NT-Xent loss.

Each view is moved, scaled and rotated a little, and its brightness, contrast and noise change a little. Views
are not mirrored, because that turns a letter into another sign. The changes are small, because the network
learns to ignore them, and so do distances between its features.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from unnoise.diffusion.tensors import Images, Rates


@dataclass(frozen=True)
class Views:
    """Random augmentation of pictures from -1 to 1; each setting is a maximum.

    The repr of this class is part of cache keys: do not rename it or its fields.

    Args:
        shift: translation, as a share of the sides.
        zoom: relative change of the size.
        degrees: rotation to either side.
        brightness: added to all values.
        contrast: relative change of the values' distance from the picture's mean.
        noise: standard deviation of the noise.
    """

    shift: float = 0.12
    zoom: float = 0.15
    degrees: float = 12.0
    brightness: float = 0.1
    contrast: float = 0.15
    noise: float = 0.05

    def __call__(self, images: Images, generator: torch.Generator) -> Images:
        """A random view of each picture, (B, C, H, W)."""
        moved = self._moved(images, generator)
        means = moved.mean((1, 2, 3), keepdim=True)
        gains = 1 + self.contrast * self._uniform(images, generator)
        offsets = self.brightness * self._uniform(images, generator)
        deviations = self.noise * self._uniform(images, generator).abs()
        noises = torch.randn(moved.shape, generator=generator)
        return means + gains * (moved - means) + offsets + deviations * noises

    def _moved(self, images: Images, generator: torch.Generator) -> Images:
        """Shifted, scaled and rotated pictures; outside, the pixels of the border are repeated."""
        height, width = images.shape[2:]
        zooms = 1 + self.zoom * self._uniform(images, generator).flatten()
        angles = math.radians(self.degrees) * self._uniform(images, generator).flatten()
        cosines, sines = zooms * angles.cos(), zooms * angles.sin()
        # affine_grid scales both sides to -1 to 1, so a rotation needs the aspect ratio.
        across = [2 * self.shift * self._uniform(images, generator).flatten() for _ in range(2)]
        rows = [
            torch.stack((cosines, -sines * height / width, across[0]), 1),
            torch.stack((sines * width / height, cosines, across[1]), 1),
        ]
        grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    @staticmethod
    def _uniform(images: Images, generator: torch.Generator) -> Rates:
        """A uniform random number from -1 to 1 for each picture."""
        return 2 * torch.rand((len(images), 1, 1, 1), generator=generator) - 1


def contrastive_loss(left: Tensor, right: Tensor, temperature: float = 0.2) -> Tensor:
    r"""NT-Xent loss (SimCLR, 2002.05709, eq. 1) of two views (B, d) and (B, d) of the same pictures.

        mean over i of  -log( exp(z_i . z_p(i) / T) / sum_{k != i} exp(z_i . z_k / T) ),       |z_i| = 1

    where p(i) is the other view of the same picture: among all views in the batch it should be the nearest.
    """
    vectors = functional.normalize(torch.cat((left, right)), dim=1)
    similarities = vectors @ vectors.T / temperature
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    similarities = similarities.masked_fill(itself, -math.inf)
    partners = torch.arange(len(vectors), device=vectors.device).roll(len(left))
    return functional.cross_entropy(similarities, partners)
