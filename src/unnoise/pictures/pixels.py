"""8-bit pixels: from tensors to arrays, over a checkerboard, and into PNG files."""

from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from unnoise.diffusion.tensors import Images
from unnoise.utils.errors import require
from unnoise.utils.files import PathLike, atomic_write, require_suffix

PixelArray: TypeAlias = UInt8[np.ndarray, "batch height width channels"]
"""8-bit images with the channels last, as Pillow and NumPy use them."""

ShownArray: TypeAlias = UInt8[np.ndarray, "batch height width shown"]
"""The same without alpha: grey or RGB."""

CHANNELS = {1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGBA"}


def require_drawable(images: Images) -> None:
    """Raises `UnnoiseError` unless the images are a non-empty float batch with 1 to 4 channels and no NaN."""
    require(
        images.ndim == 4 and images.numel() > 0,
        f"Images to draw must be a batch (images, channels, height, width) with at least one image, but the "
        f"shape is {tuple(images.shape)}. Add a missing axis with images[None].",
    )
    require(
        images.shape[1] in CHANNELS,
        f"Images to draw must have 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA) channels, but these have "
        f"{images.shape[1]}. Choose the channels to draw, for example images[:, :3].",
    )
    require(
        images.is_floating_point(),
        f"Images to draw must be floating-point numbers in [0, 1], but these are {images.dtype}. Divide bytes "
        f"by 255.",
    )
    require(
        not bool(images.isnan().any()),
        f"Cannot draw these images: {int(images.isnan().sum())} of {images.numel()} values are NaN. If "
        f"training diverged, lower the learning rate; otherwise use torch.nan_to_num.",
    )


def to_uint8(images: Images) -> PixelArray:
    """Converts images in [0, 1], (N, C, H, W), to bytes, (N, H, W, C), by clamping and rounding.

    -0.1 becomes 0 and 1.1 becomes 255; `to_uint8(bytes / 255)` gives back the bytes.

    Raises:
        UnnoiseError: NaN, a number of channels outside 1 to 4, an empty batch, or numbers that are not floats.
    """
    require_drawable(images)
    return to_bytes(images)


def to_bytes(images: Images) -> PixelArray:
    """Like `to_uint8`, but for any number of channels and without checks."""
    pixels = (images.detach().float().clamp(0.0, 1.0) * 255.0).round()
    channels_last = pixels.permute(0, 2, 3, 1).cpu().numpy()
    return np.ascontiguousarray(channels_last.astype(np.uint8))


def over_checkerboard(pixels: PixelArray, cell: int) -> ShownArray:
    """Composites images with alpha, (N, H, W, 2 or 4), over a light checkerboard: (N, H, W, 1 or 3).

    Its squares are `cell` pixels wide. Images without alpha are returned unchanged.
    """
    if pixels.shape[-1] not in (2, 4):
        return pixels
    rows = np.arange(pixels.shape[1])[None, :, None, None] // cell
    columns = np.arange(pixels.shape[2])[None, None, :, None] // cell
    board = 255.0 - 24.0 * ((rows + columns) % 2)
    opacity = pixels[..., -1:].astype(np.float32) / 255.0
    shown = opacity * pixels[..., :-1] + (1.0 - opacity) * board
    opaque: ShownArray = shown.round().astype(np.uint8)
    return opaque


def save_png(image: Image.Image, path: PathLike) -> None:
    """Writes a picture as a PNG file, whole or not at all.

    Raises:
        UnnoiseError: a name that does not end in .png, or a path that can't be written.
    """
    require_suffix(path, ".png")
    with atomic_write(path) as temporary:
        image.save(temporary, format="PNG")
