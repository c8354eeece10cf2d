"""Arrays of pictures: which axis is which, what their numbers mean, and what is said of both."""

import numpy as np
import pytest

from unnoise.data import ValueRange, load, read_pictures, summarize
from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.utils.errors import UnnoiseError

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))

    def save(array, name="x.npy"):
        path = tmp_path / name
        if path.suffix == ".npz":
            np.savez(path, images=array)
        else:
            np.save(path, array)
        return path

    return save


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "HWCN", "CHWN", "NWHC", "nchw"])
def test_a_given_layout_is_followed_and_said(saved, layout, name):
    order = ["NHWC".index(axis) for axis in layout.upper()]
    images = load(saved(np.ascontiguousarray(PICTURES.transpose(order)), name), layout=layout)
    assert (images.pixels == PICTURES).all()
    assert "6 pictures of 8 x 10 with 3 channels" in images.notes[0]
    assert layout.upper() in images.notes[0]


@pytest.mark.parametrize(
    ("layout", "array"),
    [
        ("NHW", PICTURES[..., 0]),
        ("HWN", PICTURES[..., 0].transpose(1, 2, 0)),
        ("HWC", PICTURES[0]),
        ("CHW", PICTURES[0].transpose(2, 0, 1)),
    ],
)
def test_a_layout_of_three_axes_is_followed(saved, layout, array):
    images = load(saved(np.ascontiguousarray(array)), layout=layout)
    expected = PICTURES[..., :1] if "N" in layout else PICTURES[:1]
    assert (images.pixels == expected).all()


@pytest.mark.parametrize(
    ("shape", "read"),
    [
        ((5, 16, 16), (5, 16, 16, 1)),
        ((5, 16, 16, 3), (5, 16, 16, 3)),
        ((5, 3, 16, 16), (5, 16, 16, 3)),
        ((5, 1, 16, 12), (5, 16, 12, 1)),
        ((5, 16, 12, 1), (5, 16, 12, 1)),
        ((9, 5, 16, 16), (9, 16, 16, 5)),
        ((9, 16, 16, 5), (9, 16, 16, 5)),
        ((2, 4, 4, 3), (2, 4, 4, 3)),
    ],
)
def test_the_reading_of_a_clear_shape_is_said(saved, shape, read):
    images = load(saved(np.full(shape, 200, np.uint8)), size=read[1:3])
    assert images.pixels.shape == read
    text = f"{read[0]} pictures of {read[1]} x {read[2]} with {read[3]} channel"
    assert text in images.notes[0]
    assert str(shape) in images.notes[0]


@pytest.mark.parametrize(
    "shape",
    [
        (64, 64, 3),
        (64, 48, 1),
        (64, 64, 3, 500),
        (9, 5, 16, 12),
        (3, 64, 64, 500),
        (9, 3, 16, 3),
        (9, 16, 16, 16),
    ],
)
def test_an_unclear_shape_is_asked_for(saved, shape):
    with pytest.raises(UnnoiseError, match=r"--layout"):
        load(saved(np.full(shape, 200, np.uint8)))


@pytest.mark.parametrize("layout", ["NHW", "ABCD", "NNHW", "NHC", "NHWCX", ""])
def test_layouts_that_do_not_fit_are_refused(saved, layout):
    path = saved(np.full((9, 5, 16, 12), 200, np.uint8))
    with pytest.raises(UnnoiseError, match="layout"):
        load(path, layout=layout)


def test_two_layouts_of_one_file_are_two_entries_of_the_cache(saved):
    path = saved(np.random.default_rng(0).random((6, 6, 6, 3)), "x.npz")
    first, other = load(path, layout="NHWC"), load(path, layout="HWNC")
    assert first.fingerprint != other.fingerprint
    assert load(path, layout="NHWC").fingerprint == first.fingerprint
    assert summarize(path, layout="HWNC").largest == (6, 6)


@pytest.mark.parametrize(
    ("values", "ranges", "first_and_last"),
    [
        (np.linspace(0, 1, 64), (ValueRange("float", 0, 1),), (0, 255)),
        (np.linspace(0, 1.000001, 64), (ValueRange("float", 0, 1),), (0, 255)),
        (np.linspace(-1, 1, 64, dtype=np.float32), (ValueRange("float", -1, 1),), (0, 255)),
        (np.linspace(0, 255, 64, dtype=np.float16), (ValueRange("float", 0, 255),), (0, 255)),
        (np.arange(64, dtype=np.uint16) * 1000, (ValueRange("uint16", 0, 65535),), (0, 245)),
        (np.arange(64, dtype=np.int64), (ValueRange("int64", 0, 255),), (0, 63)),
        (np.arange(64, dtype=np.int64) % 2, (ValueRange("int64", 0, 1),), (0, 255)),
        (np.arange(64, dtype=np.uint8) % 2, (ValueRange("uint8", 0, 1),), (0, 255)),
        (np.arange(64, dtype=np.uint8) * 4, (), (0, 252)),
        (np.arange(64) % 2 == 1, (), (0, 255)),
    ],
)
@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_numbers_of_every_kind_have_one_range_for_the_array(saved, values, ranges, first_and_last, name):
    path = saved(values.reshape(4, 4, 4), name)
    for _ in range(2):  # decoded, then from the cache
        images = load(path)
        assert images.ranges == ranges
        assert (images.pixels[0, 0, 0, 0], images.pixels[-1, -1, -1, 0]) == first_and_last


def test_the_range_of_an_array_comes_from_all_of_it(saved):
    array = np.zeros((600, 4, 4), np.float32)
    array[-1] = 255
    array[-100:-1] = 20
    images = load(saved(array))
    assert images.ranges == (ValueRange("float", 0, 255),)
    assert images.pixels[-2].max() == 20


def test_a_range_can_be_chosen_for_an_array(saved):
    path = saved(np.full((3, 4, 4), 0.5, np.float32))
    assert load(path, ranges=(0, 2)).pixels[0, 0, 0, 0] == 64
    assert load(path).pixels[0, 0, 0, 0] == 128


def test_single_arrays_are_read_by_the_range_of_the_run(saved):
    path = saved(np.full((2, 4, 4), 1000, np.uint16))
    given = DecodeSettings((4, 4), 1, ranges=(ValueRange("uint16", 0, 4095),))
    assert (read_pictures([path], given) == 62).all()
