"""Self-attention over the positions of an image: full (quadratic) and linear.

An image is read as rows of positions, which needs no copy where the channels are last. Memory tokens (learned
keys and values M) come out of the same product as the keys and values of the image: each token is one more
position with one more feature, which is 1 and whose weights are the learned vector.

    [W | M] [[x, 0], [0, 1]] = [W x, M]
"""

from typing import TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features
from unnoise.networks.norms import RMSNorm
from unnoise.networks.residual import residual_sum

Rows: TypeAlias = Float[Tensor, "batch positions inputs"]
Weights: TypeAlias = Float[Tensor, "outputs inputs"]
Queries: TypeAlias = Float[Tensor, "batch heads positions head_dim"]
Keys: TypeAlias = Float[Tensor, "batch heads keys head_dim"]
Memory: TypeAlias = Float[Tensor, "2 heads tokens head_dim"]

FEW_POSITIONS = 128
"""Up to so many positions, plain matrix products are faster on CPUs than PyTorch's fused attention."""

SCORES_AT_ONCE = 2**20
"""So many attention scores (4 MB) still stay in the CPU cache between two products."""


def softmax_attention(query: Queries, key: Keys, value: Keys) -> Queries:
    """softmax(q k^T) v for queries that are already scaled, computed in the fastest way for device and size."""
    positions, head_dim = query.shape[-2:]
    if query.device.type != "cpu" or positions > FEW_POSITIONS:
        return functional.scaled_dot_product_attention(query, key, value, scale=1.0)
    # Values transposed to (head_dim, keys): this product takes a third of the time.
    parts = (query.flatten(0, 1), key.flatten(0, 1).transpose(1, 2), value.transpose(2, 3).flatten(0, 1))
    at_once = max(1, SCORES_AT_ONCE // (positions * key.shape[-2]))
    attended = [
        torch.bmm(v, torch.bmm(q, k).softmax(-1).transpose(1, 2))
        for q, k, v in zip(*(torch.split(each, at_once) for each in parts), strict=True)
    ]
    return torch.cat(attended).view(*query.shape[:2], head_dim, positions).transpose(-1, -2)


class Attention(nn.Module):
    r"""Multi-head self-attention over the H W positions of an image (Vaswani et al., 2017), with a residual.

        x + W_o softmax(q k^T / \sqrt{d}) v,      q, k, v = W_qkv norm(x)            (1706.03762, eq. 1)

    Time and memory grow with (H W)^2: use it where images are small.

    Args:
        width: channels of the input.
        heads: number of heads.
        norm: normalisation of the input.
        head_dim: d, dimension of each head; width / heads if left out.
        memory_tokens: learned keys and values of each head besides those of the image.
        zero_start: W_o starts at zero, so that an untrained layer returns its input.
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
        normed, (queries, keys, values) = self.norm(images), self.qkv.weight.flatten(1).chunk(3)
        batch, positions, head_dim = (
            images.shape[0],
            images.shape[2] * images.shape[3],
            len(queries) // self.heads,
        )
        queries = queries * head_dim**-0.5
        if self.memory is not None:
            tokens = self.memory.shape[2]
            rows, queries = _with_ones(as_rows(normed), tokens), functional.pad(queries, (0, tokens))
            keys, values = _with_memory(keys, self.memory[0]), _with_memory(values, self.memory[1])
            projected = functional.linear(rows, torch.cat([queries, keys, values]))
        else:
            projected = as_rows(dense(normed, torch.cat([queries, keys, values])))
        query, key, value = torch.unflatten(projected, -1, (3, self.heads, head_dim)).permute(2, 0, 3, 1, 4)
        mixed = (
            softmax_attention(query[:, :, :positions], key, value).transpose(1, 2).reshape(batch, positions, -1)
        )
        mixed = dense(as_picture(mixed, images), self.project.weight.flatten(1), self.project.bias)
        return residual_sum(images, mixed)


class LinearAttention(nn.Module):
    r"""Linear attention: self-attention whose cost grows with H W (1812.01243, eq. 4), with a residual.

        x + norm_o(W_o softmax_d(q) (softmax_n(k)^T v) / \sqrt{d}),      q, k, v = W_qkv norm(x)

    The two softmaxes run over the d features of each query and over the positions n of each feature of the
    keys. Each row of softmax_d(q) softmax_n(k)^T is positive and sums to 1, as in full attention, but that
    matrix is never formed: the d x d matrix in parentheses comes first. This does not approximate the softmax
    of q k^T.

    The values are not formed either: softmax_n(k)^T v = (softmax_n(k)^T norm(x)^T) W_v^T, and W_o is multiplied
    with that small matrix. Only queries, keys and the output take products over all positions.

    Args:
        out_norm: normalisation after W_o.
        zero_start: the gain of `out_norm` starts at zero, so that an untrained layer returns its input.
        width, heads, norm, head_dim, memory_tokens: as in `Attention`.
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
        normed, (queries, keys, values) = self._normed_and_weights(images)
        rows = as_rows(normed)
        batch, width, inner = rows.shape[0], rows.shape[-1], len(queries)
        query = as_rows(dense(normed, queries)).view(batch, -1, self.heads, inner // self.heads)
        if self.memory is not None:
            keys, values = _with_memory(keys, self.memory[0]), _with_memory(values, self.memory[1])
            rows = _with_ones(rows, self.memory.shape[2])
        # Keys as (heads d, positions): a softmax is fastest along adjacent numbers.
        key = torch.bmm(keys.expand(batch, -1, -1), rows.transpose(1, 2)).softmax(dim=-1)
        context = torch.bmm(key, rows).view(batch, self.heads, inner // self.heads, -1)
        context = torch.einsum("bhdi,hei->bhde", context, values.view(self.heads, -1, values.shape[1]))
        project = self.project.weight.view(width, self.heads, -1) * query.shape[-1] ** -0.5
        project = torch.einsum("bhde,che->bhdc", context, project).reshape(batch, inner, width)
        mixed = torch.bmm(query.softmax(dim=-1).flatten(2), project) + self.project.get_parameter("bias")
        if not isinstance(self.out_norm, RMSNorm):
            return residual_sum(images, self.out_norm(as_picture(mixed, images)))
        directions = self.out_norm.directions(as_picture(mixed, images))
        return torch.addcmul(images, directions, self.out_norm.scale()[:, None, None])

    def _normed_and_weights(self, images: Features) -> tuple[Features, tuple[Weights, ...]]:
        """The normalised input, and weights of queries, keys and values that include the gain of an RMSNorm."""
        weights = self.qkv.weight.flatten(1)
        if isinstance(self.norm, RMSNorm):
            return self.norm.directions(images), (weights * self.norm.scale()).chunk(3)
        return self.norm(images), weights.chunk(3)


def _memory(heads: int, tokens: int, head_dim: int) -> nn.Parameter | None:
    return nn.Parameter(torch.randn(2, heads, tokens, head_dim)) if tokens else None


def _with_memory(
    weights: Weights, learned: Float[Tensor, "heads tokens head_dim"]
) -> Float[Tensor, "outputs inputs+tokens"]:
    """[W | M]: (heads d, C) -> (heads d, C + tokens)."""
    return torch.cat([weights, learned.transpose(1, 2).flatten(0, 1)], dim=1)


def _with_ones(rows: Rows, tokens: int) -> Float[Tensor, "batch positions+{tokens} inputs+{tokens}"]:
    """(B, N, C) -> (B, N + tokens, C + tokens): one more position, with one more feature, for each token."""
    ones = functional.pad(torch.eye(tokens, dtype=rows.dtype, device=rows.device), (rows.shape[-1], 0))
    return torch.cat([functional.pad(rows, (0, tokens)), ones.expand(rows.shape[0], -1, -1)], dim=1)


def dense(
    images: Features, weights: Weights, bias: Float[Tensor, " outputs"] | None = None
) -> Float[Tensor, "batch outputs height width"]:
    """Dense layer W x + b over channels, as a 1x1 convolution: oneDNN, which takes it, is fast on all CPUs."""
    return functional.conv2d(images, weights[:, :, None, None], bias)


class TokenDense(nn.Linear):
    """Dense layer over the features of tokens (B, H, W, inputs), on CPUs as a 1x1 convolution; see `dense`."""

    def forward(self, tokens: Float[Tensor, "batch rows columns inputs"]) -> Tensor:
        """(B, H, W, inputs) -> (B, H, W, outputs)."""
        if tokens.device.type != "cpu" or torch.compiler.is_exporting():
            return super().forward(tokens)
        return dense(tokens.permute(0, 3, 1, 2), self.weight, self.bias).permute(0, 2, 3, 1)


def as_rows(images: Features) -> Rows:
    """(B, C, H, W) -> (B, H W, C), a view where the channels are last."""
    return images.permute(0, 2, 3, 1).flatten(1, 2)


def as_picture(rows: Rows, images: Features) -> Float[Tensor, "batch inputs height width"]:
    """(B, H W, C) -> (B, C, H, W) with the channels last, a view where they are already."""
    return rows.contiguous().view(rows.shape[0], *images.shape[2:], -1).permute(0, 3, 1, 2)
