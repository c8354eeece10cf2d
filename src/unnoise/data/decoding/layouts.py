"""Layouts of arrays of pictures: which axis counts pictures (N), rows (H), columns (W) and channels (C)."""

from typing import Any

from numpy.typing import NDArray

from unnoise.utils.errors import UnnoiseError, require

_FEW = range(1, 5)
"""Numbers of channels that pictures have as a rule."""
_NAMES = "NHW, NHWC, NCHW, HWC, CHW, HWN or HWCN"


def channels_last(array: NDArray[Any], source: str, layout: str | None) -> NDArray[Any]:
    """Views an array of 3 or 4 axes as (N, H, W, C).

    Args:
        array: the pictures.
        source: its name in messages.
        layout: a letter for each axis, such as NCHW; None finds it from the shape.

    Raises:
        UnnoiseError: for a layout that does not fit, or a shape with several plausible ones.
    """
    found = (layout or guessed_layout(array.shape, source)).upper()
    require(
        len(set(found)) == len(found) and set("HW") <= set(found) <= set("NHWC"),
        f"A layout has a letter for each axis: N pictures, H rows, W columns, C channels. {layout!r} is none. "
        f"Try {_NAMES}.",
    )
    require(
        len(found) == array.ndim,
        f"The layout {found} has {len(found)} axes, but the array of {source!r} has the shape {array.shape}. "
        f"Name a layout of {array.ndim} axes.",
    )
    ordered = array.transpose([found.index(axis) for axis in "NHWC" if axis in found])
    if "N" not in found:
        ordered = ordered[None]
    return ordered if "C" in found else ordered[..., None]


def guessed_layout(shape: tuple[int, ...], source: str) -> str:
    """The layout of a shape that can hardly be read otherwise; raises UnnoiseError for any other shape."""
    layout = _of_three(shape) if len(shape) == 3 else _of_four(shape)
    if layout is None:
        raise UnnoiseError(
            f"The axes of the array in {source!r} are unclear: its shape is {shape}. Say which axis is which "
            f"with --layout, or layout= in Python: {_NAMES} (N pictures, H rows, W columns, C channels)."
        )
    return layout


def _of_three(shape: tuple[int, ...]) -> str | None:
    _, height, width = shape
    # (H, W, 3) is one picture in colour rather than many that are 3 pixels wide.
    return None if width in _FEW and height not in _FEW else "NHW"


def _of_four(shape: tuple[int, ...]) -> str | None:
    _, first, second, last = shape
    if last in _FEW:
        if second in _FEW and first not in _FEW:
            return None  # (H, W, 3, N) with few pictures
        both = first in _FEW and second not in _FEW
        return None if both and first != 1 and last != 1 and first == last else "NHWC"
    if first in _FEW and second not in _FEW:
        return "NCHW"
    if first in _FEW or second in _FEW:
        return None
    # More channels than pictures have: rows and columns are the two axes of equal, greater length.
    if first == second and last < first:
        return "NHWC"
    return "NCHW" if second == last and first < last else None


def layout_text(stored: tuple[int, ...], array: NDArray[Any], layout: str | None) -> str:
    """A sentence on how a stored shape is read, as (N, H, W, C)."""
    count, height, width, channels = array.shape
    pictures = "1 picture" if count == 1 else f"{count:,} pictures"
    chosen = " (--layout sets another reading)" if layout is None else f" (layout {layout.upper()})"
    of = "1 channel" if channels == 1 else f"{channels} channels"
    return f"The array of shape {stored} is read as {pictures} of {height} x {width} with {of}{chosen}."
