"""Array sources: layouts, dtypes, resizing, damaged files, and use without a cache."""

import gzip
import struct
from collections import Counter

import numpy as np
import pytest

from helpers.data_files import idx_bytes, save_many, write_idx_gz
from unnoise.data import cache, load, summarize
from unnoise.utils.errors import UnnoiseError

GREY = np.arange(5 * 6 * 7, dtype=np.uint8).reshape(5, 6, 7)
COLOUR = np.arange(5 * 6 * 7 * 3, dtype=np.uint16).astype(np.uint8).reshape(5, 6, 7, 3)


@pytest.fixture(autouse=True)
def _cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def saved(tmp_path):
    def save(array, name="x.npy"):
        np.save(tmp_path / name, array)
        return tmp_path / name

    return save


def test_a_npy_is_mapped_where_it_lies(saved):
    images = load(saved(COLOUR))
    assert np.shares_memory(images.pixels, images.pixels.base)
    assert isinstance(images.pixels, np.memmap)
    assert (images.pixels == COLOUR).all()
    assert (load(saved(GREY)).pixels[..., 0] == GREY).all()


def test_channels_first_is_recognised(saved):
    first = load(saved(np.ascontiguousarray(COLOUR.transpose(0, 3, 1, 2))))
    assert (first.pixels == COLOUR).all()
    assert first.fingerprint == load(saved(COLOUR, "y.npy")).fingerprint
    assert first.take(np.array([0])).is_contiguous()


def test_channels_last_wins_where_both_would_do(saved):
    assert load(saved(np.zeros((2, 3, 8, 4), np.uint8))).pixels.shape == (2, 3, 8, 4)


def test_floats_and_booleans_become_bytes(saved):
    floats = np.linspace(0, 1, 2 * 3 * 3, dtype=np.float32).reshape(2, 3, 3)
    assert (load(saved(floats)).pixels[..., 0] == np.rint(floats.astype(np.float64) * 255)).all()
    truths = np.eye(4, dtype=bool)[None]
    assert (load(saved(truths)).pixels[..., 0] == truths * 255).all()


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_floats_that_are_not_finite_are_refused(saved, bad):
    with pytest.raises(UnnoiseError, match="not finite"):
        load(saved(np.full((2, 4, 4), bad)))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((0, 4, 4), np.uint8), "shape"),
        (np.zeros((2, 4, 4), np.complex64), "complex64"),
        (np.array([{"a": 1}], dtype=object), "object"),
    ],
)
def test_other_shapes_and_dtypes_are_refused(saved, array, reason):
    with pytest.raises(UnnoiseError, match=reason):
        load(saved(array))


def test_damaged_files_are_refused(tmp_path):
    for name in ("x.npy", "x.npz", "y.npy"):
        (tmp_path / name).write_bytes(b"" if name[0] == "y" else b"\x93NUMPY nonsense")
        with pytest.raises(UnnoiseError, match=r"Cannot read the \.np. file"):
            load(tmp_path / name)
    np.savez(tmp_path / "z.npz", a=GREY)
    (tmp_path / "z.npy").write_bytes((tmp_path / "z.npz").read_bytes())
    with pytest.raises(UnnoiseError, match="magic string is not correct"):
        load(tmp_path / "z.npy")


def test_a_npz_gives_its_images_or_its_only_array(tmp_path):
    np.savez(tmp_path / "a.npz", images=COLOUR, other=GREY)
    assert (load(tmp_path / "a.npz").pixels == COLOUR).all()
    np.savez_compressed(tmp_path / "b.npz", pictures=GREY, labels=np.arange(5))
    assert (load(tmp_path / "b.npz").pixels[..., 0] == GREY).all()
    np.savez(tmp_path / "c.npz", one=GREY, two=COLOUR)
    with pytest.raises(UnnoiseError, match=r"one \(5, 6, 7\), two"):
        load(tmp_path / "c.npz")


def test_an_array_is_resized_and_converted(saved):
    path = saved(COLOUR)
    assert load(path, size=(12, 14)).pixels.shape == (5, 12, 14, 3)
    grey = load(path, channels=1)
    red, green, blue = (int(v) for v in COLOUR[0, 0, 0])
    assert grey.pixels[0, 0, 0, 0] == round(0.299 * red + 0.587 * green + 0.114 * blue)
    assert load(saved(GREY, "g.npy"), channels=3).pixels[0, 0, 1].tolist() == [1, 1, 1]
    assert (load(path, channels=4).pixels[..., 3] == 255).all()


def test_more_than_four_channels_are_kept_and_not_converted(saved):
    many = np.tile(np.arange(6, dtype=np.uint8) * 10, (3, 8, 8, 1))
    images = load(saved(many), size=(4, 4))
    assert images.pixels[2, 3, 3].tolist() == [0, 10, 20, 30, 40, 50]
    with pytest.raises(UnnoiseError, match="from 6 to 3 channels"):
        load(saved(many), channels=3)


def test_padding_an_array_uses_the_background(saved):
    wide = np.full((1, 2, 4, 3), 9, np.uint8)
    padded = load(saved(wide), size=(4, 4), fit="pad", background=(1, 2, 3)).pixels
    assert padded[0, :, 0].tolist() == [[1, 2, 3], [9, 9, 9], [9, 9, 9], [1, 2, 3]]


def test_a_large_array_is_proposed_smaller(saved):
    images = load(saved(np.zeros((1, 130, 130), np.uint8)))
    assert (images.height, images.width) == (64, 64)


@pytest.mark.parametrize("array", [GREY, COLOUR])
def test_idx_is_read_plain_and_packed(tmp_path, array):
    (tmp_path / "x-images-idx3-ubyte").write_bytes(idx_bytes(array))
    plain = load(tmp_path / "x-images-idx3-ubyte")
    assert (plain.pixels == array.reshape(plain.pixels.shape)).all()
    packed = load(write_idx_gz(tmp_path / "y-images-idx3-ubyte.gz", array))
    assert packed.fingerprint == plain.fingerprint


def test_a_folder_of_idx_files_prefers_training(tmp_path):
    write_idx_gz(tmp_path / "raw/t10k-images-idx3-ubyte.gz", GREY[:1])
    assert len(load(tmp_path)) == 1
    write_idx_gz(tmp_path / "raw/train-images-idx3-ubyte.gz", GREY)
    assert len(load(tmp_path)) == 5
    assert summarize(tmp_path).formats == Counter({"IDX": 5})
    save_many(tmp_path, {"a.png": (1, 2, 3)})
    assert summarize(tmp_path).formats == Counter({"PNG": 1})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "nothing"),
        (b"abcd", "61626364"),
        (struct.pack(">II", 0x801, 3) + b"abc", "labels"),
        (struct.pack(">II", 0x803, 3), "its header"),
        (struct.pack(">IIII", 0x803, 2**31, 2**31, 2**31), "only 0"),
        (idx_bytes(GREY)[:-1], "only 209"),
        (idx_bytes(GREY) + b"x", "more"),
    ],
)
def test_a_damaged_idx_is_refused(tmp_path, data, reason):
    (tmp_path / "x-idx3-ubyte").write_bytes(data)
    (tmp_path / "x-idx3-ubyte.gz").write_bytes(gzip.compress(data))
    for path in tmp_path.iterdir():
        with pytest.raises(UnnoiseError, match=reason):
            load(path)


def test_a_damaged_gz_is_refused(tmp_path):
    path = write_idx_gz(tmp_path / "x-idx3-ubyte.gz", GREY)
    whole = path.read_bytes()
    for data in (whole[:-20], b"no gz", whole[:40] + bytes(20) + whole[60:]):
        path.write_bytes(data)
        with pytest.raises(UnnoiseError, match="IDX"):
            load(path)


def test_a_npy_file_is_hashed_once(tmp_path, monkeypatch):
    path = tmp_path / "x.npy"
    np.save(path, np.zeros((5, 4, 4), np.uint8))
    first = load(path)

    def forbid(pixels):
        raise AssertionError("hashed again")

    monkeypatch.setattr(cache, "fingerprint_of", forbid)
    assert load(path).fingerprint == first.fingerprint


def test_an_array_needs_no_cache(tmp_path):
    blocked = tmp_path / "a-file"
    blocked.write_text("not a folder")
    np.save(tmp_path / "x.npy", np.zeros((5, 4, 4), np.uint8))
    assert len(load(tmp_path / "x.npy", cache=blocked)) == 5


def test_an_error_while_building_leaves_no_temporary_file(tmp_path):
    store = tmp_path / "store"
    np.save(tmp_path / "x.npy", np.full((2, 4, 4), np.nan))
    with pytest.raises(UnnoiseError, match="not finite"):
        load(tmp_path / "x.npy", cache=store)
    assert not list(store.rglob("tmp-*"))
