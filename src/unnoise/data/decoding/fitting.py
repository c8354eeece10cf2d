"""A picture is cropped or padded to its new size, and never distorted."""

from PIL import Image

from unnoise.data.settings import Colour, Settings

_FILTER = Image.Resampling.BICUBIC
# Whole-number reduction before the filter: much faster on photographs, and not visible at this gap.
_REDUCING_GAP = 3.0


def fit_picture(picture: Image.Image, settings: Settings) -> Image.Image:
    """Scales an L, LA, RGB or RGBA picture to exactly `settings.size`, keeping its proportions.

    Shrinking is antialiased. Pillow multiplies colours by alpha before it filters LA and RGBA, so the
    colours of invisible pixels do not bleed into their neighbours.
    """
    if settings.fit == "pad":
        return _pad(picture, settings)
    return _crop(picture, settings)


def _crop(picture: Image.Image, settings: Settings) -> Image.Image:
    height, width = settings.known_size()
    scale = max(width / picture.width, height / picture.height)
    # The box is cut from the original, because scaling a 1 x 60000 strip first would fill the memory.
    box_width = min(width / scale, picture.width)
    box_height = min(height / scale, picture.height)
    left = (picture.width - box_width) // 2
    top = (picture.height - box_height) // 2
    if scale == 1:
        return picture.crop((int(left), int(top), int(left) + width, int(top) + height))
    box = (left, top, left + box_width, top + box_height)
    return picture.resize((width, height), _FILTER, box=box, reducing_gap=_REDUCING_GAP)


def _pad(picture: Image.Image, settings: Settings) -> Image.Image:
    height, width = settings.known_size()
    scale = min(width / picture.width, height / picture.height)
    inner = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if inner != picture.size:
        picture = picture.resize(inner, _FILTER, reducing_gap=_REDUCING_GAP)
    canvas = _canvas(picture.mode, (width, height), settings.background)
    canvas.paste(picture, ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return canvas


def _canvas(mode: str, size: tuple[int, int], background: Colour) -> Image.Image:
    if mode in {"LA", "RGBA"}:
        return Image.new(mode, size)  # all zeros: transparent
    return Image.new("RGB", size, background).convert(mode)
