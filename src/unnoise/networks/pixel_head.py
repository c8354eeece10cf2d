"""Pixel head: convolutions at full resolution, after a network that works on patches.

A network on patches predicts all p^2 pixels of a patch from one vector, in which the noise and the detail of
each pixel have to find room. The pixel head spreads that vector over the pixels, as a few features for each,
and sees the noisy pixels themselves beside them. DiP calls it a patch detailer head (2511.18822).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Images
from unnoise.networks.embeddings import Embeddings


class PixelHead(nn.Module):
    r"""Three 3 x 3 convolutions W of width w at full resolution, the last of which starts at 0.

        h = SiLU(S f + (1 + g(e)) W_1 x_t),        returned: W_3 SiLU(W_2 h)

    with the features f of each patch, which S spreads over its pixels, the noisy images x_t, and a gain g of
    the embedding e for each feature.

    Args:
        features: numbers in f.
        channels: of the images.
        patch_size: pixels along the side of a patch.
        width: w, features of each pixel.
        embedding_dim: numbers in e.
    """

    def __init__(self, features: int, channels: int, patch_size: int, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.patch_size = patch_size
        self.spread = nn.Conv2d(features, patch_size**2 * width, 1)
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.gain = nn.Linear(embedding_dim, width)
        self.between = nn.Conv2d(width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, channels, 3, padding=1)
        for parameter in (*self.gain.parameters(), *self.leave.parameters()):
            nn.init.zeros_(parameter)

    def forward(
        self,
        features: Float[Tensor, "batch features rows columns"],
        noisy_images: Images,
        embedding: Embeddings,
    ) -> Images:
        """(B, features, H / p, W / p), (B, channels, H, W) and (B, embedding_dim) -> (B, channels, H, W)."""
        entered = self.enter(noisy_images)
        spread = functional.pixel_shuffle(self.spread(features), self.patch_size)
        hidden = torch.addcmul(spread, 1 + self.gain(embedding)[:, :, None, None].to(entered), entered)
        hidden = functional.silu(hidden)
        left: Images = self.leave(functional.silu(self.between(hidden)))
        return left
