r"""Self-attention of tokens on a grid, among all of them or within windows, with axial rotary positions.

    softmax(g cos(q_i, k_j)) v_j,        q_i = R(row_i, column_i) W_q x_i,    k_j = R(row_j, column_j) W_k x_j

R turns the first half of the pairs of features by the row times their frequencies, and the other half by the
column, so that the cosine depends only on how far apart two tokens are (RoFormer, 2104.09864, eq. 16, along
each axis): rows and columns may be counted within each window. Queries and keys have the length 1, and g is
learned for each head (2010.04245).

Windows of w x w tokens make the cost grow with H W w^2 instead of (H W)^2. In every other block they are
shifted by half a window (2103.14030, section 3.2), so that neighbours across a border meet there. Windows that
reach beyond the grid are filled up with tokens that nothing attends to.
"""

from typing import TypeAlias

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.networks.attention import TokenDense, softmax_attention
from unnoise.utils.errors import require

Tokens: TypeAlias = Float[Tensor, "batch rows columns width"]
Windows: TypeAlias = Float[Tensor, "windows tokens width"]
HeadTokens: TypeAlias = Float[Tensor, "*tokens heads head_dim"]
Angles: TypeAlias = Float[Tensor, "*places 1 half"]

_SLOWEST = 0.01
"""Pair k of K turns by this to the power k / K, in radians from token to token: the first by 1."""
_FIRST_GAIN = 10.0


def axial_angles(rows: int, columns: int, head_dim: int, device: torch.device) -> Angles:
    """The angles that each pair of features is turned by: (rows, columns, 1, head_dim / 2), in float32."""
    count = head_dim // 4
    frequencies = _SLOWEST ** (torch.arange(count, device=device) / count)
    row, column = (torch.arange(each, device=device)[:, None] * frequencies for each in (rows, columns))
    both = row[:, None].expand(-1, columns, -1), column[None].expand(rows, -1, -1)
    return torch.cat(both, dim=-1)[:, :, None]


def rotated(values: HeadTokens, angles: Angles) -> HeadTokens:
    """Turns the pair of features i and i + head_dim / 2 of each token by its angle."""
    cos, sin = angles.cos().to(values.dtype), angles.sin().to(values.dtype)
    first, second = values.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class GridAttention(nn.Module):
    """Multi-head self-attention over a grid of tokens; see the module.

    Args:
        width: features of a token.
        head_dim: features of each head, a multiple of 4 that divides the width.
        window: w, tokens along each side of a window; 0 for attention among all tokens.
        shifted: whether the windows are shifted by w // 2.
    """

    def __init__(self, width: int, head_dim: int, window: int = 0, *, shifted: bool = False) -> None:
        super().__init__()
        require(
            head_dim % 4 == 0 and width % head_dim == 0,
            f"A head has a multiple of 4 features, and heads fill the width, but got {head_dim} of {width}.",
        )
        self.head_dim, self.window, self.shift = head_dim, window, window // 2 if shifted else 0
        self.qkv = TokenDense(width, 3 * width, bias=False)
        self.gain = nn.Parameter(torch.full((width // head_dim, 1), _FIRST_GAIN).log())
        self.project = TokenDense(width, width, bias=False)
        nn.init.zeros_(self.project.weight)

    def forward(self, tokens: Tokens) -> Tokens:
        """(B, H, W, width) -> the same shape."""
        (rows, columns), w = tokens.shape[1:3], self.window
        # Windows are cut out once, of queries, keys and values together.
        packed = self._windows(self.qkv(tokens)) if w else self.qkv(tokens).flatten(1, 2)
        query, key, value = torch.unflatten(packed, -1, (3, -1, self.head_dim)).unbind(2)
        angles = axial_angles(w or rows, w or columns, self.head_dim, tokens.device).flatten(0, 1)
        query, key = (functional.normalize(each.float(), dim=-1) for each in (query, key))
        query, key = (rotated(each, angles).to(value.dtype) for each in (query * self.gain.exp(), key))
        query, key, value = (each.transpose(1, 2) for each in (query, key, value))
        mask = self._real(tokens) if w else None
        if mask is None:
            mixed = softmax_attention(query, key, value)
        else:
            mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=1.0)
        mixed = mixed.transpose(1, 2).flatten(2)
        mixed = self._grid(mixed, rows, columns) if w else torch.unflatten(mixed, 1, (rows, columns))
        projected: Tokens = self.project(mixed)
        return projected

    def _windows(self, tokens: Tokens) -> Windows:
        w, shift = self.window, self.shift
        down, right = (w * self._count(size) - size - shift for size in tokens.shape[1:3])
        padded = functional.pad(tokens, (0, 0, shift, right, shift, down))
        tiles = torch.unflatten(torch.unflatten(padded, 2, (-1, w)), 1, (-1, w))
        # (B, i, w, j, w, width), for the windows (i, j)
        return tiles.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(0, 2)

    def _grid(self, windows: Windows, rows: int, columns: int) -> Tokens:
        w, shift = self.window, self.shift
        down, across = self._count(rows), self._count(columns)
        tiles = torch.unflatten(torch.unflatten(windows, 1, (w, w)), 0, (-1, down, across))
        grid = tiles.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
        return grid[:, shift : shift + rows, shift : shift + columns]

    def _count(self, size: int) -> int:
        """Windows along a side of so many tokens."""
        return (size + self.shift + self.window - 1) // self.window

    def _real(self, tokens: Tokens) -> Bool[Tensor, "windows 1 1 tokens"] | None:
        """Which tokens of each window are in the picture; None if all are."""
        rows, columns = tokens.shape[1:3]
        whole = self.shift == 0 and rows % self.window == 0 and columns % self.window == 0
        if whole and not torch.compiler.is_exporting():  # an exported graph is for other sizes, too
            return None
        return self._windows(torch.ones_like(tokens[..., :1])).transpose(-1, -2)[:, None] > 0
