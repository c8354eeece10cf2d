"""Colour management: pictures with an ICC profile, or the gAMA and cHRM of a PNG, converted to sRGB.

A picture whose profile is that of sRGB stays as it is, bit for bit.
"""

from collections.abc import Callable
from functools import lru_cache
from io import BytesIO
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

_LONGEST_PROFILE = 8 * 2**20
_SAME = 2
"""Levels by which an sRGB profile may differ from lcms's own: makers round its curve in many ways."""
_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode by the colour space of a profile."""
_SRGB_GAMMA = 0.45455
_SRGB_CHROMATICITIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])

Chromaticities: TypeAlias = tuple[float, ...]
"""x and y of white, red, green and blue (CIE 1931)."""


class BrokenProfileError(Exception):
    """A colour profile cannot be used; the text is the reason."""


class _Conversion:
    """A conversion to sRGB from one profile. `mode` is the one that it converts from."""

    def __init__(self, profile: bytes) -> None:
        try:
            opened = ImageCms.ImageCmsProfile(BytesIO(profile))
            space = opened.profile.xcolor_space.strip()
            if space not in _MODES:
                raise BrokenProfileError(f"it is for the colour space {space}")
            self.mode = _MODES[space]
            self._transform = ImageCms.buildTransform(
                opened, _srgb(), self.mode, "RGB", ImageCms.Intent.RELATIVE_COLORIMETRIC
            )
            self.is_srgb = self.mode != "CMYK" and self._changes_nothing()
        except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as error:
            raise BrokenProfileError(str(error) or type(error).__name__) from error

    def __call__(self, picture: Image.Image) -> Image.Image:
        converted = ImageCms.applyTransform(picture, self._transform)
        assert converted is not None
        return converted

    def _changes_nothing(self) -> bool:
        steps = np.arange(0, 256, 15, dtype=np.uint8)
        if self.mode == "L":
            probe = Image.fromarray(steps[None])
        else:
            probe = Image.fromarray(np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3))
        before, after = np.asarray(probe.convert("RGB"), np.int16), np.asarray(self(probe), np.int16)
        return bool(np.abs(before - after).max() <= _SAME)


@lru_cache(maxsize=1)
def _srgb() -> ImageCms.ImageCmsProfile:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))


@lru_cache(maxsize=1)
def _from_lab() -> ImageCms.ImageCmsTransform:
    # Optimised, the transform is a coarse table, off by up to 26 levels.
    lab, flags = ImageCms.createProfile("LAB"), ImageCms.Flags.NOOPTIMIZE
    return ImageCms.buildTransform(lab, _srgb(), "LAB", "RGB", flags=flags)


@lru_cache(maxsize=64)
def _conversion(profile: bytes) -> _Conversion | str:
    """The conversion from this profile, or the reason why there is none."""
    try:
        return _Conversion(profile)
    except BrokenProfileError as error:
        return str(error)


def needs_conversion(picture: Image.Image) -> bool:
    """Whether `to_srgb` may change this picture, of which the header has been read."""
    described = picture.format == "PNG" and _png_colours(picture) is not None
    return picture.mode == "LAB" or "icc_profile" in picture.info or described


def to_srgb(picture: Image.Image, grey: bool, *, is_png: bool = False) -> Image.Image:
    """Converts an 8-bit picture of any mode to sRGB; one without a profile stays as it is.

    Args:
        picture: loaded, with `icc_profile`, or `gamma` and `chromaticity`, in its info.
        grey: whether it is grey, and stays so.
        is_png: whether gamma and chromaticity count.

    Raises:
        BrokenProfileError: for a profile that cannot be used.
    """
    if picture.mode == "LAB":
        converted = ImageCms.applyTransform(picture, _from_lab())
        assert converted is not None
        return converted
    profile = picture.info.get("icc_profile")
    if profile:
        if len(profile) > _LONGEST_PROFILE:
            raise BrokenProfileError(f"it has {len(profile):,} bytes")
        conversion = _conversion(bytes(profile))
        if isinstance(conversion, str):
            raise BrokenProfileError(conversion)
        if conversion.is_srgb:
            return picture
        if (conversion.mode == "CMYK") != (picture.mode == "CMYK") or (conversion.mode == "L" and not grey):
            raise BrokenProfileError(f"it is for {conversion.mode}, but the picture is {picture.mode}")
        return _on_colours(picture, conversion.mode, conversion, grey)
    described = _png_colours(picture) if is_png else None
    if described is None:
        return picture
    return _on_colours(picture, "RGB", lambda colours: _from_png_colours(colours, *described), grey)


def _on_colours(
    picture: Image.Image, mode: str, convert: Callable[[Image.Image], Image.Image], grey: bool
) -> Image.Image:
    """Converts the colours of a picture, and leaves its transparency as it is."""
    alpha = None
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
    colours = convert(picture if picture.mode == mode else picture.convert(mode))
    if grey:
        colours = colours.convert("L")
    if alpha is not None:
        colours.putalpha(alpha)
    return colours


def _png_colours(picture: Image.Image) -> tuple[float, Chromaticities | None] | None:
    """Gamma and chromaticities of a PNG that differ from those of sRGB; None for all other pictures."""
    gamma = picture.info.get("gamma")
    if not gamma or "srgb" in picture.info or not 0.01 < gamma < 10:
        return None
    stated: Chromaticities | None = picture.info.get("chromaticity")
    if stated is None or np.allclose(stated, _SRGB_CHROMATICITIES, atol=0.005):
        stated = None
    return None if abs(gamma - _SRGB_GAMMA) < 0.01 and stated is None else (gamma, stated)


def _from_png_colours(picture: Image.Image, gamma: float, stated: Chromaticities | None) -> Image.Image:
    """Converts RGB of the given gamma and chromaticities to sRGB (PNG 1.2, appendix: gamma tutorial)."""
    levels = np.arange(256) / 255
    linear = _to_linear(levels) if abs(gamma - _SRGB_GAMMA) < 0.01 else levels ** (1 / gamma)
    if stated is None:
        return picture.point(np.rint(255 * _from_linear(linear)).astype(int).tolist() * 3)
    try:
        matrix = np.linalg.inv(_to_xyz(_SRGB_CHROMATICITIES)) @ _to_xyz(stated)
    except (np.linalg.LinAlgError, ZeroDivisionError) as error:
        raise BrokenProfileError("its chromaticities (cHRM) are impossible") from error
    colours = linear.astype(np.float32)[np.asarray(picture)] @ matrix.T.astype(np.float32)
    return Image.fromarray(np.rint(255 * _from_linear(np.clip(colours, 0, 1))).astype(np.uint8))


def _to_xyz(chromaticities: Chromaticities) -> NDArray[np.float64]:
    """The matrix from linear RGB to XYZ under the white of sRGB (Bradford adaptation)."""
    white, *primaries = (
        np.array([x / y, 1, (1 - x - y) / y])
        for x, y in zip(chromaticities[::2], chromaticities[1::2], strict=True)
    )
    columns = np.stack(primaries, axis=1)
    own = columns * np.linalg.solve(columns, white)
    x, y = _SRGB_CHROMATICITIES[:2]
    target = np.array([x / y, 1, (1 - x - y) / y])
    gains = np.diag((_BRADFORD @ target) / (_BRADFORD @ white))
    adapted: NDArray[np.float64] = np.linalg.inv(_BRADFORD) @ gains @ _BRADFORD @ own
    return adapted


def _to_linear(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _from_linear(values: "NDArray[np.floating]") -> "NDArray[np.floating]":
    return np.where(values <= 0.0031308, 12.92 * values, 1.055 * values ** (1 / 2.4) - 0.055)
