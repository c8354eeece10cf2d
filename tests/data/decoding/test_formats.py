"""Formats of picture files: each with every mode that it has, and HEIC with and without its reader."""

import sys
import zipfile
from collections import Counter
from contextlib import suppress
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from helpers.data_files import decoded, file_bytes, plain
from helpers.deep_files import png_bytes
from unnoise.data import load, read_pictures, summarize
from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.data.decoding.decode import UnreadableError, read_header
from unnoise.data.decoding.formats import left_out_text, picture_suffixes
from unnoise.utils.errors import UnnoiseError

LEFT, RIGHT = (204, 51, 0), (0, 204, 255)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


@pytest.fixture
def without_heic(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)


def halves(mode: str, alpha: int = 255) -> Image.Image:
    """32 x 32 pixels in two halves, of which the left one has this alpha."""
    picture = plain(LEFT, (32, 32))
    picture.paste(RIGHT, (16, 0, 32, 32))
    if mode == "1":
        return picture.getchannel("G").point(lambda level: 255 * (level > 128)).convert("1")
    if mode == "P":
        return picture.quantize(4)
    if mode in {"L", "LA"}:
        picture = picture.getchannel("G")
    if mode.endswith("A"):
        veil = Image.new("L", (32, 32), 255)
        veil.paste(alpha, (0, 0, 16, 32))
        picture.putalpha(veil)
    return picture


def expected(mode: str, alpha: int) -> list[list[float]]:
    left, right = {"1": ((0,) * 3, (255,) * 3), "L": ((51,) * 3, (204,) * 3)}.get(mode[:1], (LEFT, RIGHT))
    return [[255 + (level - 255) * alpha / 255 for level in left], list(right)]


LOSSLESS = {"quality": 100, "subsampling": "4:4:4"}
FORMATS = [
    ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA"), {}, 0.5),
    ("BMP", ("1", "L", "P", "RGB"), {}, 0.5),
    ("GIF", ("1", "L", "P"), {}, 0.5),
    ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA"), {}, 0.5),
    ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA"), {"compression": "tiff_lzw"}, 0.5),
    ("TIFF", ("L", "RGB"), {"compression": "jpeg", "quality": 98}, 3),
    ("WEBP", ("L", "LA", "P", "RGB", "RGBA"), {"lossless": True}, 0.5),
    ("JPEG", ("L", "RGB"), {"quality": 98, "subsampling": 0}, 3),
    ("AVIF", ("1", "L", "LA", "P", "RGB", "RGBA"), LOSSLESS, 3),
    ("JPEG2000", ("L", "LA", "RGB", "RGBA"), {}, 0.5),
    ("JPEG2000", ("L", "LA", "RGB", "RGBA"), {"no_jp2": True}, 0.5),
    ("TGA", ("1", "L", "LA", "P", "RGB", "RGBA"), {}, 0.5),
    ("TGA", ("L", "LA", "P", "RGB", "RGBA"), {"compression": "tga_rle"}, 0.5),
    ("ICO", ("1", "L", "LA", "P", "RGB", "RGBA"), {"sizes": [(32, 32), (8, 8)]}, 0.5),
    ("ICO", ("RGB", "RGBA"), {"bitmap_format": "bmp", "sizes": [(32, 32), (8, 8)]}, 0.5),
    ("QOI", ("RGB", "RGBA"), {}, 0.5),
    ("PPM", ("1", "L", "RGB"), {}, 0.5),
    ("HEIF", ("L", "LA", "RGB", "RGBA"), {"quality": 100, "chroma": 444}, 3),
]
TABLE = [
    (kind, mode, alpha, options, error)
    for kind, modes, options, error in FORMATS
    for mode in modes
    for alpha in ((255, 128, 0) if mode.endswith("A") else (255,))
]


@pytest.mark.parametrize(("kind", "mode", "alpha", "options", "error"), TABLE)
def test_every_format_mode_and_alpha(kind, mode, alpha, options, error):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = file_bytes(halves(mode, alpha), kind, **options)
    assert read_header(BytesIO(data))[:3:2] == (kind, (32, 32))
    pixels = decoded(data, (32, 32))[:, [3, 28]].astype(float)
    assert np.abs(pixels - expected(mode, alpha)).max() <= error + 0.5


@pytest.mark.parametrize(
    ("data", "levels"),
    [
        (b"P5 2 1 65535\n" + np.array([13107, 52428], ">u2").tobytes(), [51, 204]),
        (b"P5 2 1 4095\n" + np.array([819, 3276], ">u2").tobytes(), [51, 204]),
        (b"P5 2 1 100\n\x14\x50", [51, 204]),
        (b"P2\n# levels\n2 1 10\n2 8\n", [51, 204]),
        (b"P6 2 1 65535\n" + np.repeat([13107, 52428], 3).astype(">u2").tobytes(), [51, 204]),
        (b"P3 2 1 255 51 51 51 204 204 204", [51, 204]),
        (b"P1 2 1 1 0", [0, 255]),
        (b"P4 2 1\n\x80", [0, 255]),
        (b"Pf\n2 1\n-1.0\n" + np.array([0.2, 0.8], "<f4").tobytes(), [51, 204]),
        (b"Pf\n2 1\n1.0\n" + np.array([0.2, 0.8], ">f4").tobytes(), [51, 204]),
    ],
)
def test_portable_pixmaps_of_every_depth(folder, data, levels):
    (folder / "x.pnm").write_bytes(data)
    pixels = load(folder, size=(1, 2), channels=1).pixels[0, 0, :, 0].astype(int)
    assert np.abs(pixels - levels).max() <= 1


@pytest.mark.parametrize("kind", ["JPEG2000", "PNG", "TIFF", "PPM"])
def test_greys_of_16_bits_in_every_format_that_has_them(folder, kind):
    Image.fromarray(np.array([[13107, 52428]], np.uint16)).resize((32, 32), 0).save(folder / "x.png", kind)
    images = load(folder)
    assert images.ranges[0].text() == "0 to 65535 (uint16)"
    assert images.pixels[0, 0, [3, 28], 0].tolist() == [51, 204]


def test_colours_of_16_bits_in_a_png_are_right_to_a_level():
    values = np.arange(0, 65536, 65535 // 255 // 4, dtype=np.uint16)[:1021]
    side = 31
    stored = np.stack([values[: side**2].reshape(side, side)] * 3, axis=-1)
    data = png_bytes([row.astype(">u2").tobytes() for row in stored], 16, 2)
    assert np.abs(decoded(data, (side, side)).astype(float) - stored / 257).max() <= 1


def test_every_suffix_is_taken_from_folders_zips_and_as_a_single_picture(folder, tmp_path):
    pytest.importorskip("pillow_heif").register_heif_opener()
    kinds = {".jp2": "JPEG2000", ".avif": "AVIF", ".tga": "TGA", ".ico": "ICO", ".qoi": "QOI", ".ppm": "PPM"}
    kinds |= {".png": "PNG", ".jpg": "JPEG", ".webp": "WEBP", ".bmp": "BMP", ".gif": "GIF", ".tif": "TIFF"}
    kinds |= {".heic": "HEIF"}
    same = {"JPEG2000": (".j2k", ".j2c", ".jpc", ".jpf", ".jpx"), "PPM": (".pgm", ".pbm", ".pnm", ".pfm")}
    same |= {"JPEG": (".jpeg", ".jpe", ".jfif", ".mpo"), "PNG": (".apng",), "TIFF": (".tiff",)}
    same |= {"HEIF": (".heif", ".hif")}
    every = kinds | {suffix: kind for kind, suffixes in same.items() for suffix in suffixes}
    assert set(every) == picture_suffixes()
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for suffix, kind in every.items():
            path = folder / f"x{suffix.upper()}"
            path.write_bytes(file_bytes(plain(LEFT, (32, 32)), kind))
            archive.write(path, path.name)
            assert read_pictures([path], DecodeSettings((4, 4), 3)).shape == (1, 3, 4, 4)
    images = load(folder)
    assert len(images) == len(every)
    assert (images.left_out, images.skipped) == ("", ())
    assert load(tmp_path / "x.zip").fingerprint == images.fingerprint


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)
REMEDY = "pip install 'unnoise[heic]'"


@pytest.mark.parametrize("packed", [False, True])
def test_heic_without_its_reader_is_counted_with_the_remedy(folder, tmp_path, without_heic, packed):
    for number in range(4):
        plain((number, 0, 0)).save(folder / f"{number}.png")
    for number in range(50):
        (folder / f"{number}.HEIC").write_bytes(HEIC)
    (folder / "notes.txt").write_text("text")
    source = folder
    if packed:
        source = tmp_path / "x.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for path in folder.iterdir():
                archive.write(path, path.name)
    for _ in range(2):  # also from the cache
        told = load(source).left_out
        assert told == f"Took 4 pictures; left out 50 .heic (to read them, run {REMEDY}), 1 .txt."
    assert summarize(source).ignored == Counter({".heic": 50, ".txt": 1})


def test_heic_by_another_name_is_read_once_its_reader_is_there(folder, monkeypatch):
    pytest.importorskip("pillow_heif").register_heif_opener()
    (folder / "a.jpg").write_bytes(file_bytes(plain(LEFT, (32, 32)), "HEIF"))
    plain(RIGHT).save(folder / "b.png")
    with monkeypatch.context() as patches:
        patches.setitem(sys.modules, "pillow_heif", None)
        images = load(folder)
        assert images.skipped[0].reason == f"it is a HEIC picture: run {REMEDY} to read it"
        with pytest.raises(UnnoiseError, match=r"unnoise\[heic\]' to read it\.$"):
            read_pictures([folder / "a.jpg"], DecodeSettings((4, 4), 3))
        (folder / "b.png").unlink()
        with pytest.raises(UnnoiseError, match=r"unnoise\[heic\]' to read it\)\.$"):
            load(folder)
        plain(RIGHT).save(folder / "b.png")
    assert len(load(folder)) == 2


def test_a_folder_of_nothing_but_heic_names_the_remedy(folder, without_heic):
    (folder / "a.heic").write_bytes(HEIC)
    with pytest.raises(UnnoiseError, match=r"holds 1 \.heic \(to read them, run pip install"):
        load(folder)
    with pytest.raises(UnnoiseError, match="single picture"):
        load(folder / "a.heic")


def test_a_folder_of_nothing_but_an_array_says_how_it_is_opened(folder):
    np.savez(folder / "pictures.npz", images=np.zeros((4, 8, 8), dtype=np.uint8))
    with pytest.raises(UnnoiseError, match=r"holds 1 \.npz \(an array is opened by the name of its own file\)"):
        load(folder)
    assert len(load(folder / "pictures.npz")) == 4


def test_what_was_not_taken_is_counted_by_suffix():
    assert left_out_text(3, Counter(), Counter()) == ""
    assert left_out_text(1, Counter({"": 1}), Counter({".png": 2})) == (
        "Took 1 picture; left out 1 without suffix; could not read 2 .png."
    )
    assert "2 .nef (raw photographs: develop them to .tif or .jpg)" in left_out_text(
        1, Counter({".nef": 2}), Counter()
    )
    many = Counter({f".{number}": 100 - number for number in range(20)})
    told = left_out_text(1, many, Counter())
    assert told.count(", ") == 7
    assert told.endswith(f", {sum(sorted(many.values())[:13]):,} of other kinds.")


@pytest.mark.parametrize("kind", ["AVIF", "JPEG2000", "TGA", "ICO", "QOI", "PPM", "HEIF"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_a_truncated_file_of_each_format_is_unreadable_or_read(kind, part):
    if kind == "HEIF":
        pytest.importorskip("pillow_heif").register_heif_opener()
    data = file_bytes(Image.effect_noise((32, 32), 50).convert("RGB"), kind)
    with suppress(UnreadableError):
        assert decoded(data[: int(part * len(data))]).shape == (2, 2, 3)


@pytest.mark.parametrize(
    "start", [b"", b"\0\0\2", b"\0\0\2" + bytes(15), b"\0\1\2" * 6, bytes(18), b"text" * 9]
)
def test_what_is_no_tga_is_not_read_as_one(start):
    with pytest.raises(UnreadableError):
        decoded(start)


def test_an_icon_that_claims_a_giant_size_is_refused():
    header = b"\0\0\1\0\1\0" + bytes(8) + (100).to_bytes(4, "little") + (22).to_bytes(4, "little")
    inside = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2
    with pytest.raises(UnreadableError, match="far more than icons have"):
        decoded(header + inside + bytes(76))
