"""Odd ranges, colours, transparency, formats and arrays, read as they look: rows of docs/reliability.md."""

import struct
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageCms

from helpers.data_files import cmyk_without_marker, file_bytes, plain
from helpers.deep_files import bmp_bytes, halves, packed_rows, png_bytes, samples, tiff_bytes
from helpers.reliability import Case, Outcome, Place, refused
from unnoise.data import load, ranges_text

DARK, LIGHT, WHITE = (51,) * 3, (204,) * 3, (255,) * 3
RED, BLUE = (204, 51, 0), (0, 204, 255)


def shown(group, title, make, left, right, *, name="x.tif", **options):
    """A row on a picture whose halves must have these colours, to within 3 levels.

    `make` returns the bytes of the file, or writes what is read and returns its path.
    """

    def act(place: Place) -> Outcome:
        made = make(place)
        source = written(name, made) if isinstance(made, bytes) else made
        images = load(source, size=(8, 8), channels=3, **options)
        found = images.pixels[0, 4, [1, 6]]
        assert np.abs(found.astype(int) - [left, right]).max() <= 3, found
        said = [images.left_out, *images.notes, ranges_text(images.ranges).partition(" --range")[0]]
        halves_text = f"Its halves are {tuple(left)} and {tuple(right)}."
        given = "".join(f", {key}={value!r}" for key, value in options.items())
        return Outcome(f"load({source!r}{given})", " ".join([*filter(None, said), halves_text]))

    return Case(group, title, act)


def written(name: str, data: bytes) -> str:
    Path("pictures").mkdir(exist_ok=True)
    Path("pictures", name).write_bytes(data)
    return "pictures"


def deep(depth: str, photometric: str = "minisblack", alpha: str | None = None):
    """Makes a TIFF of dark and light grey, or of two colours."""
    colour = photometric in {"rgb", "separated"}
    left, right = ([0.8, 0.2, 0.0], [0.0, 0.8, 1.0]) if colour else ([0.2], [0.8])
    more = [1.0] if alpha else []
    return lambda _: tiff_bytes(
        samples([*left, *more], [*right, *more], photometric, alpha), depth, photometric, alpha
    )


def overshooting(_: Place) -> str:
    for number, most in enumerate([1.0, 1.04, 1.5]):
        stored = halves([0.2], [0.8], 32)[..., 0].astype(np.float32)
        stored[0, 0] = most
        buffer = BytesIO()
        tifffile.imwrite(buffer, stored, photometric="minisblack", metadata=None)
        written(f"{number}.tif", buffer.getvalue())
    return "pictures"


def with_profile(profile: bytes) -> bytes:
    return file_bytes(Image.fromarray(halves(RED, BLUE).astype(np.uint8)), "PNG", icc_profile=profile)


def with_lab_profile(_: Place) -> bytes:
    return with_profile(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes())


def linear(_: Place) -> bytes:
    """A PNG of linear light (gAMA 1.0)."""
    levels = [round(255 * ((level / 255 + 0.055) / 1.055) ** 2.4) for level in (51, 204)]
    rows = packed_rows(*levels, 8)
    return png_bytes(rows, 8, 0, ((b"gAMA", struct.pack(">I", 100_000)),))


def without_heic(place: Place) -> str:
    place.patches.setitem(sys.modules, "pillow_heif", None)
    for number in range(50):
        written(f"{number}.HEIC", b"\0\0\0\x18ftypheic")
    return written("x.png", file_bytes(Image.fromarray(halves(DARK, LIGHT).astype(np.uint8))))


def heic_by_another_name(place: Place):
    place.patches.setitem(sys.modules, "pillow_heif", None)
    written("x.jpg", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    return ["train", "pictures", "--steps", 1, "--out", "new"]


def cmyk_jpeg(_: Place):
    written("x.jpg", cmyk_without_marker())
    return ["train", "pictures", "--steps", 1, "--out", "new"]


def behind_a_thumbnail(_: Place) -> bytes:
    buffer = BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        writer.write(np.full((4, 4, 3), 9, np.uint8), photometric="rgb", subfiletype=1)
        writer.write(halves(RED, BLUE, 16).astype(np.uint8), photometric="rgb")
    return buffer.getvalue()


def as_format(kind: str):
    return lambda _: file_bytes(Image.fromarray(halves(RED, BLUE, 16).astype(np.uint8)), kind)


def unsupported(_: Place):
    plain(9, mode="L").save("x.tif")
    data = bytearray(Path("x.tif").read_bytes())
    Path("x.tif").unlink()
    place = data.index(struct.pack("<HHI", 262, 3, 1))
    data[place + 8 : place + 10] = struct.pack("<H", 32803)
    written("x.tif", bytes(data))
    return ["train", "pictures", "--steps", 1, "--out", "new"]


def array(values, name="x.npy"):
    def make(_: Place) -> str:
        np.save(name, values)
        return name

    return make


def greys(scale, kind) -> np.ndarray:
    return np.stack([halves([0.2 * scale], [0.8 * scale])[..., 0].astype(kind)] * 2)


def unclear(_: Place):
    np.save("x.npy", np.zeros((4, 3, 8, 3), np.uint8))
    return ["train", "x.npy", "--steps", 1, "--out", "new"]


GREY = (DARK, LIGHT)
COLOURS = (RED, BLUE)
FORMATS = {"AVIF": ".avif", "JPEG2000": ".jp2", "TGA": ".tga", "ICO": ".ico", "QOI": ".qoi", "PPM": ".ppm"}
CASES = [
    shown("Ranges", "a TIFF of 16 bits", deep("uint16"), *GREY),
    shown("Ranges", "12 bits in 16", deep("12 bits in uint16"), *GREY),
    shown("Ranges", "WhiteIsZero of 16 bits", deep("uint16", "miniswhite"), *GREY),
    shown("Ranges", "signed values of 16 bits", deep("int16"), *GREY),
    shown("Ranges", "32-bit integers", deep("uint32"), *GREY),
    shown("Ranges", "floats from 0 to 1", deep("float32"), *GREY),
    shown("Ranges", "floats from 0 to 65535", deep("float32 to 65535"), *GREY),
    shown("Ranges", "three floats, of which two overshoot 1", overshooting, *GREY),
    shown("Ranges", "floats in colour", deep("float32", "rgb"), *COLOURS),
    shown("Ranges", "a range that is given", deep("12 bits in uint16"), (3,) * 3, (13,) * 3, ranges=(0, 65535)),
    refused("Ranges", "a word that is no range", lambda _: ["info", "x", "--range", "full"]),
    shown("Colour", "linear light (gAMA 1.0)", linear, *GREY, name="x.png"),
    shown("Colour", "a broken colour profile", lambda _: with_profile(b"x" * 200), *COLOURS, name="x.png"),
    shown("Colour", "a profile of another space", with_lab_profile, *COLOURS, name="x.png"),
    shown("Colour", "a CMYK TIFF of 16 bits", deep("uint16", "separated"), *COLOURS),
    refused("Colour", "a CMYK JPEG without Adobe's marker", cmyk_jpeg),
    shown(
        "Transparency",
        "a BMP whose alpha is 0 everywhere",
        lambda _: bmp_bytes(halves([*RED, 0], [*BLUE, 0])),
        *COLOURS,
        name="x.bmp",
    ),
    shown(
        "Transparency",
        "a PNG of 4 bits with a transparent level",
        lambda _: png_bytes(packed_rows(3, 12, 4), 4, 0, ((b"tRNS", b"\0\3"),)),
        WHITE,
        LIGHT,
        name="x.png",
    ),
    shown("Transparency", "a TIFF with associated alpha", deep("uint16", "rgb", "assocalpha"), *COLOURS),
    shown("Formats", "50 HEIC beside a PNG, without pillow-heif", without_heic, *GREY),
    refused("Formats", "a HEIC called .jpg, without pillow-heif", heic_by_another_name),
    *(
        shown("Formats", f"a picture in {kind}", as_format(kind), *COLOURS, name=f"x{suffix}")
        for kind, suffix in FORMATS.items()
    ),
    shown("Formats", "a TIFF whose first page is a thumbnail", behind_a_thumbnail, *COLOURS),
    refused("Formats", "a TIFF of the values of a camera's sensor", unsupported),
    shown("Arrays and their values", "an array of 12 bits in 16", array(greys(4095, np.uint16)), *GREY),
    shown("Arrays and their values", "an array of floats up to 255", array(greys(255, np.float32)), *GREY),
    shown(
        "Arrays and their values", "a mask of bytes 0 and 1", array(np.ones((2, 8, 8), np.uint8)), WHITE, WHITE
    ),
    refused("Arrays and their values", "axes that are unclear", unclear),
]
