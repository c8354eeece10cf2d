"""Colour management: ICC profiles, gAMA and cHRM of PNGs, broken profiles, and transparency beside them."""

import struct
import threading
from functools import cache
from io import BytesIO

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageCms

from helpers.data_files import decoded, file_bytes, plain, save_many
from helpers.deep_files import bmp_bytes, halves, png_bytes
from unnoise.data import load

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
DISPLAY_P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE_RGB = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
PROPHOTO = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))
SPACES = {
    "Display P3": (DISPLAY_P3, 2.2),
    "Adobe RGB": (ADOBE_RGB, 2.2),
    "ProPhoto": (PROPHOTO, 1.8),
    "linear": (SRGB, 1.0),
    "swapped": ((SRGB[1], SRGB[2], SRGB[0]), 2.2),
}
"""X, Y, Z of red, green and blue under D50, and the exponent of the curve."""
SHOWN = halves([200, 60, 30], [40, 190, 160]).astype(np.uint8)
"""What a colour-managed viewer shows; inside all of these spaces."""


@cache
def icc_profile(primaries, gamma: float, space: bytes = b"RGB ") -> bytes:
    """A display profile of ICC version 2: a matrix and a curve, or a curve alone for greys."""

    def xyz(values):
        return b"XYZ \0\0\0\0" + b"".join(struct.pack(">i", round(value * 65536)) for value in values)

    curve = b"curv\0\0\0\0\0\0\0\x01" + struct.pack(">H", round(gamma * 256)) + b"\0\0"
    white = (0.9642, 1.0, 0.8249)
    tags = [
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + b"\0" * 79),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
        (b"wtpt", xyz(white)),
    ]
    if space == b"GRAY":
        tags.append((b"kTRC", curve))
    else:
        for letter, primary in zip((b"r", b"g", b"b"), primaries, strict=True):
            tags += [(letter + b"XYZ", xyz(primary)), (letter + b"TRC", curve)]
    table, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags:
        table += name + struct.pack(">II", start + len(body), len(content))
        body += content + b"\0" * (-len(content) % 4)
    head = struct.pack(
        ">I4sI4s4s4s", 128 + len(table) + len(body), b"none", 0x02400000, b"mntr", space, b"XYZ "
    )
    head += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + b"none" + b"\0" * 24
    head += b"".join(struct.pack(">i", round(value * 65536)) for value in white) + b"none" + b"\0" * 44
    return head + table + body


def stored_in(space: str, pixels: np.ndarray) -> Image.Image:
    """The picture whose numbers mean these sRGB colours in another space, by numpy alone."""
    primaries, gamma = SPACES[space]
    levels = pixels / 255
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    other = linear @ np.array(SRGB) @ np.linalg.inv(np.array(primaries))
    return Image.fromarray(np.rint(255 * np.clip(other, 0, 1) ** (1 / gamma)).astype(np.uint8))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("space", SPACES)
def test_pictures_with_a_profile_look_as_a_viewer_shows_them(space, kind):
    options = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}.get(kind, {})
    stored = stored_in(space, SHOWN)
    assert np.abs(np.asarray(stored, int) - SHOWN).max() > 15
    data = file_bytes(stored, kind, icc_profile=icc_profile(*SPACES[space]), **options)
    found = decoded(data, (8, 8)).astype(int)
    tolerance = 10 if kind == "JPEG" else 6 if space == "linear" else 4  # JPEG itself is lossy
    assert np.abs(found - SHOWN)[:, [1, -2]].max() <= tolerance


def test_transparency_palettes_and_depth_keep_their_profile(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    profile, stored = icc_profile(*SPACES["Display P3"]), stored_in("Display P3", SHOWN)
    clear = stored.copy()
    clear.putalpha(Image.fromarray(np.where(np.arange(64).reshape(8, 8) < 32, 0, 255).astype(np.uint8)))
    found = decoded(file_bytes(clear, icc_profile=profile), (8, 8)).astype(int)
    assert (found[:4] == 255).all()
    assert np.abs(found - SHOWN)[4:].max() <= 4
    palette = stored.quantize(2)
    found = decoded(file_bytes(palette, icc_profile=profile), (8, 8)).astype(int)
    assert np.abs(found - SHOWN).max() <= 5
    folder = tmp_path / "deep"
    folder.mkdir()
    deep = np.asarray(stored).astype(np.uint16) * 257
    tifffile.imwrite(folder / "x.tif", deep, photometric="rgb", iccprofile=profile, metadata=None)
    assert np.abs(load(folder).pixels[0].astype(int) - SHOWN).max() <= 4


@pytest.mark.parametrize(
    "profile", [ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(), None], ids=["sRGB", "none"]
)
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_pictures_in_srgb_stay_bit_for_bit(mode, profile):
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    picture = Image.fromarray(noise).convert("RGB" if mode == "P" else mode)
    picture = picture.quantize(8) if mode == "P" else picture
    tagged = file_bytes(picture, icc_profile=profile)
    assert (decoded(tagged, (8, 8), 4) == decoded(file_bytes(picture), (8, 8), 4)).all()


def test_greys_follow_the_curve_of_their_profile():
    linear = icc_profile(SRGB, 1.0, b"GRAY")
    data = file_bytes(plain(55, (8, 8), "L"), icc_profile=linear)
    assert np.abs(decoded(data, (8, 8), 1).astype(int) - 128).max() <= 2
    in_colour = file_bytes(plain(55, (8, 8), "L"), icc_profile=icc_profile(SRGB, 1.0))
    assert np.abs(decoded(in_colour, (8, 8), 1).astype(int) - 128).max() <= 2


def test_broken_profiles_are_named_and_ignored(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    whole = icc_profile(*SPACES["Display P3"])
    grey = icc_profile(SRGB, 2.0, b"GRAY")
    broken = {
        "cut": whole[:200],
        "noise": b"no profile" * 20,
        "grey": grey,
        "empty tags": whole[:128] + b"\0" * 300,
    }
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, profile in broken.items():
        plain((10, 20, 30)).save(folder / f"{name}.png", icc_profile=profile)
    for _ in range(2):  # decoded, then from the cache
        images = load(folder)
        assert (images.pixels == (10, 20, 30)).all()
        assert images.skipped == ()
        assert len(images.notes) == 4
        assert all("its colour profile was ignored" in note for note in images.notes[:3])
        assert "1 more" in images.notes[3]


def test_one_profile_serves_many_threads(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    data = file_bytes(stored_in("Display P3", SHOWN), icc_profile=icc_profile(*SPACES["Display P3"]))
    expected, wrong = decoded(data, (8, 8)), []

    def work():
        wrong.extend(1 for _ in range(50) if not (decoded(data, (8, 8)) == expected).all())

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def png_of(pixels, *chunks):
    return png_bytes([row.astype(np.uint8).tobytes() for row in pixels], 8, 2, chunks)


def gamma_chunk(gamma):
    return b"gAMA", struct.pack(">I", round(gamma * 100000))


def chromaticity_chunk(*values):
    return b"cHRM", struct.pack(">8I", *(round(value * 100000) for value in values))


SRGB_XY = (0.3127, 0.329, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3_XY = (0.3127, 0.329, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


def test_the_gamma_of_a_png_is_followed():
    linear = np.rint(255 * halves([0.2140] * 3, [0.6038] * 3))
    found = decoded(png_of(linear, gamma_chunk(1.0)), (8, 8)).astype(int)
    assert np.abs(found[0, [0, -1], 0] - [128, 204]).max() <= 2
    with_colours = decoded(png_of(linear, gamma_chunk(1.0), chromaticity_chunk(*SRGB_XY)), (8, 8))
    assert (with_colours == found).all()


@pytest.mark.parametrize(
    "chunks",
    [
        [gamma_chunk(0.45455)],
        [gamma_chunk(0.45455), chromaticity_chunk(*SRGB_XY)],
        [(b"sRGB", b"\0"), gamma_chunk(1.0)],
        [gamma_chunk(0)],
        [chromaticity_chunk(*P3_XY)],
    ],
    ids=["gamma", "both", "sRGB wins", "no gamma", "chromaticities alone"],
)
def test_a_png_that_says_it_is_srgb_stays_bit_for_bit(chunks):
    assert (decoded(png_of(SHOWN, *chunks), (8, 8)) == SHOWN).all()


def test_the_chromaticities_of_a_png_are_followed():
    stored = np.asarray(stored_in("Display P3", SHOWN))
    chunks = (gamma_chunk(1 / 2.2), chromaticity_chunk(*P3_XY))
    found = decoded(png_of(stored, *chunks), (8, 8)).astype(int)
    assert np.abs(found - SHOWN).max() <= 6  # the curves differ in the dark


@pytest.mark.parametrize("impossible", [(0.0,) * 8, (0.3127, 0.329) * 4])
def test_impossible_chromaticities_are_ignored(impossible):
    data = png_of(SHOWN, gamma_chunk(0.45455), chromaticity_chunk(*impossible))
    assert (decoded(data, (8, 8)) == SHOWN).all()


@pytest.mark.parametrize(("alpha", "opaque"), [([0, 0], True), ([255, 255], True), ([0, 255], False)])
def test_a_bmp_whose_alpha_is_nowhere_used_is_opaque(alpha, opaque):
    pixels = halves([200, 60, 30, alpha[0]], [40, 190, 160, alpha[1]])
    found = decoded(bmp_bytes(pixels), (8, 8))
    assert found[0, 0].tolist() == ([200, 60, 30] if opaque else [255, 255, 255])
    assert found[0, -1].tolist() == [40, 190, 160]


@pytest.mark.parametrize("kind", ["I;16", "RGB"])
def test_a_transparent_level_of_16_bits(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    count = 1 if kind == "I;16" else 3
    pixels = halves([13107] * count, [52428] * count).astype(">u2")
    rows = [row.tobytes() for row in pixels]
    key = struct.pack(f">{count}H", *[13107] * count)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "x.png").write_bytes(png_bytes(rows, 16, 0 if count == 1 else 2, ((b"tRNS", key),)))
    assert load(tmp_path / "x", channels=1).pixels[0, 0, [0, -1], 0].tolist() == [255, 204]


def test_many_pictures_with_one_profile_parse_it_once(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    profile, opened = icc_profile(*SPACES["Adobe RGB"]) + b"\0" * 4, []
    real = ImageCms.ImageCmsProfile

    def counted(source):
        opened.append(source)
        return real(source)

    monkeypatch.setattr(ImageCms, "ImageCmsProfile", counted)
    folder = save_many(tmp_path / "many", {f"{n}.png": (n, n, n) for n in range(20)})
    for path in folder.iterdir():
        with Image.open(BytesIO(path.read_bytes())) as picture:
            picture.save(path, icc_profile=profile)
    load(folder)
    assert 1 <= sum(isinstance(one, BytesIO) for one in opened) <= 4  # threads may meet it at once
