"""Two views of one picture show what should not matter: where it lies, and a little of how it was taken.

Each picture is moved, scaled and turned a little, and its brightness, contrast and noise change a little.
Nothing is mirrored: that turns a letter into another sign. The changes stay small, for what the network learns
to overlook, a distance between its features cannot see.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from unnoise.diffusion.tensors import Images, Rates


@dataclass(frozen=True)
class Views:
    """How much the views of a picture may differ; pictures lie from -1 to 1.

    Args:
        shift: of the sides, up or down, left or right.
        zoom: by this factor more or less.
        degrees: to either side.
        brightness, contrast: added to all values, and multiplied with their distance from the picture's mean.
        noise: the largest standard deviation.
    """

    shift: float = 0.12
    zoom: float = 0.15
    degrees: float = 12.0
    brightness: float = 0.1
    contrast: float = 0.15
    noise: float = 0.05

    def __call__(self, images: Images, generator: torch.Generator) -> Images:
        """One random view of each picture, (B, C, H, W)."""
        moved = self._moved(images, generator)
        means = moved.mean((1, 2, 3), keepdim=True)
        gains = 1 + self.contrast * self._uniform(images, generator)
        offsets = self.brightness * self._uniform(images, generator)
        deviations = self.noise * self._uniform(images, generator).abs()
        noises = torch.randn(moved.shape, generator=generator)
        return means + gains * (moved - means) + offsets + deviations * noises

    def _moved(self, images: Images, generator: torch.Generator) -> Images:
        """Beyond its border a picture goes on as at its border."""
        height, width = images.shape[2:]
        zooms = 1 + self.zoom * self._uniform(images, generator).flatten()
        angles = math.radians(self.degrees) * self._uniform(images, generator).flatten()
        cosines, sines = zooms * angles.cos(), zooms * angles.sin()
        # affine_grid counts either side from -1 to 1, so a turn must know how the sides differ.
        across = [2 * self.shift * self._uniform(images, generator).flatten() for _ in range(2)]
        rows = [
            torch.stack((cosines, -sines * height / width, across[0]), 1),
            torch.stack((sines * width / height, cosines, across[1]), 1),
        ]
        grid = functional.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
        return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)

    @staticmethod
    def _uniform(images: Images, generator: torch.Generator) -> Rates:
        """One number from -1 to 1 for each picture."""
        return 2 * torch.rand((len(images), 1, 1, 1), generator=generator) - 1


def contrastive_loss(left: Tensor, right: Tensor, temperature: float = 0.2) -> Tensor:
    r"""Of all other views in the batch, the one of the same picture should be the nearest: NT-Xent.

        mean over i of  -log( exp(z_i . z_p(i) / T) / sum_{k != i} exp(z_i . z_k / T) ),       |z_i| = 1

    (SimCLR, 2002.05709, eq. 1), where p(i) is the other view; from (B, d) and (B, d).
    """
    vectors = functional.normalize(torch.cat((left, right)), dim=1)
    similarities = vectors @ vectors.T / temperature
    itself = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    similarities = similarities.masked_fill(itself, -math.inf)
    partners = torch.arange(len(vectors), device=vectors.device).roll(len(left))
    return functional.cross_entropy(similarities, partners)
