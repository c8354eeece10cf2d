"""Attention lets every position of a picture look at every other."""

import torch
from torch import nn
from torch.nn import functional

from unnoise.tensors import Features


class Attention(nn.Module):
    r"""Multi-head self-attention over the H W positions, pre-normalised, added to its input.

        x + W_o softmax(q k^T / \sqrt{d}) v,      q, k, v = W_qkv GroupNorm(x)        (1706.03762, eq. 1)

    Cost and memory of the scores grow with (H W)^2: use it where the picture is small. W_o starts at zero, so
    that an untrained layer changes nothing.
    """

    def __init__(self, width: int, heads: int, norm: nn.Module) -> None:
        super().__init__()
        self.heads = heads
        self.norm = norm
        self.qkv = nn.Conv2d(width, 3 * width, 1, bias=False)
        self.project = nn.Conv2d(width, width, 1)
        for parameter in self.project.parameters():
            nn.init.zeros_(parameter)

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        batch, width, height, columns = images.shape
        qkv = self.qkv(self.norm(images))
        # (B, 3, heads, d, HW) -> three times (B, heads, HW, d), which the fused kernel wants
        query, key, value = (
            qkv.reshape(batch, 3, self.heads, width // self.heads, height * columns).transpose(-1, -2).unbind(1)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        together = attended.transpose(-1, -2).reshape(batch, width, height, columns)
        return torch.add(images, self.project(together))
