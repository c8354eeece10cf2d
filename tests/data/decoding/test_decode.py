"""Decoding of picture files: modes, transparency, orientation, crop and pad, limits, damage."""

import threading
import warnings
from contextlib import closing
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile, PngInfo

from helpers.data_files import cmyk_without_marker, decoded, file_bytes, full_range, plain, png_with_key
from unnoise.data.decoding import decode as decode_module
from unnoise.data.decoding.conversion import to_mode
from unnoise.data.decoding.decode import UnreadableError, read_header
from unnoise.data.decoding.pillow_guard import quiet_pillow
from unnoise.data.limits import Quota
from unnoise.data.parallel import map_in_order


@pytest.mark.parametrize(
    ("mode", "colour", "kind", "expected"),
    [
        ("RGB", (10, 20, 30), "PNG", (10, 20, 30)),
        ("RGB", (10, 20, 30), "BMP", (10, 20, 30)),
        ("RGB", (10, 20, 30), "TIFF", (10, 20, 30)),
        ("RGB", (10, 20, 30), "GIF", (10, 20, 30)),
        ("L", 77, "PNG", (77, 77, 77)),
        ("1", 1, "PNG", (255, 255, 255)),
        ("1", 0, "TIFF", (0, 0, 0)),
        ("LA", (100, 0), "PNG", (255, 255, 255)),
        ("LA", (100, 255), "PNG", (100, 100, 100)),
        ("RGBA", (200, 0, 0, 0), "PNG", (255, 255, 255)),
        ("RGBA", (200, 0, 0, 255), "PNG", (200, 0, 0)),
        ("RGBA", (0, 0, 0, 128), "PNG", (127, 127, 127)),
        ("CMYK", (255, 0, 0, 0), "TIFF", (0, 255, 255)),
        ("CMYK", (0, 0, 0, 0), "TIFF", (255, 255, 255)),
    ],
)
def test_a_plain_picture_keeps_its_colour(mode, colour, kind, expected):
    data = file_bytes(plain(colour, (2, 2), mode), kind)
    assert decoded(data).reshape(-1, 3).tolist() == [list(expected)] * 4


@pytest.mark.parametrize(
    ("mode", "value", "ranges", "expected"),
    [
        ("I", 32768, full_range("int32", 65535), 128),
        ("I", 70000, full_range("int32", 65535), 255),
        ("F", 0.5, full_range("float", 1), 128),
        ("F", 100.0, full_range("float", 255), 100),
        ("F", float("nan"), full_range("float", 1), 0),
    ],
)
def test_a_deep_grey_is_scaled_by_its_range(mode, value, ranges, expected):
    data = file_bytes(plain(value, (2, 2), mode), "TIFF")
    assert (decoded(data, ranges=ranges) == expected).all()


@pytest.mark.parametrize(("value", "expected"), [(0, 0), (128, 0), (129, 1), (32768, 128), (65535, 255)])
@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_are_scaled_and_not_clipped(value, expected, kind):
    picture = Image.fromarray(np.full((2, 2), value, np.uint16))
    ranges = full_range("uint16", 65535)
    assert (decoded(file_bytes(picture, kind), channels=1, ranges=ranges) == expected).all()


def test_ycbcr_and_premultiplied_alpha_are_converted():
    assert to_mode(plain((80, 128, 128), mode="YCbCr"), 3, (0, 0, 0)).getpixel((0, 0)) == (80, 80, 80)
    assert to_mode(plain((80, 0), mode="La"), 4, (0, 0, 0)).getpixel((0, 0))[3] == 0


def test_jpeg_and_webp_decode_to_within_3_grey_levels():
    for kind in ("JPEG", "WEBP"):
        assert np.abs(decoded(file_bytes(plain(), kind)).astype(int) - [10, 20, 30]).max() <= 3


def test_a_cmyk_jpeg_is_not_inverted():
    data = file_bytes(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=100)
    assert np.abs(decoded(data).astype(int) - [255, 0, 0]).max() <= 3


def test_a_cmyk_jpeg_that_does_not_say_whether_it_is_inverted_is_refused():
    with pytest.raises(UnreadableError, match=r"CMYK JPEG without Adobe's marker.*: save it as RGB"):
        decoded(cmyk_without_marker())


def test_a_palette_with_transparency_lies_on_the_background():
    picture = Image.new("P", (2, 1))
    picture.putpalette([255, 0, 0, 0, 0, 255])
    picture.putpixel((1, 0), 1)
    data = file_bytes(picture, transparency=bytes([0, 255]))
    assert decoded(data, (1, 2)).tolist() == [[[255, 255, 255], [0, 0, 255]]]
    assert decoded(data, (1, 2), background=(1, 2, 3)).tolist() == [[[1, 2, 3], [0, 0, 255]]]
    assert decoded(data, (1, 2), channels=4)[0, :, 3].tolist() == [0, 255]
    keyed = file_bytes(picture, transparency=1)
    assert decoded(keyed, (1, 2)).tolist() == [[[255, 0, 0], [255, 255, 255]]]


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_a_transparent_grey_lies_on_the_background(kind):
    data, ranges = png_with_key(np.array([[7, 0]], kind), key=7), full_range("uint16", 65535)
    assert decoded(data, (1, 2), channels=1, ranges=ranges)[..., 0].tolist() == [[255, 0]]
    assert decoded(data, (1, 2), channels=2, ranges=ranges)[0, :, 1].tolist() == [0, 255]


def test_a_transparent_colour_lies_on_the_background():
    data = file_bytes(plain((9, 8, 7), (2, 2)), transparency=(9, 8, 7))
    assert (decoded(data) == 255).all()


def test_alpha_is_kept_on_request_and_hidden_colours_do_not_bleed():
    pixels = np.zeros((8, 8, 4), np.uint8)
    pixels[:, :4] = (0, 0, 255, 255)
    pixels[:, 4:] = (255, 0, 0, 0)  # red that nobody can see
    shrunk = decoded(file_bytes(Image.fromarray(pixels)), (2, 2), channels=4)
    assert shrunk[..., 0].max() == 0
    assert shrunk[0, 0, 2] == 255
    assert shrunk[0, 0, 3] > 200 > 50 > shrunk[0, 1, 3]


@pytest.mark.row("D7")
@pytest.mark.parametrize(
    ("channels", "expected"), [(1, [18]), (2, [18, 255]), (3, [10, 20, 30]), (4, [10, 20, 30, 255])]
)
def test_channels_follow_the_request(channels, expected):
    assert decoded(file_bytes(plain()), channels=channels)[0, 0].tolist() == expected


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, 0), (2, 1), (3, 3), (4, 2), (5, 0), (6, 1), (7, 3), (8, 2), (99, 0)],
)
def test_every_orientation_is_set_upright(kind, orientation, corner):
    """`corner` is where the white corner stands afterwards: 0 1 above, 2 3 below."""
    stored = Image.new("L", (64, 64))
    stored.paste(255, (0, 0, 32, 32))
    exif = Image.Exif()
    exif[0x0112] = orientation
    pixels = decoded(file_bytes(stored, kind, exif=exif), (2, 2), channels=1)
    assert int(pixels.argmax()) == corner


def test_orientation_6_turns_the_size_as_well():
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    upright = decoded(file_bytes(stored, exif=exif), (3, 2), channels=1)[..., 0]
    assert upright.tolist() == [[4, 1], [5, 2], [6, 3]]


def test_a_turned_picture_keeps_its_transparent_grey():
    exif = Image.Exif()
    exif[0x0112] = 3
    stored = Image.fromarray(np.array([[7, 0]], np.uint8))
    data = file_bytes(stored, exif=exif, transparency=7)
    assert decoded(data, (1, 2), channels=1)[..., 0].tolist() == [[0, 255]]


def test_a_header_is_read_without_the_pixels(monkeypatch):
    monkeypatch.setattr(PngImageFile, "load", pytest.fail)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert read_header(BytesIO(file_bytes(plain(size=(4, 9))))).size == (9, 4)
    assert read_header(BytesIO(file_bytes(plain(size=(4, 9)), exif=exif))).size == (4, 9)


def test_orientation_is_found_in_long_exif():
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "x" * 60_000
    stored = Image.fromarray(np.array([[1, 2, 3], [4, 5, 6]], np.uint8))
    for kind in ("PNG", "JPEG", "TIFF", "WEBP"):
        data = file_bytes(stored, kind, exif=exif)
        with quiet_pillow:
            assert read_header(BytesIO(data)).size == (3, 2), kind


def test_orientation_in_an_old_profile_or_in_xmp():
    exif = Image.Exif()
    exif[0x0112] = 6
    text = PngInfo()
    text.add_text("Raw profile type exif", f"\nexif\n {len(exif.tobytes())}\n{exif.tobytes().hex()}\n")
    assert read_header(BytesIO(file_bytes(plain(size=(4, 9)), pnginfo=text))).size == (4, 9)
    xmp = PngInfo()
    xmp.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    assert read_header(BytesIO(file_bytes(plain(size=(4, 9)), pnginfo=xmp))).size == (4, 9)


def test_a_picture_with_broken_exif_is_read():
    data = file_bytes(plain(), exif=b"Exif\0\0not exif at all")
    with quiet_pillow:
        assert decoded(data)[0, 0].tolist() == [10, 20, 30]


@pytest.mark.row("D4")
@pytest.mark.parametrize(("width", "height"), [(9, 4), (10, 4), (4, 9), (4, 10), (4, 4)])
def test_crop_takes_the_middle(width, height):
    rows = np.arange(height * width, dtype=np.uint8).reshape(height, width)
    top, left = (height - 4) // 2, (width - 4) // 2
    cropped = decoded(file_bytes(Image.fromarray(rows)), (4, 4), channels=1)[..., 0]
    assert (cropped == rows[top : top + 4, left : left + 4]).all()


def test_crop_to_a_wide_target_keeps_proportions():
    pixels = np.zeros((16, 16), np.uint8)
    pixels[6:10, 6:10] = 255  # a square stays a square
    cropped = decoded(file_bytes(Image.fromarray(pixels)), (8, 16), channels=1)[..., 0]
    assert (cropped == pixels[4:12]).all()
    enlarged = decoded(file_bytes(Image.fromarray(pixels)), (16, 32), channels=1)[..., 0] > 127
    assert enlarged.any(0).sum() == enlarged.any(1).sum() == 8


def test_pad_keeps_the_whole_picture_and_fills_the_rest():
    padded = decoded(file_bytes(plain((10, 20, 30), (4, 2))), (4, 4), fit="pad", background=(1, 2, 3))
    assert padded[:, 0].tolist() == [[1, 2, 3], [10, 20, 30], [10, 20, 30], [1, 2, 3]]
    scaled = decoded(file_bytes(plain((10, 20, 30), (9, 3))), (3, 6), fit="pad")
    assert scaled[:, 0].tolist() == [[10, 20, 30], [10, 20, 30], [255, 255, 255]]


def test_pad_is_transparent_where_alpha_is_kept():
    padded = decoded(file_bytes(plain((10, 20, 30), (4, 2))), (4, 4), channels=4, fit="pad")
    assert padded[:, 0, 3].tolist() == [0, 255, 255, 0]


@pytest.mark.row("D4")
def test_shrinking_is_antialiased():
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    shrunk = decoded(file_bytes(Image.fromarray(board)), (8, 8), channels=1).astype(int)
    assert np.abs(shrunk - 127).max() <= 3


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_one_pixel_and_a_long_strip_are_resized(fit):
    assert (decoded(file_bytes(plain(size=(1, 1))), (8, 8), fit=fit) == [10, 20, 30]).all()
    assert decoded(file_bytes(plain(size=(1, 20000))), (8, 8), fit=fit).shape == (8, 8, 3)


def test_a_large_jpeg_is_decoded_at_a_reduced_size_with_its_colour():
    data = file_bytes(plain(size=(1024, 512)), "JPEG")
    assert np.abs(decoded(data, (16, 16)).astype(int) - [10, 20, 30]).max() <= 3


def test_pixels_decoded_at_once_stay_within_the_quota(monkeypatch):
    quota, most = Quota(100), 0

    def counted(picture, *arguments):
        nonlocal most
        most = max(most, quota.used)
        return to_mode(picture, *arguments)

    monkeypatch.setattr(decode_module, "PIXEL_QUOTA", quota)
    monkeypatch.setattr(decode_module, "to_mode", counted)
    small, giant = file_bytes(plain(size=(6, 6))), file_bytes(plain(size=(30, 30)))
    with closing(map_in_order(decoded, [small, giant, small] * 10)) as found:
        assert all(pixels[0, 0].tolist() == [10, 20, 30] for pixels in found)
    assert (quota.used, most) == (0, 100)


def test_an_animation_gives_its_first_frame():
    frames = [plain((200, 0, 0)), plain((0, 200, 0))]
    data = file_bytes(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert decoded(data)[0, 0].tolist() == [200, 0, 0]


JPEG = file_bytes(Image.effect_noise((64, 64), 50), "JPEG")
PNG = file_bytes(Image.effect_noise((64, 64), 50))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just some text", "not a PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a PNG"),
        (JPEG[: len(JPEG) // 2], "truncated"),
        (PNG[: len(PNG) // 2], "truncated"),
        (PNG[:60] + bytes(200) + PNG[260:], "."),
        (JPEG[:4], "not a PNG"),
    ],
)
def test_a_damaged_file_is_unreadable_with_a_reason(data, reason):
    with pytest.raises(UnreadableError, match=reason) as caught:
        decoded(data, channels=1)
    assert "0x" not in str(caught.value)


def test_pictures_above_the_limit_of_pixels_are_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    monkeypatch.setattr(decode_module, "LARGEST_PIXELS", 16)
    with quiet_pillow:
        assert decoded(file_bytes(plain(size=(4, 4)))).shape == (2, 2, 3)  # 16 pixels: Pillow only warns
        for width in (4, 5):  # and from 21 on it refuses them itself
            with pytest.raises(UnreadableError, match=f"has {width * 5} pixels, over the limit of 16"):
                decoded(file_bytes(plain(size=(width, 5))))


def test_pillow_is_quiet_until_the_last_thread_has_left():
    before = list(warnings.filters)
    inside, leave = threading.Event(), threading.Event()

    def other():
        with quiet_pillow:
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other, daemon=True)
    with quiet_pillow:
        thread.start()
        inside.wait()
    assert list(warnings.filters) != before
    leave.set()
    thread.join()
    assert list(warnings.filters) == before
