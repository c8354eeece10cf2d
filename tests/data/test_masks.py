"""Masks of inpainting, with and without transparency."""

import numpy as np
import pytest
from PIL import Image

from unnoise.data import DecodeSettings, read_mask
from unnoise.utils.errors import UnnoiseError

LEFT = np.arange(8) < 4
WHITE, BLACK = 255, 0


def mask_of(path, left, right, mode="LA"):
    """Reads a mask whose halves are (grey, alpha)."""
    pixels = np.where(LEFT[None, :, None], left, right) * np.ones((8, 1, 1))
    picture = Image.fromarray(pixels.astype(np.uint8))
    picture.convert(mode).save(path)
    return read_mask(path, DecodeSettings((8, 8), 1), [(8, 8)])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
@pytest.mark.parametrize(
    ("left", "right", "kept"),
    [
        ((WHITE, 255), (BLACK, 255), LEFT),
        ((WHITE, 255), (WHITE, 0), LEFT),
        ((WHITE, 255), (BLACK, 0), LEFT),
        ((BLACK, 255), (WHITE, 0), ~LEFT),
        ((BLACK, 255), (BLACK, 0), ~LEFT),
        ((WHITE, 255), (WHITE, 255), LEFT | True),
    ],
)
def test_transparent_pixels_are_the_opposite_of_the_others(tmp_path, left, right, kept, mode):
    assert (mask_of(tmp_path / "mask.png", left, right, mode) == kept).all()


def test_a_16_bit_mask_is_read(tmp_path):
    Image.fromarray(np.where(LEFT, 65535, 0).astype(np.uint16) * np.ones((8, 1), np.uint16)).save(
        tmp_path / "m.png"
    )
    assert (read_mask(tmp_path / "m.png", DecodeSettings((8, 8), 1), [(8, 8)]) == LEFT).all()


def test_transparency_beside_black_and_white_is_refused(tmp_path):
    pixels = np.full((8, 8, 2), 255, np.uint8)
    pixels[:, :2, 0] = 0
    pixels[:, 6:, 1] = 0
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    with pytest.raises(UnnoiseError, match="Save it without transparency"):
        read_mask(tmp_path / "mask.png", DecodeSettings((8, 8), 1), [(8, 8)])
    with pytest.raises(UnnoiseError, match="no others"):
        mask_of(tmp_path / "mask.png", (WHITE, 0), (BLACK, 0))
