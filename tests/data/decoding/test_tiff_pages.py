"""TIFF files of several pages, thumbnails and pyramids, and those of YCbCr, Lab and CMYK."""

import logging
import re
import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from helpers.data_files import decoded, file_bytes, full_range
from helpers.deep_files import halves
from unnoise.data.decoding.decode import UnreadableError, measure, read_header

LEFT, RIGHT = (204, 51, 0), (0, 204, 255)
FULL = halves(LEFT, RIGHT, 16).astype(np.uint8)
SMALL = np.full((4, 4, 3), 99, np.uint8)
MASK = np.ones((64, 64), bool)


def pages(*each: tuple[np.ndarray, dict], **options) -> bytes:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer, **options) as writer:
        for pixels, more in each:
            writer.write(pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", metadata=None, **more)
    return buffer.getvalue()


def shown(data: bytes, **options) -> list[list[int]]:
    return decoded(data, (16, 16), **options)[8, [3, 12]].tolist()


THUMBNAILS = {
    "marked": ((SMALL, {"subfiletype": 1}), (FULL, {})),
    "marked, then a mask": (
        (SMALL, {"subfiletype": 1}),
        (FULL, {}),
        (MASK, {"subfiletype": 4}),
    ),
    "not marked": ((SMALL, {}), (FULL, {})),
    "three sizes": ((SMALL, {}), (FULL[::2, ::2], {}), (FULL, {})),
    "a sub-page": ((SMALL, {"subfiletype": 1, "subifds": 1}), (FULL, {})),
    "a pyramid": ((FULL, {"subifds": 2}), (FULL[::2, ::2], {"subfiletype": 1}), (SMALL, {"subfiletype": 1})),
    "the full picture first": ((FULL, {}), (SMALL, {})),
    "pages of one size": ((FULL, {}), (FULL[:, ::-1], {})),
    "a later page of other proportions": ((FULL, {}), (np.zeros((32, 90, 3), np.uint8), {})),
    "a large thumbnail of a later page": ((FULL, {}), (FULL[::2, ::2], {"subfiletype": 1})),
}


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("kind", THUMBNAILS)
def test_the_full_picture_is_read(kind, deep, order, bigtiff):
    def stored(pixels):
        return pixels.astype(np.uint16) * np.uint16(257) if deep and pixels.dtype != bool else pixels

    packing = {"compression": "zlib"} if deep else {}
    each = [(stored(pixels), {**packing, **more}) for pixels, more in THUMBNAILS[kind]]
    data = pages(*each, byteorder=order, bigtiff=bigtiff)
    assert shown(data, ranges=full_range("uint16", 65535)) == [list(LEFT), list(RIGHT)]
    assert read_header(BytesIO(data)).size == (16, 16)
    statistics = measure(data)
    assert (statistics.high if statistics else None) == (65535 if deep else None)


@pytest.mark.parametrize("cut", range(8, 200, 7))
def test_damaged_pages_do_no_harm(cut):
    data = pages((SMALL, {"subfiletype": 1}), (FULL, {}))
    spoiled = data[:-cut]
    for broken in (spoiled, data[:cut] + b"\xff" * 8 + data[cut + 8 :], data[:4] + b"\x08\0\0\0" + data[8:]):
        try:
            assert decoded(broken).shape == (2, 2, 3)
        except UnreadableError as error:
            reason = str(error)
            assert reason


def test_pages_in_a_circle_end():
    data = bytearray(pages((FULL, {})))
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    assert shown(bytes(data)) == [list(LEFT), list(RIGHT)]


def ycbcr(red, green, blue) -> list[float]:
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return [luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402]


def raw_tiff(strips: list[bytes], rows: int, tags: dict[int, tuple[int, ...]], size=(16, 16)) -> bytes:
    """A little-endian TIFF of these strips; all tags are written as LONG or SHORT."""
    places, body = [], b""
    for strip in strips:
        places.append(8 + len(body))
        body += strip + b"\0" * (len(strip) % 2)
    known = {256: (size[1],), 257: (size[0],), 258: (8, 8, 8), 273: tuple(places), 277: (3,), 278: (rows,)}
    known |= {279: tuple(map(len, strips)), **tags}
    at = 8 + len(body)
    beyond = at + 2 + 12 * len(known) + 4
    entries, more = struct.pack("<H", len(known)), b""
    for tag, values in sorted(known.items()):
        long = tag in {273, 279}
        data = struct.pack(f"<{len(values)}{'I' if long else 'H'}", *values)
        field = data.ljust(4, b"\0") if len(data) <= 4 else struct.pack("<I", beyond + len(more))
        more += data if len(data) > 4 else b""
        entries += struct.pack("<HHI", tag, 4 if long else 3, len(values)) + field
    return b"II*\0" + struct.pack("<I", at) + body + entries + bytes(4) + more


def units(pixels: np.ndarray, across: int, down: int) -> bytes:
    """Blocks of YCbCr: their lumas, then their mean chroma; the picture is padded to whole blocks."""
    height, width = pixels.shape[:2]
    padded = np.pad(pixels, ((0, -height % down), (0, -width % across), (0, 0)), "edge")
    packed = b""
    for row in range(0, height, down):
        for column in range(0, width, across):
            block = padded[row : row + down, column : column + across]
            packed += block[..., 0].tobytes() + block[..., 1:].mean((0, 1)).astype(np.uint8).tobytes()
    return packed


PACKINGS = {1: lambda data: data, 8: zlib.compress}


@pytest.mark.parametrize("compression", PACKINGS)
@pytest.mark.parametrize("blocks", [(1, 1), (2, 1), (2, 2), (4, 1), (4, 2), (4, 4), None])
@pytest.mark.parametrize("size", [(16, 16), (13, 15)])
@pytest.mark.parametrize("rows", [16, 8])
def test_ycbcr_of_every_subsampling(compression, blocks, size, rows):
    height, width = size
    stored = np.rint(halves(ycbcr(*LEFT), ycbcr(*RIGHT), 16)).astype(np.uint8)[:height, :width]
    strips = [units(stored[row : row + rows], *(blocks or (2, 2))) for row in range(0, height, rows)]
    tags = {259: (compression,), 262: (6,), **({530: blocks} if blocks else {})}
    data = raw_tiff([PACKINGS[compression](strip) for strip in strips], rows, tags, size)
    pixels = decoded(data, size)[:, [3, 12]].astype(int)
    assert np.abs(pixels - [LEFT, RIGHT]).max() <= 2


def test_ycbcr_whose_subsampling_is_not_stated_is_whole_where_its_bytes_say_so():
    stored = np.rint(halves(ycbcr(*LEFT), ycbcr(*RIGHT), 16)).astype(np.uint8)
    data = raw_tiff([stored.tobytes()], 16, {259: (1,), 262: (6,)})
    assert np.abs(np.array(shown(data)) - [LEFT, RIGHT]).max() <= 2


@pytest.mark.parametrize("compression", ["jpeg", "tiff_lzw", "tiff_deflate", "raw", "packbits"])
def test_ycbcr_as_pillow_writes_it(compression):
    picture = Image.fromarray(FULL).convert("YCbCr")
    options = {"quality": 98} if compression == "jpeg" else {}
    data = file_bytes(picture, "TIFF", compression=compression, **options)
    assert np.abs(np.array(shown(data)) - [LEFT, RIGHT]).max() <= 4


@pytest.mark.parametrize("planes", ["contig", "separate"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("photometric", ["rgb", "ycbcr"])
def test_planes_of_every_kind(photometric, depth, planes):
    stored = halves(ycbcr(*LEFT), ycbcr(*RIGHT), 16) if photometric == "ycbcr" else FULL.astype(float)
    values = np.rint(stored * (257 if depth == 16 else 1)).astype(f"u{depth // 8}")
    values = np.moveaxis(values, -1, 0) if planes == "separate" else values
    more = {"extratags": [(530, 3, 2, (1, 1), True)]} if photometric == "ycbcr" else {}
    buffer = BytesIO()
    tifffile.imwrite(buffer, values, photometric=photometric, planarconfig=planes, metadata=None, **more)
    found = shown(buffer.getvalue(), ranges=full_range("uint16", 65535))
    assert np.abs(np.array(found) - [LEFT, RIGHT]).max() <= 2


def lab_of(colours: np.ndarray) -> np.ndarray:
    """L from 0 to 255 for 0 to 100, a + 128 and b + 128, as lcms computes it."""
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    flags = ImageCms.Flags.NOOPTIMIZE
    transform = ImageCms.buildTransform(srgb, lab, "RGB", "LAB", flags=flags)
    signed = np.asarray(ImageCms.applyTransform(Image.fromarray(colours), transform))
    return signed ^ np.array([0, 128, 128], np.uint8)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("photometric", [8, 9])
def test_lab_of_both_kinds_and_depths(photometric, depth):
    lab = lab_of(FULL).astype(float)
    if depth == 16:
        lab = np.concatenate([lab[..., :1] * (257 if photometric == 8 else 256), lab[..., 1:] * 256], axis=2)
    values = np.rint(lab).astype(f"<u{depth // 8}")
    if photometric == 8:
        values[..., 1:] ^= 1 << (depth - 1)  # signed
    tags = {258: (depth,) * 3, 259: (1,), 262: (photometric,)}
    found = shown(raw_tiff([values.tobytes()], 16, tags))
    assert np.abs(np.array(found) - [LEFT, RIGHT]).max() <= 6


@pytest.mark.parametrize("samples", [2, 3])
def test_greys_with_samples_of_unknown_meaning(samples):
    stored = np.zeros((8, 8, samples), np.uint8)
    stored[..., 0], stored[..., 1:] = 77, 200
    buffer = BytesIO()
    options = {"planarconfig": "contig", "extrasamples": [0] * (samples - 1)}
    tifffile.imwrite(buffer, stored, photometric="minisblack", metadata=None, **options)
    assert decoded(buffer.getvalue())[0, 0].tolist() == [77, 77, 77]


def test_signed_bytes_have_a_range():
    buffer = BytesIO()
    tifffile.imwrite(buffer, np.array([[25, 102]], np.int8), photometric="minisblack", metadata=None)
    statistics = measure(buffer.getvalue())
    assert statistics.found(None).text() == "0 to 127 (int8)"
    assert decoded(buffer.getvalue(), (1, 2), ranges=(statistics.found(None),))[0, :, 0].tolist() == [50, 205]


@pytest.mark.parametrize(
    ("tags", "words"),
    [
        ({262: (10,)}, "8 + 8 + 8 bits, compression 1, photometric interpretation 10"),
        ({262: (4,), 258: (8,), 277: (1,)}, "8 bits, compression 1, photometric interpretation 4"),
        ({262: (32803,), 258: (16,), 277: (1,)}, "16 bits, compression 1, photometric interpretation 32803"),
        ({262: (2,), 339: (6, 6, 6), 258: (64,) * 3}, "64 + 64 + 64 bits"),
    ],
)
def test_a_tiff_of_another_kind_is_called_one(tags, words):
    data = raw_tiff([bytes(16 * 16 * 24)], 16, {259: (1,), **tags})
    with pytest.raises(UnreadableError, match=r"a TIFF of a kind that cannot be read \(" + re.escape(words)):
        decoded(data)


def test_what_tifffile_logs_is_not_printed(capsys):
    data = raw_tiff([bytes(100)], 4, {258: (16, 16, 16), 259: (1,), 262: (2,)})
    with pytest.raises(UnreadableError):
        decoded(data)
    assert logging.getLogger("tifffile").handlers
    assert capsys.readouterr().err == ""
