"""Bytes of any common picture format become one uint8 array (H, W, C), or one reason why not."""

import re
import threading
import warnings
from io import BufferedReader, BytesIO
from types import TracebackType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.Image import core  # type: ignore[attr-defined]

from unnoise.data.cache.parallel import Room
from unnoise.data.decoding.fitting import fit_picture
from unnoise.data.decoding.pillow_guard import Guarded, orientation_of
from unnoise.data.settings import Colour, Settings, Size

# Named one by one: left to itself, Pillow would also try formats that start other programs (EPS).
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
MODES = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16L", "I;16B", "I;16N"})

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
LARGEST_PIXELS = 100_000_000
"""Of one picture, and of all that are decoded at once: some 2 GB. A file of 200 kB can hold so many."""
_ROOM = Room(LARGEST_PIXELS)
_BLOCK = 64 * 2**20


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
    """Keeps Pillow's warnings still, and its memory in large blocks, while at least one caller is inside.

    Pictures that Pillow finds large or odd are either read or reported as skipped, so its warnings add
    nothing. `warnings.catch_warnings` swaps a list that all threads share: entered by two threads by turns
    it would restore the wrong one. Hence one catcher, and a count of those inside.

    Pillow's blocks of 16 MB are below what the C library gives back to the system at once: each thread would
    keep those of a large picture for itself, and 16 threads 1.4 GB rather than 0.4.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._catcher: warnings.catch_warnings[None] | None = None
        self._block = 0

    def __enter__(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._catcher = warnings.catch_warnings()
                self._catcher.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\.")
                self._block = core.get_block_size()
                core.set_block_size(_BLOCK)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0 and self._catcher is not None:
                core.set_block_size(self._block)
                self._catcher.__exit__(None, None, None)
                self._catcher = None


quiet_pillow = _QuietPillow()
"""`with quiet_pillow:` around everything that opens pictures, in the thread that starts the others."""


def read_header(file: BytesIO | BufferedReader) -> Header:
    """Reads format, mode and size of a picture without decoding it; raises UnreadableError."""
    picture = _open(file)
    height, width, orientation = picture.height, picture.width, orientation_of(picture)
    # From 5 on the stored picture lies on its side; that of a TIFF is known to Pillow by then.
    if picture.format != "TIFF" and orientation >= 5:
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
    with _ROOM.taken(picture.width * picture.height):
        try:
            picture.load()
            flat = to_mode(_upright(picture), settings.known_channels(), settings.background)
            return to_array(fit_picture(flat, settings))
        except Exception as error:
            raise UnreadableError(_reason(error)) from error


def to_mode(picture: Image.Image, channels: int, background: Colour) -> Image.Image:
    """Converts a picture of any mode to L, LA, RGB or RGBA, for 1 to 4 channels.

    Where no alpha is asked for, transparent pictures are laid on `background`.
    """
    mode = MODES[channels]
    grey = picture.mode in GREY_MODES
    picture = _eight_bits(picture)
    if not picture.has_transparency_data:
        return _as(_as(picture, "L" if grey else "RGB"), mode)
    if picture.mode == "La":
        picture = picture.convert("LA")
    colours = _as(picture, "RGBA")
    if channels in {2, 4}:
        return _as(colours, mode)
    canvas = Image.new("RGBA", colours.size, (*background, 255))
    return _as(Image.alpha_composite(canvas, colours).convert("RGB"), mode)


def _as(picture: Image.Image, mode: str) -> Image.Image:
    """Pillow copies a picture that has the mode already: a large one takes 400 MB each time."""
    return picture if picture.mode == mode else picture.convert(mode)


def to_array(picture: Image.Image) -> NDArray[np.uint8]:
    """The pixels of an L, LA, RGB or RGBA picture as uint8 (H, W, C)."""
    pixels: NDArray[np.uint8] = np.asarray(picture, dtype=np.uint8)
    return pixels.reshape(picture.height, picture.width, -1)


def _open(file: BytesIO | BufferedReader) -> Image.Image:
    guarded = Guarded(file)
    try:
        picture = Image.open(guarded, formats=FORMATS)  # type: ignore[arg-type] # of a file it needs no more
    except UnidentifiedImageError as error:
        raise UnreadableError("not a PNG, JPEG, WebP, BMP, GIF or TIFF picture") from error
    except Image.DecompressionBombError as error:
        number = re.search(r"\d+", str(error))
        raise _too_large(int(number[0]) if number else LARGEST_PIXELS + 1) from error
    except Exception as error:
        # A damaged file can make Pillow raise almost anything; none of it may end the whole run.
        raise UnreadableError(_reason(error)) from error
    if picture.width * picture.height > LARGEST_PIXELS:
        raise _too_large(picture.width * picture.height)
    guarded.opening = False
    return picture


def _too_large(pixels: int) -> UnreadableError:
    return UnreadableError(
        f"it has {pixels:,} pixels, and a picture may have {LARGEST_PIXELS:,}: make it smaller, or leave it out"
    )


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _animated(picture: Image.Image) -> bool:
    try:
        return bool(getattr(picture, "is_animated", False))
    except Exception:  # noqa: BLE001 - a damaged second picture is no reason to lose the first
        return False


def _upright(picture: Image.Image) -> Image.Image:
    method = _UPRIGHT.get(orientation_of(picture))
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
        grey = ((np.clip(values, 0, 65535).astype(np.int32) + 128) // 257).astype(np.uint8)
    narrow = Image.fromarray(grey)
    key = picture.info.get("transparency")
    if isinstance(key, int):
        narrow.putalpha(Image.fromarray(np.where(values == key, 0, 255).astype(np.uint8)))
    return narrow
