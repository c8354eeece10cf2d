"""Sheet of pictures as training sees them, with pairs of copies below."""

import numpy as np
from PIL import Image

from unnoise import pictures
from unnoise.diffusion.tensors import Images
from unnoise.reports.doctor.checkup import Checkup
from unnoise.reports.doctor.copies import Copies

_MOST_PICTURES = 48
_MOST_PAIRS = 12
_MARGIN = 24
_PAPER = "#ffffff"


def checkup_sheet(checkup: Checkup) -> Image.Image:
    """Up to 48 random pictures, and below them up to twelve pairs of copies."""
    count = len(checkup.images)
    chosen = np.sort(np.random.default_rng(checkup.config.seed).permutation(count)[:_MOST_PICTURES])
    parts = [pictures.grid(_drawable(checkup, chosen.tolist()))]
    if pairs := _pairs(checkup.copies):
        parts.append(_copy_rows(checkup, pairs))
    return _stacked(parts)


def _copy_rows(checkup: Checkup, pairs: list[tuple[int, int, str]]) -> Image.Image:
    upper, lower, captions = (list(each) for each in zip(*pairs, strict=True))
    copies = checkup.copies
    title = f"{copies.exact_copies:,} exact and {copies.near_copies:,} near copies; the largest groups first"
    drawn = _drawable(checkup, upper), _drawable(checkup, lower)
    return pictures.pairs(*drawn, captions, rows=("picture", "its copy"), title=title)


def _pairs(copies: Copies) -> list[tuple[int, int, str]]:
    """The first two of each group with a caption; at least half of the room is for near copies."""
    near = [(group[0], group[1], _caption("near", len(group))) for group in copies.near[:_MOST_PAIRS]]
    room = max(_MOST_PAIRS // 2, _MOST_PAIRS - len(near))
    exact = [(group[0], group[1], _caption("exact", len(group))) for group in copies.exact[:room]]
    return [*exact, *near][:_MOST_PAIRS]


def _caption(kind: str, count: int) -> str:
    return kind if count == 2 else f"{kind}, {count:,} copies"


def _drawable(checkup: Checkup, places: list[int]) -> Images:
    """Pictures in [0, 1]; of more than four channels the first three."""
    taken = checkup.images.take(places).float() / 255
    return taken if taken.shape[1] <= 4 else taken[:, :3]


def _stacked(parts: list[Image.Image]) -> Image.Image:
    """The parts below one another, centred on a white page."""
    width = max(part.width for part in parts) + 2 * _MARGIN
    height = sum(part.height for part in parts) + (len(parts) + 1) * _MARGIN
    page, top = Image.new("RGB", (width, height), _PAPER), _MARGIN
    for part in parts:
        page.paste(part, ((width - part.width) // 2, top))
        top += part.height + _MARGIN
    return page
