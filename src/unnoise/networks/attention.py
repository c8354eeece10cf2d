"""Attention lets every position of a picture look at every other."""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.tensors import Features

Queries: TypeAlias = Float[Tensor, "batch heads positions head_dim"]
Keys: TypeAlias = Float[Tensor, "batch heads keys head_dim"]
Memory: TypeAlias = Float[Tensor, "2 heads tokens head_dim"]


class Attention(nn.Module):
    r"""Multi-head self-attention over the H W positions, pre-normalised, added to its input.

        x + W_o softmax(q k^T / \sqrt{d}) v,      q, k, v = W_qkv norm(x)            (1706.03762, eq. 1)

    Cost and memory of the scores grow with (H W)^2: use it where the picture is small. W_o starts at zero, so
    that an untrained layer changes nothing, unless `zero_start` is False.

    Args:
        width: of the pictures that come in.
        norm: of the input.
        head_dim: d, of each head; width / heads if left out.
        memory_tokens: how many learned keys and values each head has besides those of the picture.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        norm: nn.Module,
        *,
        head_dim: int | None = None,
        memory_tokens: int = 0,
        zero_start: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        head_dim = width // heads if head_dim is None else head_dim
        self.norm = norm
        self.qkv = nn.Conv2d(width, 3 * heads * head_dim, 1, bias=False)
        self.project = nn.Conv2d(heads * head_dim, width, 1)
        self.memory = _memory(heads, memory_tokens, head_dim)
        if zero_start:
            for parameter in self.project.parameters():
                nn.init.zeros_(parameter)

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        query, key, value = _split(self.qkv(self.norm(images)), self.heads, self.memory)
        attended = functional.scaled_dot_product_attention(query, key, value)
        return torch.add(images, self.project(_join(attended, images)))


class LinearAttention(nn.Module):
    r"""Self-attention whose cost grows with H W only, pre-normalised, added to its input (1812.01243, eq. 4).

        x + norm_o(W_o softmax_d(q) (softmax_n(k)^T v) / \sqrt{d}),      q, k, v = W_qkv norm(x)

    The two softmaxes run over the features of each query and over the positions n of each feature of the
    keys. So each row of softmax_d(q) softmax_n(k)^T is positive and sums to 1, as in attention; but it is
    never formed: the d x d matrix in parentheses comes first. A method of its own, no approximation of the
    softmax of q k^T.

    Args:
        out_norm: after W_o; its gain starts at zero, so that an untrained layer changes nothing, unless
            `zero_start` is False.
        width, heads, norm, head_dim, memory_tokens: as of `Attention`.
    """

    def __init__(
        self,
        width: int,
        heads: int,
        norm: nn.Module,
        out_norm: nn.Module,
        *,
        head_dim: int | None = None,
        memory_tokens: int = 0,
        zero_start: bool = True,
    ) -> None:
        super().__init__()
        self.heads = heads
        head_dim = width // heads if head_dim is None else head_dim
        self.norm, self.out_norm = norm, out_norm
        self.qkv = nn.Conv2d(width, 3 * heads * head_dim, 1, bias=False)
        self.project = nn.Conv2d(heads * head_dim, width, 1)
        self.memory = _memory(heads, memory_tokens, head_dim)
        if zero_start:
            for parameter in self.out_norm.parameters():
                nn.init.zeros_(parameter)

    def forward(self, images: Features) -> Features:
        """(B, width, H, W) -> the same shape."""
        query, key, value = _split(self.qkv(self.norm(images)), self.heads, self.memory)
        context = key.softmax(dim=-2).transpose(-1, -2) @ value  # (B, heads, d, d), whatever the positions
        attended = (query.softmax(dim=-1) * query.shape[-1] ** -0.5) @ context
        return torch.add(images, self.out_norm(self.project(_join(attended, images))))


def _memory(heads: int, tokens: int, head_dim: int) -> nn.Parameter | None:
    return nn.Parameter(torch.randn(2, heads, tokens, head_dim)) if tokens else None


def _split(qkv: Features, heads: int, memory: Memory | None) -> tuple[Queries, Keys, Keys]:
    """(B, 3 heads d, H, W) -> three times (B, heads, HW, d), memory tokens first among keys and values."""
    batch, width, height, columns = qkv.shape
    query, key, value = (
        qkv.reshape(batch, 3, heads, width // (3 * heads), height * columns).transpose(-1, -2).unbind(1)
    )
    if memory is not None:
        learned = memory.to(qkv.dtype).unsqueeze(1).expand(-1, batch, -1, -1, -1)
        key, value = torch.cat([learned[0], key], dim=-2), torch.cat([learned[1], value], dim=-2)
    return query, key, value


def _join(attended: Queries, images: Features) -> Float[Tensor, "batch together height width"]:
    """(B, heads, HW, d) -> (B, heads d, H, W)."""
    batch, _, height, columns = images.shape
    return attended.transpose(-1, -2).reshape(batch, -1, height, columns)
