"""Data sets: from folders, zips and array files of pictures to training batches.

A source is a folder or .zip of pictures, a .npy, .npz or IDX file, or one of the names `digits` and
`fashion-mnist`. `summarize` reads the headers alone, `load` all pictures:

    images = load("holiday-photos", size=(64, 64))
    images.take(numpy.array([0, 5, 7]))  # uint8 tensor (3, 3, 64, 64)

The names below are imported when they are first used: whoever only judges a file need not wait for PyTorch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unnoise.data.decoding.conversion import DecodeSettings as DecodeSettings
    from unnoise.data.decoding.conversion import Fit as Fit
    from unnoise.data.decoding.value_range import ValueRange as ValueRange
    from unnoise.data.decoding.value_range import ranges_text as ranges_text
    from unnoise.data.image_set import ImageSet as ImageSet
    from unnoise.data.image_set import Skipped as Skipped
    from unnoise.data.loading import load as load
    from unnoise.data.loading import summarize as summarize
    from unnoise.data.single_pictures import picture_size as picture_size
    from unnoise.data.single_pictures import read_mask as read_mask
    from unnoise.data.single_pictures import read_pictures as read_pictures
    from unnoise.data.single_pictures import sizes_in as sizes_in
    from unnoise.data.sources import absolute_source as absolute_source
    from unnoise.data.sources.source import Summary as Summary

_PLACES = {
    "DecodeSettings": "decoding.conversion",
    "Fit": "decoding.conversion",
    "ImageSet": "image_set",
    "Skipped": "image_set",
    "Summary": "sources.source",
    "ValueRange": "decoding.value_range",
    "absolute_source": "sources",
    "load": "loading",
    "picture_size": "single_pictures",
    "ranges_text": "decoding.value_range",
    "read_mask": "single_pictures",
    "read_pictures": "single_pictures",
    "sizes_in": "single_pictures",
    "summarize": "loading",
}
"""Name -> its module in this package."""

__all__ = [*_PLACES]


def __getattr__(name: str) -> object:
    """Imports a name when it is first used (PEP 562)."""
    if name not in _PLACES:
        raise AttributeError(f"module 'unnoise.data' has no attribute {name!r}")
    return getattr(importlib.import_module(f"unnoise.data.{_PLACES[name]}"), name)
