"""Damaged and hostile picture files: rows of docs/reliability.md."""

import io
import os
import struct
import zipfile
import zlib
from pathlib import Path

from PIL import Image

from helpers.data_files import file_bytes, plain, png_chunk
from helpers.reliability import Case, Outcome, Place, read, refused

NOISE = Image.effect_noise((64, 64), 50)
GOOD = {"a.png": file_bytes(plain((255, 0, 0))), "z.jpg": file_bytes(plain((0, 0, 255)), "JPEG")}


def picture(title, make, name="bad.png", *, good=2):
    """A row on one file between two good ones; `make` returns its bytes, or writes the file itself."""

    def prepare(_: Place) -> str:
        folder = Path("pictures")
        folder.mkdir()
        for good, data in GOOD.items():
            (folder / good).write_bytes(data)
        path = folder / name
        made = make(path)
        if isinstance(made, bytes):
            path.write_bytes(made)
        return "pictures"

    return read("Pictures", title, prepare, good=good)


def member(title, *, good=2, **options):
    """A row on one member of a zip, beside two good ones."""

    def prepare(_: Place) -> str:
        Path("pictures.zip").write_bytes(zipped(**options))
        return "pictures.zip"

    return read("Zips", title, prepare, good=good)


def zipped(name="bad.png", data=b"", packing=zipfile.ZIP_DEFLATED, mode=0o644, flags=0, spoil=None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for good, content in GOOD.items():
            archive.writestr(good, content)
        info = zipfile.ZipInfo(name)
        info.external_attr = mode << 16
        archive.writestr(info, data, packing, 9)
        if spoil is not None:
            spoil(info)
    raw = bytearray(buffer.getvalue().replace(b"NUL.png", b"\0UL.png"))
    raw[raw.rindex(b"PK\x01\x02") + 8] |= flags
    return bytes(raw)


def png(width, height, *, colour=2, pixels=b"", before=b"") -> bytes:
    """A PNG with this header and these compressed pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def zeros(count: int) -> bytes:
    """So many zero bytes, compressed."""
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(2**20)) for _ in range(count // 2**20)) + packer.flush()


def gif(width, height) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0x80) + bytes(6) + b"\x02\x01\x04\x00;"
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0" + frame


def webp(width, height) -> bytes:
    sides = struct.pack("<I", width - 1)[:3] + struct.pack("<I", height - 1)[:3]
    body = b"WEBPVP8X" + struct.pack("<II", 10, 2) + sides + b"ANIM" + struct.pack("<IIH", 6, 0, 0)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def tiff(width, height, *more) -> bytes:
    """A grey TIFF of one strip, with more tags: (tag, kind, count, value)."""
    tags = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    tags += [(273, 4, 1, 8), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, 16), *more]
    packed = b"".join(struct.pack("<HHII", *tag) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + packed + bytes(68)


def tags(number: int, count: int) -> bytes:
    """EXIF with so many tags, all of which point to the same bytes."""
    each = (struct.pack("<HHII", 1 + tag, 7, count, 0) for tag in range(number))
    return (b"II*\0" + struct.pack("<IH", 8, number) + b"".join(each)).ljust(count + 9, b"\0")


def jpeg_with_exif(exif: bytes) -> bytes:
    """A JPEG with this EXIF, in as many segments as it needs, before the others."""
    plainly = GOOD["z.jpg"]
    parts = (b"Exif\0\0" + exif[start : start + 65_000] for start in range(0, len(exif), 65_000))
    segments = (b"\xff\xe1" + struct.pack(">H", len(part) + 2) + part for part in parts)
    return plainly[:2] + b"".join(segments) + plainly[20:]


def gif_with_comments(megabytes: int) -> bytes:
    """A GIF with comments of so many MB before its frame."""
    sound = file_bytes(plain(), "GIF")
    start = sound.index(b",")
    return sound[:start] + b"!\xfe" + (b"\xff" + bytes(255)) * (megabytes * 4096) + b"\0" + sound[start:]


def bmp(width, height) -> bytes:
    sides = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + sides + bytes(100)


def sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(600 * 2**20)


def lying(size: int):
    """Makes the directory of a zip state this size."""

    def spoil(info: zipfile.ZipInfo) -> None:
        info.file_size = size

    return spoil


def only_bad(_: Place):
    Path("pictures").mkdir()
    for number in range(5):
        Path(f"pictures/{number}.png").write_text("text")
    return ["train", "pictures", "--steps", 1, "--out", "new"]


def trained_beside_bad_ones(place: Place) -> Outcome:
    from helpers.reliability import said_by

    folder = Path("pictures")
    folder.mkdir()
    for good, data in GOOD.items():
        (folder / good).write_bytes(data)
    (folder / "torn\n\x1b[31m.png").write_bytes(file_bytes(NOISE)[:2000])
    code, _ = said_by(["train", "pictures", "--steps", "1", "--size", "8", "--batch-size", "2", "--out", "new"])
    assert code == 0
    said = Path("new/skipped.txt").read_text("utf-8").strip()
    return Outcome("unnoise train pictures --steps 1 --out new", f"In new/skipped.txt: {said}.")


CASES = [
    picture("an empty file", lambda _: b""),
    picture("a text", lambda _: b"Dear Sir or Madam"),
    picture("a truncated PNG", lambda _: file_bytes(NOISE)[:2000]),
    picture("a truncated JPEG", lambda _: file_bytes(NOISE, "JPEG")[:1500], "bad.jpg"),
    picture(
        "a PNG with 200 bytes zeroed", lambda _: file_bytes(NOISE)[:60] + bytes(200) + file_bytes(NOISE)[260:]
    ),
    picture(
        "PostScript, for which Pillow would start another program",
        lambda _: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    ),
    picture("100 bytes that claim 60,000 x 60,000 pixels (PNG)", lambda _: png(60_000, 60_000)),
    picture(
        "164 kB that unpack to 169 MB (PNG, 13,000 x 13,000)",
        lambda _: png(13_000, 13_000, colour=0, pixels=zeros(162 * 2**20)),
    ),
    picture(
        "a PNG with 64 MB of text packed into 64 kB",
        lambda _: png(
            4, 4, before=png_chunk(b"zTXt", b"k\0\0" + zeros(64 * 2**20)), pixels=zlib.compress(bytes(52))
        ),
    ),
    picture(
        "a PNG with an international text of 64 MB",
        lambda _: png(
            4,
            4,
            before=png_chunk(b"iTXt", b"k\0\1\0\0\0" + zeros(64 * 2**20)),
            pixels=zlib.compress(bytes(52)),
        ),
    ),
    picture(
        "a PNG with a colour profile of 64 MB",
        lambda _: png(
            4, 4, before=png_chunk(b"iCCP", b"k\0\0" + zeros(64 * 2**20)), pixels=zlib.compress(bytes(52))
        ),
    ),
    picture("65,535 x 65,535 pixels in 38 bytes (GIF)", lambda _: gif(65_535, 65_535), "bad.gif"),
    picture("16,384 x 16,384 pixels in 44 bytes (WebP)", lambda _: webp(16_384, 16_384), "bad.webp"),
    picture("60,000 x 60,000 pixels in 180 bytes (TIFF)", lambda _: tiff(60_000, 60_000), "bad.tif"),
    picture("60,000 x 60,000 pixels in 154 bytes (BMP)", lambda _: bmp(60_000, 60_000), "bad.bmp"),
    picture("9,000 x 9,000 pixels in 154 bytes (BMP)", lambda _: bmp(9_000, 9_000), "bad.bmp"),
    picture("no pixels at all (PNG of 0 x 9)", lambda _: png(0, 9, pixels=zlib.compress(b""))),
    picture(
        "a TIFF with 60,000 tags",
        lambda _: tiff(4, 4, *((40_000 + n % 20_000, 4, 1, 1) for n in range(60_000))),
        "bad.tif",
    ),
    picture(
        "a TIFF of 1 MB whose tags would take 3 GB",
        lambda _: tiff(4, 4, *((40_000 + n, 7, 10**6, 8) for n in range(3000))) + bytes(10**6),
        "bad.tif",
    ),
    picture(
        "a JPEG of 400 kB whose EXIF would take 5 GB",
        lambda _: jpeg_with_exif(tags(20_000, 390_000)),
        "odd.jpg",
        good=3,
    ),
    picture(
        "a PNG of 500 kB whose EXIF would take 1 GB",
        lambda _: png(4, 4, before=png_chunk(b"eXIf", tags(3000, 490_000)), pixels=zlib.compress(bytes(52))),
        "odd.png",
        good=3,
    ),
    picture("a GIF with 8 MB of comments", lambda _: gif_with_comments(8), "bad.gif"),
    picture("a file of 600 MB", sparse, "bad.tif"),
    picture("a broken link", lambda path: path.symlink_to("nothing.png")),
    picture("a link to itself", lambda path: path.symlink_to(path.name)),
    picture("a link to a device that never ends", lambda path: path.symlink_to("/dev/zero")),
    picture("a pipe that nobody writes to", os.mkfifo),
    picture("a file name with terminal control characters", lambda _: b"", "\x1b[31m\r\u202e.png"),
    refused("Pictures", "only damaged files", only_bad),
    Case("Pictures", "a run on pictures of which one is damaged", trained_beside_bad_ones),
    member(
        "a name that leads out (../../evil.png), which is left alone", name="../../evil.png", data=GOOD["a.png"]
    ),
    member("a name from the root (/tmp/evil.png)", name="/tmp/evil.png", data=GOOD["a.png"], good=3),
    member("a name with a new line and a colour", name="\n\x1b[31m.png", data=b""),
    member("a name that begins with NUL", name="NUL.png", data=GOOD["a.png"]),
    member("a link", name="link.png", data=b"/etc/passwd", mode=0o120777),
    member("a member that unpacks to 64 MB from 65 kB", data=bytes(64 * 2**20)),
    member("a member that claims 100 bytes and holds 64 MB", data=bytes(64 * 2**20), spoil=lying(100)),
    member("a member that claims 1 TB", data=b"x", spoil=lying(2**40)),
    member(
        "a member packed by bzip2, where 50 bytes may become 46 MB", data=bytes(99), packing=zipfile.ZIP_BZIP2
    ),
    member("a member with a password", data=b"x" * 99, flags=1),
]
