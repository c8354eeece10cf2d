"""Bytes of any common picture format become one uint8 array (H, W, C), or one reason why not."""

import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from io import BufferedReader, BytesIO
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from unnoise.data.fitting import fit_picture
from unnoise.data.settings import Colour, Settings, Size

# Named one by one: left to itself, Pillow would also try formats that start other programs (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Pictures above this many pixels are decoded one at a time, to keep the memory in bounds.
_GIANT_PIXELS = 32 * 2**20
_ONE_GIANT = threading.Lock()


class UnreadableError(Exception):
    """Why one picture cannot be read; its text is the reason, without the file's name."""


class Header(NamedTuple):
    """What a picture says of itself before it is decoded; the size is that of the upright picture."""

    format: str
    mode: str
    size: Size
    alpha: bool = False
    """Whether some of it may be transparent."""
    animated: bool = False
    """Whether further pictures follow the first, which alone is decoded."""
    turned: bool = False
    """Whether it is stored mirrored or on its side, and its metadata says so."""


class _QuietPillow:
    """Keeps Pillow's warnings still while at least one caller is inside.

    Pictures that Pillow finds large or odd are either read or reported as skipped, so its warnings add
    nothing. `warnings.catch_warnings` swaps a list that all threads share: entered by two threads by turns
    it would restore the wrong one. Hence one catcher, and a count of those inside.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._catcher: warnings.catch_warnings[None] | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._catcher = warnings.catch_warnings()
                self._catcher.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._catcher is not None:
                self._catcher.__exit__(None, None, None)
                self._catcher = None


quiet_pillow = _QuietPillow()
"""`with quiet_pillow:` around everything that opens pictures, in the thread that starts the others."""


def read_header(file: BytesIO | BufferedReader) -> Header:
    """Reads format, mode and size of a picture without decoding it; raises UnreadableError."""
    picture = _open(file)
    height, width, orientation = picture.height, picture.width, _orientation(picture)
    if orientation >= 5:  # from 5 on the stored picture lies on its side
        height, width = width, height
    return Header(
        picture.format or "",
        picture.mode,
        (height, width),
        alpha=picture.has_transparency_data,
        animated=_animated(picture),
        turned=orientation in _UPRIGHT,
    )


def decode(data: bytes, settings: Settings) -> NDArray[np.uint8]:
    """Turns the bytes of one file into uint8 (H, W, C) as settled in `settings`; raises UnreadableError."""
    if not data:
        raise UnreadableError("the file is empty")
    picture = _open(BytesIO(data))
    # A JPEG can be decoded at 1/2, 1/4 or 1/8 of its size; twice the need leaves the filter enough to do.
    side = 2 * max(settings.known_size())
    picture.draft(None, (side, side))
    with _turn(picture):
        try:
            picture.load()
            flat = to_mode(_upright(picture), settings.known_channels(), settings.background)
        except Exception as error:
            raise UnreadableError(_reason(error)) from error
        return to_array(fit_picture(flat, settings))


def to_mode(picture: Image.Image, channels: int, background: Colour) -> Image.Image:
    """Converts a picture of any mode to L, LA, RGB or RGBA, for 1 to 4 channels.

    Where no alpha is asked for, transparent pictures are laid on `background`.
    """
    mode = MODES[channels]
    grey = picture.mode in GREY_MODES
    picture = _eight_bits(picture)
    if not picture.has_transparency_data:
        return picture.convert("L" if grey else "RGB").convert(mode)
    if picture.mode == "La":
        picture = picture.convert("LA")
    colours = picture.convert("RGBA")
    if channels in {2, 4}:
        return colours.convert(mode)
    canvas = Image.new("RGBA", colours.size, (*background, 255))
    return Image.alpha_composite(canvas, colours).convert("RGB").convert(mode)


def to_array(picture: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an L, LA, RGB or RGBA picture as uint8 (H, W, C)."""
    pixels: NDArray[np.uint8] = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(picture.height, picture.width, -1)


def _open(file: BytesIO | BufferedReader) -> Image.Image:
    try:
        return Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise UnreadableError("not a PNG, JPEG, WebP, BMP, GIF or TIFF picture") from error
    except Exception as error:
        # A damaged file can make Pillow raise almost anything; none of it may end the whole run.
        raise UnreadableError(_reason(error)) from error


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _turn(picture: Image.Image) -> AbstractContextManager[object]:
    return _ONE_GIANT if picture.width * picture.height > _GIANT_PIXELS else nullcontext()


def _orientation(picture: Image.Image) -> int:
    try:
        value = picture.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 - broken metadata is no reason to lose a sound picture
        return 1
    return value if isinstance(value, int) else 1


def _animated(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # noqa: BLE001 - a damaged second picture is no reason to lose the first
        return False


def _upright(picture: Image.Image) -> Image.Image:
    method = _UPRIGHT.get(_orientation(picture))
    if method is None:
        return picture
    turned = picture.transpose(method)
    if "transparency" in picture.info:
        turned.info["transparency"] = picture.info["transparency"]
    return turned


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Brings wide greys to 8 bits by scaling, where `convert("L")` would clip them to white."""
    if picture.mode not in {"I", "F"} and not picture.mode.startswith("I;16"):
        return picture
    values = np.asarray(picture)
    if picture.mode == "F":
        finite = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        full = 1.0 if finite.max() <= 1 else 255.0
        grey = np.rint(np.clip(finite / full, 0, 1) * 255).astype(np.uint8)
    else:
        # Mode I holds 16-bit values as a rule, and 65535 = 255 * 257.
        grey = ((np.clip(values.astype(np.int64), 0, 65535) + 128) // 257).astype(np.uint8)
    narrow = Image.fromarray(grey)
    key = picture.info.get("transparency")
    if isinstance(key, int):
        narrow.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return narrow
