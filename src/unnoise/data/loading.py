"""Loading and summarising of data sets: finds the source, and keeps what was decoded in the cache."""

from contextlib import closing
from pathlib import Path

from unnoise.data.cache import default_cache, open_cached
from unnoise.data.decoding.conversion import Colour, DecodeSettings, Fit, Size
from unnoise.data.decoding.pillow_guard import quiet_pillow
from unnoise.data.decoding.value_range import RangeChoice, known_ranges
from unnoise.data.grouping import Grouping, grouped
from unnoise.data.image_set import ImageSet
from unnoise.data.progress import Progress
from unnoise.data.sources import find_source
from unnoise.data.sources.source import Summary


def load(
    source: str | Path,
    *,
    size: Size | None = None,
    channels: int | None = None,
    fit: Fit = "crop",
    background: Colour = (255, 255, 255),
    ranges: RangeChoice | tuple[float, float] = None,
    layout: str | None = None,
    labels: bool | Path = False,
    label_level: int | None = None,
    strict_labels: bool = False,
    split_folders: bool = False,
    cache: Path | None = None,
    progress: Progress = False,
) -> ImageSet:
    """Reads all pictures of `source` as uint8 (N, H, W, C), sorted by name, decoded once and then cached.

    Files that cannot be read are listed in `skipped`. If the cache cannot be written, the pictures stay in
    memory, with a warning.

    Args:
        source: a folder, .zip, .npy, .npz or IDX file, `digits` or `fashion-mnist`.
        size: (height, width); None keeps the size that all pictures share if no side is above 128, and is
            64 x 64 otherwise.
        channels: 1 to 4; None is 1 if every picture is grey, else 3.
        fit: crops to the middle, or pads with `background`.
        background: also lies behind transparent pictures, unless alpha is kept (channels 2 or 4).
        ranges: (black, white) of pictures with more than 8 bits, and of arrays of numbers other than bytes;
            `percentiles` takes the 0.1st and 99.9th of all values. None finds one range for the whole source:
            the first of 0 to 1, 255, 1023, 4095, ... that holds its values. `ImageSet.ranges` tells it.
        layout: a letter for each axis of an array (N pictures, H rows, W columns, C channels), such as NCHW;
            None finds it from the shape.
        labels: True for the classes of the source itself (folders, the IDX file beside that of the pictures,
            `labels` in a .npz), a path for those of an IDX file or of a .csv of files and classes.
        label_level: level of the folders that name the classes: 1 is the first in which the pictures differ, 2
            the one below. None is 1, or with `split_folders` the first that is not train and test.
        strict_labels: refuses pictures without a class, which train as none of the classes otherwise.
        split_folders: takes the folders train (or training) to learn from, and those of test, val and the like
            as held out, all together. `ImageSet.held_out_ranges` tells which pictures these are.
        cache: a folder; None follows UNNOISE_CACHE, then XDG_CACHE_HOME.
        progress: shows a progress bar on stderr.

    Raises:
        UnnoiseError: if nothing can be read, or labels or folders that were asked for are missing.
    """
    chosen = ranges if isinstance(ranges, str) or ranges is None else known_ranges(ranges)
    settings = DecodeSettings(size, channels, fit, background, chosen)
    folder = cache or default_cache()
    with quiet_pillow, closing(find_source(source, folder, layout=layout, progress=progress)) as found:
        images = open_cached(found, settings, folder, progress=progress)
        return grouped(images, found, Grouping(labels, label_level, strict_labels, split_folders))


def summarize(
    source: str | Path, *, layout: str | None = None, cache: Path | None = None, progress: Progress = False
) -> Summary:
    """Summarises `source` from headers alone: how many pictures, of which kinds and sizes.

    Raises UnnoiseError if no picture can be read. `cache` is where `fashion-mnist` may be kept.
    """
    folder = cache or default_cache()
    with quiet_pillow, closing(find_source(source, folder, layout=layout, progress=progress)) as found:
        return found.summarize(progress=progress)
