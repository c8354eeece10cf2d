r"""Group norm, gain, shift and SiLU as one operation, which CPUs compute faster than its parts.

    z = (x - m) / \sqrt{v + eps} * g + h,        SiLU(z) = z / (1 + exp(-z))

m and v are the mean and the variance of a group of channels of one image (1803.08494); g and h are the gain and
the shift of each channel, or of each channel of each image where an embedding modulates them. With the folded
a = g / \sqrt{v + eps} and s = h - a m, z is a x + s: one pass over the image. With y = g dz and x' = (x - m) /
\sqrt{v + eps}, the gradient is that of group norm,

    dx = (y - mean(y) - x' mean(y x')) / \sqrt{v + eps}

whose means follow from the sums of dz and of x dz of each channel: it is a dz + p x + q, again folded.

Nothing but x and numbers per channel is kept for the backward pass. Images go through in pieces that stay in
the processor's cache, and are computed in float32: PyTorch's own kernels are slow in bfloat16 with the channels
last, and each reads the memory anew. In float32 they are kept: this would save 3 % of a step, and its sums of
squares lose a digit; see docs/log.md.
"""

import math
import threading
from collections.abc import Iterator
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from unnoise.diffusion.tensors import Features
from unnoise.networks.embeddings import Embeddings, Modulate

PerChannel: TypeAlias = Float[Tensor, "#batch channels"]
Groups: TypeAlias = Float[Tensor, "batch groups 1"]
Rows: TypeAlias = Float[Tensor, "batch positions channels"]

_VALUES_AT_ONCE = 400_000
"""Values for each thread that stay in its cache (1.6 MB in float32) from one operation to the next."""


def normed_silu(
    norm: nn.Module, images: Features, modulate: Modulate | None = None, embedding: Embeddings | None = None
) -> Features:
    """SiLU(norm(x)), or with a modulation SiLU(norm(x) (1 + W_1 e) + W_2 e): (B, C, H, W) -> the same shape.

    Args:
        norm: of any kind; group norms are fused on CPUs, unless the images are in float32.
        images: (B, C, H, W).
        modulate, embedding: of kind `scale_shift`, or None.
    """
    fuses = images.device.type == "cpu" and not torch.compiler.is_compiling()
    if not fuses or images.dtype == torch.float32 or not isinstance(norm, nn.GroupNorm):
        normed = norm(images)
        if modulate is not None and embedding is not None:
            normed = modulate(normed, embedding)
        return functional.silu(normed, inplace=not torch.is_grad_enabled())
    dtype = torch.promote_types(images.dtype, torch.float32)
    gain = norm.weight[None].to(dtype) if norm.affine else images.new_ones(1, norm.num_channels, dtype=dtype)
    shift = norm.bias[None].to(dtype) if norm.affine else torch.zeros_like(gain)
    if modulate is not None and embedding is not None:
        scale, more = modulate.scale_shift(embedding)
        gain, shift = gain * (1 + scale.to(dtype)), torch.addcmul(more.to(dtype), shift, 1 + scale.to(dtype))
    output: Features = _NormedSiLU.apply(images, gain, shift, norm.num_groups, norm.eps)  # type: ignore[no-untyped-call]
    return output


class _NormedSiLU(torch.autograd.Function):
    """The operation and its gradient, with the channels last."""

    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        images: Features,
        gain: PerChannel,
        shift: PerChannel,
        groups: int,
        eps: float,
    ) -> Features:
        output = torch.empty_like(images, memory_format=torch.channels_last)
        rows, outputs = _rows(images), _rows(output)
        batch, positions, channels = rows.shape
        numbers, folded = gain.new_empty(2, batch, groups, 1), gain.new_empty(2, batch, 1, channels)
        for some, scratch in _pieces(rows, gain.dtype):
            pieces = scratch.wide(0, rows[some])
            squares = torch.mul(pieces, pieces, out=scratch.empty(1, pieces.shape))
            mean, square = _group_means(pieces.sum(1), squares.sum(1), groups, positions)
            variance = torch.addcmul(square, mean, mean, value=-1)
            inverse = variance.clamp_(min=0).add_(eps).rsqrt_()
            numbers[0, some], numbers[1, some] = mean, inverse
            slope, start = folded[0, some], folded[1, some]
            torch.mul(_of(gain, some, groups), inverse, out=_grouped(slope, groups))
            torch.addcmul(
                _of(shift, some, groups), _grouped(slope, groups), mean, value=-1, out=_grouped(start, groups)
            )
            hidden = outputs[some] if outputs.dtype == gain.dtype else squares
            functional.silu(torch.addcmul(start, pieces, slope, out=hidden), inplace=True)
            if hidden is squares:
                outputs[some].copy_(hidden)
        ctx.save_for_backward(images, gain, shift, folded, numbers)
        ctx.eps = eps
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Features) -> tuple[Tensor | None, ...]:  # noqa: ANN401
        images, gain, shift, folded, numbers = ctx.saved_tensors
        if torch.is_grad_enabled():  # a gradient of this gradient is wanted: take PyTorch's
            output = _by_parts(images, gain, shift, numbers.shape[2], ctx.eps)
            inputs = [one for one in (images, gain, shift) if one.requires_grad]
            found = iter(torch.autograd.grad(output, inputs, gradient, create_graph=True))
            return *(next(found) if one.requires_grad else None for one in (images, gain, shift)), None, None
        groups, result = numbers.shape[2], torch.empty_like(images, memory_format=torch.channels_last)
        rows, gradients, results = _rows(images), _rows(gradient), _rows(result)
        batch, positions, channels = rows.shape
        sums = gain.new_empty(2, batch, channels)
        for some, scratch in _pieces(rows, gain.dtype):
            pieces, mean, inverse = scratch.wide(0, rows[some]), numbers[0, some], numbers[1, some]
            slope, start = folded[0, some], folded[1, some]
            hidden = torch.addcmul(start, pieces, slope, out=scratch.empty(1, pieces.shape))
            above = scratch.wide(2, gradients[some])
            torch.ops.aten.silu_backward.grad_input(above, hidden, grad_input=hidden)
            product = results[some] if results.dtype == gain.dtype else scratch.empty(2, pieces.shape)
            torch.mul(hidden, pieces, out=product)
            shifts, gains = _grouped(hidden.sum(1), groups), _grouped(product.sum(1), groups)
            gains.addcmul_(shifts, mean, value=-1).mul_(inverse)
            sums[0, some], sums[1, some] = gains.flatten(1), shifts.flatten(1)
            weights = _of(gain, some, groups)
            first, second = _group_means(weights * shifts, weights * gains, groups, positions)
            tilt = second.mul_(inverse).mul_(inverse).neg_()
            level = torch.addcmul(first.mul_(inverse), tilt, mean).neg_()
            torch.addcmul(_ungrouped(level, channels), pieces, _ungrouped(tilt, channels), out=product)
            product.addcmul_(hidden, slope)
            if product.dtype != results.dtype:
                results[some].copy_(product)
        of_gain, of_shift = (each.sum(0, keepdim=True) if len(gain) == 1 else each for each in sums)
        return result, of_gain, of_shift, None, None


def _by_parts(images: Features, gain: PerChannel, shift: PerChannel, groups: int, eps: float) -> Features:
    """The same by operations that can be differentiated again."""
    normed = functional.group_norm(images.to(gain.dtype), groups, eps=eps)
    modulated = torch.addcmul(shift[:, :, None, None], normed, gain[:, :, None, None])
    return functional.silu(modulated).to(images.dtype)


class _Scratch(threading.local):
    """Memory of a thread for what is used at once: the same for all layers, so that it stays in the cache."""

    def __init__(self) -> None:
        self._made: dict[int, Tensor] = {}
        self.dtype = torch.float32

    def empty(self, place: int, shape: torch.Size) -> Tensor:
        """The memory of this place in this shape, with any content."""
        made, size = self._made.get(place), math.prod(shape)
        if made is None or made.dtype != self.dtype or len(made) < size:
            with torch.inference_mode(mode=False):
                made = self._made[place] = torch.empty(size, dtype=self.dtype)
        return made[:size].view(shape)

    def wide(self, place: int, rows: Tensor) -> Tensor:
        """Rows in the wider precision: themselves, or a copy in the memory of this place."""
        return rows if rows.dtype == self.dtype else self.empty(place, rows.shape).copy_(rows)


_SCRATCH = _Scratch()


def _pieces(rows: Rows, dtype: torch.dtype) -> Iterator[tuple[slice, _Scratch]]:
    """The images of each piece, and memory for what is computed of it."""
    # Tensors without values, with which networks are counted, cannot be mixed with true ones.
    scratch = _SCRATCH if type(rows) is Tensor else _Scratch()
    scratch.dtype = dtype
    count = max(1, round(rows.numel() / (_VALUES_AT_ONCE * torch.get_num_threads())))
    size = max(1, -(-len(rows) // count))
    for start in range(0, len(rows), size):
        yield slice(start, start + size), scratch


def _rows(images: Features) -> Rows:
    return images.permute(0, 2, 3, 1).flatten(1, 2)


def _of(values: PerChannel, some: slice, groups: int) -> Float[Tensor, "#pictures groups members"]:
    """Those of some images, or of all images alike."""
    return _grouped(values if len(values) == 1 else values[some], groups)


def _grouped(values: Tensor, groups: int) -> Float[Tensor, "batch groups members"]:
    return values.view(len(values), groups, -1)


def _ungrouped(values: Groups, channels: int) -> Float[Tensor, "batch 1 channels"]:
    return values.expand(-1, -1, channels // values.shape[1]).reshape(len(values), 1, channels)


def _group_means(first: Tensor, second: Tensor, groups: int, positions: int) -> tuple[Groups, Groups]:
    """Means over each group and its positions, from the sums of each channel."""
    both = torch.stack([first.flatten(1), second.flatten(1)])
    mean, other = both.view(2, len(first), groups, -1).mean(3, keepdim=True).div_(positions)
    return mean, other
