"""Any pile of pictures becomes one array of equal pictures, ready to learn from.

A source is a folder or .zip of pictures, a .npy, .npz or IDX file, or one of the names `digits` and
`fashion-mnist`. `summarize` looks, `load` reads:

    images = load("holiday-photos", size=(64, 64))
    images.take(numpy.array([0, 5, 7]))  # uint8 tensor (3, 3, 64, 64)
"""

from contextlib import closing
from pathlib import Path

from unnoise.data.cache.cache import default_cache, open_cached
from unnoise.data.decoding.decode import quiet_pillow
from unnoise.data.decoding.reading import picture_size, read_mask, read_pictures
from unnoise.data.image_set import ImageSet, Skipped
from unnoise.data.labels.labelling import labelled
from unnoise.data.settings import Colour, Fit, Settings, Size
from unnoise.data.sources.find import find
from unnoise.data.summary import Summary

__all__ = [
    "Fit",
    "ImageSet",
    "Settings",
    "Skipped",
    "Summary",
    "load",
    "picture_size",
    "read_mask",
    "read_pictures",
    "summarize",
]


def load(
    source: str | Path,
    *,
    size: Size | None = None,
    channels: int | None = None,
    fit: Fit = "crop",
    background: Colour = (255, 255, 255),
    labels: bool | Path = False,
    cache: Path | None = None,
    progress: bool = False,
) -> ImageSet:
    """Reads all pictures of `source` as uint8 (N, H, W, C), sorted by name, decoded once and then cached.

    `size` is (height, width); None keeps the size that all pictures share, if no side is above 128, and is
    64 x 64 otherwise. `channels` is 1 to 4; None is 1 if every picture is grey, else 3. `fit` crops to the
    middle or pads with `background`, which also lies behind transparent pictures unless alpha is kept
    (channels 2 or 4). `labels` asks for classes: True for those that the source itself tells of (folders, the
    IDX file beside that of the pictures, `labels` in a .npz), a path for those of an IDX file, or of a .csv of
    files and classes. `cache` is a folder; None follows UNNOISE_CACHE, then XDG_CACHE_HOME.

    Files that cannot be read are listed in `skipped`. Raises UnnoiseError where nothing can be read, or where
    a label that was asked for is missing. Warns, and keeps the pictures in memory, where the cache cannot be
    written.
    """
    settings = Settings(size, channels, fit, background)
    folder = cache or default_cache()
    with quiet_pillow, closing(find(source, folder, progress=progress)) as origin:
        return labelled(open_cached(origin, settings, folder, progress=progress), origin, labels)


def summarize(source: str | Path, *, cache: Path | None = None, progress: bool = False) -> Summary:
    """Says what `source` holds, from headers alone: how many pictures, of which kinds and sizes.

    Raises UnnoiseError where no picture can be read. `cache` is where `fashion-mnist` may be kept.
    """
    with quiet_pillow, closing(find(source, cache or default_cache(), progress=progress)) as origin:
        return origin.summarize(progress=progress)
