"""Time embedding, residual block and attention of diffusers' `UNet2DModel`, with fewer passes over memory.

Names and shapes of the parameters are those of diffusers. Sums are formed in place where they follow a
convolution or a dense layer, which do not need their output for the gradient.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features, NextFeatures, Rates
from unnoise.networks.attention import as_picture, as_rows, dense, softmax_attention
from unnoise.networks.embeddings import Embeddings
from unnoise.networks.normed_silu import normed_silu
from unnoise.networks.published.unet2d_config import UNet2DConfig
from unnoise.networks.residual import residual_sum


class UNet2DTimeEmbedding(nn.Module):
    r"""Embedding of the step index t by sinusoids and two dense layers.

        SiLU(W_2 SiLU(W_1 [cos(w_i t), sin(w_i t)])),        w_i = 10000^{-i / (n - shift)},  i = 0 ... n - 1

    The last SiLU is computed once here; in diffusers every block begins with it.
    """

    frequencies: Tensor

    def __init__(self, config: UNet2DConfig) -> None:
        super().__init__()
        width, half = config.widths[0], config.widths[0] // 2
        self.cosines_first = config.cosines_first
        self.linear_1 = nn.Linear(width, 4 * width)
        self.linear_2 = nn.Linear(4 * width, 4 * width)
        # In float32 throughout, as in diffusers: near t = 1000 other rounding would change the fifth digit.
        exponents = -math.log(10_000) * torch.arange(half, dtype=torch.float32)
        exponents = exponents / (half - config.frequency_shift)
        self.register_buffer("frequencies", exponents.exp(), persistent=False)

    def forward(self, timesteps: Rates) -> Embeddings:
        """(B, 1, 1, 1) -> (B, 4 widths[0])."""
        with torch.autocast(timesteps.device.type, enabled=False):
            angles = timesteps.reshape(-1, 1).float() * self.frequencies
            waves = [angles.cos(), angles.sin()] if self.cosines_first else [angles.sin(), angles.cos()]
            sinusoids = torch.cat(waves, dim=1).to(self.linear_1.weight.dtype)
        return functional.silu(self.linear_2(functional.silu(self.linear_1(sinusoids))))


class UNet2DResNetBlock(nn.Module):
    r"""Pre-activation residual block (1603.05027) of diffusers.

        x + conv(SiLU(norm(conv(SiLU(norm(x))) + W e)))

    The shortcut is a 1x1 convolution where the width changes.

    Args:
        in_width, width: channels of the input and of the output.
        config: gives groups, eps and dropout; e has 4 widths[0] dimensions, and is already activated.
    """

    def __init__(self, in_width: int, width: int, config: UNet2DConfig) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(config.groups, in_width, eps=config.eps)
        self.conv1 = nn.Conv2d(in_width, width, 3, padding=1)
        self.time_emb_proj = nn.Linear(4 * config.widths[0], width)
        self.norm2 = nn.GroupNorm(config.groups, width, eps=config.eps)
        self.dropout = nn.Dropout(config.dropout)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_width, width, 1) if in_width != width else None

    def forward(self, images: Features, embedding: Embeddings) -> NextFeatures:
        """(B, in_width, H, W) -> (B, width, H, W)."""
        hidden: NextFeatures = self.conv1(normed_silu(self.norm1, images))
        hidden += self.time_emb_proj(embedding)[:, :, None, None]
        hidden = self.conv2(self.dropout(normed_silu(self.norm2, hidden)))
        return residual_sum(images if self.conv_shortcut is None else self.conv_shortcut(images), hidden)


class UNet2DAttention(nn.Module):
    r"""Self-attention over all positions (1706.03762, eq. 1), with biases and a residual, of diffusers.

        x + W_o softmax(q k^T / \sqrt{d}) v

    With the channels last, images are rows of positions already, and only the heads are copied.
    """

    def __init__(self, width: int, config: UNet2DConfig) -> None:
        super().__init__()
        self.heads = 1 if config.head_dim is None else width // config.head_dim
        self.group_norm = nn.GroupNorm(config.groups, width, eps=config.eps)
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        batch, width = images.shape[:2]
        # One product for queries, keys and values; the weights of the queries are scaled instead of the
        # queries.
        head_dim = width // self.heads
        query, key, value = self.to_q, self.to_k, self.to_v
        weights = torch.cat([query.weight * head_dim**-0.5, key.weight, value.weight])
        biases = torch.cat([query.bias * head_dim**-0.5, key.bias, value.bias])
        projected = as_rows(dense(self.group_norm(images), weights, biases))
        parts = torch.unflatten(projected, -1, (3, self.heads, head_dim)).permute(2, 0, 3, 1, 4)
        values = softmax_attention(*parts).transpose(1, 2).reshape(batch, -1, width)
        out = self.to_out[0]
        mixed = dense(as_picture(values, images), out.get_parameter("weight"), out.get_parameter("bias"))
        return residual_sum(images, mixed)
