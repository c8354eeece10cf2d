"""Pictures of every depth: formats x depths x photometric interpretations x kinds of alpha."""

import json
from itertools import product

import numpy as np
import pytest
import tifffile
from PIL import Image

from helpers.data_files import decoded, file_bytes, full_range, plain
from helpers.deep_files import (
    ALPHAS,
    DARK,
    DEPTHS,
    LIGHT,
    PHOTOMETRICS,
    dtype_of,
    halves,
    packed_rows,
    png_bytes,
    samples,
    tiff_bytes,
)
from unnoise.data import ValueRange, load, read_pictures
from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.data.decoding.value_range import UnknownRangeError, parse_range
from unnoise.utils.errors import UnnoiseError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "pictures").mkdir()
    return tmp_path / "pictures"


def write_grey(path, values, **options):
    tifffile.imwrite(path, values, photometric="minisblack", metadata=None, **options)


def left_and_right(pixels):
    return pixels[:, 1].mean(0), pixels[:, -2].mean(0)


def shown(left, right, alpha):
    """The bytes that two colours, in parts of 1 with alpha last, have on white."""
    if not alpha:
        return 255 * np.array(left), 255 * np.array(right)
    return tuple(255 * (np.array(one[:-1]) * one[-1] + 1 - one[-1]) for one in (left, right))


TABLE = [
    (depth, photometric, alpha)
    for depth, photometric, alpha in product(DEPTHS, PHOTOMETRICS, ALPHAS)
    if not (photometric in {"separated", "miniswhite"} and alpha)
]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize(("depth", "photometric", "alpha"), TABLE)
def test_tiffs_of_every_depth_photometric_and_alpha(folder, depth, photometric, alpha, compression, order):
    colour = photometric in {"rgb", "separated"}
    left, right = ([DARK, 0, LIGHT], [LIGHT, 1, 0.0]) if colour else ([DARK], [LIGHT])
    if alpha:
        left, right = [*left, 1.0], [*right, 0.5]
    stored = samples(left, right, photometric, alpha)
    (folder / "x.tif").write_bytes(
        tiff_bytes(stored, depth, photometric, alpha, compression=compression, byteorder=order)
    )
    # One picture may have no white, so its range is given; finding it is tested below.
    images = load(folder, channels=3, ranges=(0, DEPTHS[depth]))
    for found, wanted in zip(left_and_right(images.pixels[0]), shown(left, right, alpha), strict=True):
        assert np.abs(found - wanted).max() <= 1.5, (found, wanted)
    assert [one.high for one in images.ranges] == ([] if depth == "uint8" else [DEPTHS[depth]])


@pytest.mark.parametrize("depth", [depth for depth in DEPTHS if depth != "uint8"])
def test_the_range_of_a_depth_is_found(folder, depth):
    (folder / "x.tif").write_bytes(
        tiff_bytes(samples([DARK], [LIGHT], "minisblack", None), depth, "minisblack")
    )
    images = load(folder)
    kind = "float" if dtype_of(depth).kind == "f" else dtype_of(depth).name
    assert images.ranges == (ValueRange(kind, 0, DEPTHS[depth]),)
    assert images.pixels[0, 0, [0, -1], 0].tolist() == [51, 204]


@pytest.mark.parametrize(("bits", "levels"), [(1, (0, 1)), (2, (1, 2)), (4, (3, 12)), (8, (51, 204))])
def test_grey_pngs_of_few_bits_keep_their_levels_and_their_transparent_one(bits, levels):
    rows, most = packed_rows(*levels, bits), 2**bits - 1
    opaque = decoded(png_bytes(rows, bits, 0), (8, 8))
    assert opaque[0, [0, -1], 0].tolist() == [255 * level // most for level in levels]
    for hidden in levels:
        data = png_bytes(rows, bits, 0, ((b"tRNS", hidden.to_bytes(2, "big")),))
        expected = [255 if level == hidden else 255 * level // most for level in levels]
        assert decoded(data, (8, 8))[0, [0, -1], 0].tolist() == expected
        alpha = decoded(data, (8, 8), channels=2)[0, [0, -1], 1]
        assert alpha.tolist() == [0 if level == hidden else 255 for level in levels]


def test_a_range_is_needed_before_a_deep_picture_is_decoded():
    with pytest.raises(UnknownRangeError):
        decoded(file_bytes(plain(0.5, (2, 2), "F"), "TIFF"))
    with pytest.raises(UnknownRangeError):
        decoded(file_bytes(plain(0.5, (2, 2), "F"), "TIFF"), ranges=full_range("uint16", 65535))


@pytest.mark.parametrize("settled", [{}, {"size": (8, 8), "channels": 1}])
def test_all_pictures_of_a_source_share_one_range(folder, settled):
    for number, most in enumerate([10, 100, 4000]):
        write_grey(folder / f"{number}.tif", np.full((8, 8), most, np.uint16))
    Image.new("L", (8, 8), 99).save(folder / "bytes.png")
    images = load(folder, **settled)
    assert images.ranges == (ValueRange("uint16", 0, 4095),)
    assert images.pixels[:, 0, 0, 0].tolist() == [1, 6, 249, 99]
    again = load(folder, **settled)
    assert (again.ranges, again.fingerprint) == (images.ranges, images.fingerprint)
    stored = load(folder, size=(8, 8), channels=1, ranges=images.ranges)
    assert stored.fingerprint == images.fingerprint


def test_a_dark_float_frame_of_a_series_stays_dark(folder):
    for number, most in enumerate([0.8, 255, 200]):
        write_grey(folder / f"{number}.tif", np.linspace(0, most, 64, dtype=np.float32).reshape(8, 8))
    images = load(folder)
    assert images.ranges == (ValueRange("float", 0, 255),)
    assert images.pixels[0].max() == 1


def test_overshoot_and_hot_pixels_do_not_widen_a_range(folder):
    ramp = np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)
    for number in range(8):
        picture = np.array(Image.fromarray(ramp).resize((64, 64), Image.Resampling.BICUBIC))
        picture[0, 0] = (1.0, 1.04, 1.000001, 1.5, -0.03, 1.2, -0.3, 1.9)[number]
        write_grey(folder / f"{number}.tif", picture)
    images = load(folder)
    assert images.ranges == (ValueRange("float", 0, 1),)
    assert (images.pixels.mean((1, 2, 3)) > 120).all()


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [
        (np.linspace(-1, 1, 4096, dtype=np.float32), -1, 1),
        (np.linspace(0, 3.3, 4096, dtype=np.float32), 0.0033, 3.3),
        (np.linspace(-1000, 3000, 4096).astype(np.int16), -996, 2996),
        (np.full(4096, 7.25, np.float32), 7.25, 8.25),
        (np.zeros(4096, np.float32), 0, 1),
        (np.full(4096, np.nan, np.float32), 0, 1),
        (np.full(4096, -5, np.int32), -5, -4),
    ],
)
def test_values_that_fill_no_usual_range_are_taken_by_percentiles(folder, values, low, high):
    write_grey(folder / "x.tif", values.reshape(64, 64))
    (found,) = load(folder).ranges
    assert found.low == pytest.approx(low, rel=0.01, abs=0.002)
    assert found.high == pytest.approx(high, rel=0.01)


def test_a_range_by_percentiles(folder):
    values = np.arange(4096, dtype=np.uint16).reshape(64, 64) + 1000
    values[0, :2] = 60000
    write_grey(folder / "x.tif", values)
    (found,) = load(folder, ranges="percentiles").ranges
    assert found.low == pytest.approx(1004, abs=2)
    assert found.high == pytest.approx(5092, abs=4)


def test_deep_masks_are_black_and_white(folder):
    write_grey(folder / "x.tif", np.eye(8, dtype=np.uint16))
    assert (load(folder).pixels[0, ..., 0] == 255 * np.eye(8)).all()


def test_bytes_are_read_as_ever_whatever_the_range(folder):
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(folder / "x.png")
    assert load(folder, ranges=(0, 9)).fingerprint == load(folder).fingerprint
    assert load(folder, ranges="percentiles").ranges == ()


def test_a_tiff_is_set_upright_and_its_header_agrees(folder):
    stored = np.array([[1, 2, 3], [4, 5, 6]], np.uint16) * 10000
    write_grey(folder / "x.tif", stored, extratags=[(274, 3, 1, 6, True)])
    images = load(folder)
    assert images.pixels[0, ..., 0].tolist() == (np.rot90(stored, -1) / 257).round().tolist()


def test_a_tiff_with_separate_planes(folder):
    planes = np.stack([np.full((6, 8), value, np.uint16) for value in (0, 30000, 65535)])
    tifffile.imwrite(folder / "x.tif", planes, photometric="rgb", planarconfig="separate", metadata=None)
    assert load(folder).pixels[0, 0, 0].tolist() == [0, 117, 255]


def test_compressions_that_only_pillow_knows_are_read(folder):
    grey = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    Image.fromarray(grey).save(folder / "x.tif", compression="tiff_lzw")
    Image.fromarray((grey / 65535).astype(np.float32)).save(folder / "y.tif", compression="tiff_lzw")
    images = load(folder)
    expected = (grey / 257).round()
    assert np.abs(images.pixels[..., 0] - expected).max() <= 1


@pytest.mark.parametrize("cut", [9, 60, 200, 500])
def test_a_damaged_deep_tiff_is_skipped_with_a_reason(folder, cut):
    write_grey(folder / "x.tif", np.linspace(0, 1, 256).reshape(16, 16))
    data = (folder / "x.tif").read_bytes()
    (folder / "x.tif").write_bytes(data[:cut])
    write_grey(folder / "y.tif", np.linspace(0, 1, 256).reshape(16, 16))
    images = load(folder)
    assert [one.name for one in images.skipped] == ["x.tif"]
    assert images.skipped[0].reason


def test_single_pictures_are_read_by_the_range_of_a_run_or_by_their_own(folder):
    write_grey(folder / "x.tif", np.full((4, 4), 1000, np.uint16))
    write_grey(folder / "y.tif", np.full((4, 4), 4000, np.uint16))
    own = read_pictures([folder / "x.tif", folder / "y.tif"], DecodeSettings((4, 4), 1))
    assert own[:, 0, 0, 0].tolist() == [62, 249]
    given = DecodeSettings((4, 4), 1, ranges=full_range("uint16", 65535))
    assert read_pictures([folder / "x.tif"], given)[0, 0, 0, 0] == 4


def test_records_of_older_caches_are_used_for_plain_pictures_only(folder, tmp_path):
    Image.fromarray(halves([9], [200])[..., 0].astype(np.uint8)).save(folder / "x.png")
    first = load(folder)
    lists = list((tmp_path / "cache" / "lists").glob("*.json"))
    for path in lists:
        record = json.loads(path.read_text())
        path.write_text(json.dumps({key: record[key] for key in ("files", "content", "skipped")}))
    assert load(folder).fingerprint == first.fingerprint
    assert any(json.loads(path.read_text()).get("reader") == 2 for path in lists)
    (folder / "x.png").unlink()
    write_grey(folder / "x.tif", np.full((8, 8), 2000, np.uint16))
    load(folder)
    for path in (tmp_path / "cache" / "lists").glob("*.json"):
        record = json.loads(path.read_text())
        path.write_text(json.dumps({**record, "content": first.fingerprint, "reader": 1, "ranges": []}))
    assert load(folder).ranges == (ValueRange("uint16", 0, 4095),)


@pytest.mark.parametrize("words", [("1",), ("a", "b"), ("1", "2", "3"), ("2", "1"), ("nan", "1"), ("full",)])
def test_wrong_ranges_are_refused_in_words(words):
    with pytest.raises(UnnoiseError, match="range"):
        parse_range(words)


def test_greys_of_8_bits_with_associated_alpha_need_no_range(folder):
    stored = samples([DARK, 0.5], [LIGHT, 1.0], "minisblack", "assocalpha")
    (folder / "x.tif").write_bytes(tiff_bytes(stored, "uint8", "minisblack", "assocalpha"))
    images = load(folder, channels=2)
    assert images.ranges == ()
    assert np.abs(images.pixels[0, 0, [0, -1]].astype(int) - [[51, 128], [204, 255]]).max() <= 1
