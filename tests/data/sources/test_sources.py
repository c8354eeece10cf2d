"""Folders and zips as sources: order, skipped files, limits, summaries, and errors."""

import os
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.data_files import file_bytes, plain, save_many
from unnoise.data import Skipped, load, summarize
from unnoise.data.decoding import decode
from unnoise.data.sources import listing
from unnoise.utils.errors import UnnoiseError

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("UNNOISE_CACHE", str(folder))
    return folder


def colours(images):
    return [tuple(int(v) for v in picture[0, 0]) for picture in images.pixels]


@pytest.mark.row("D7")
def test_a_folder_is_read_in_order_at_any_depth_and_in_any_case(tmp_path):
    save_many(tmp_path, {"b.PNG": GREEN, "a/z.Bmp": RED, "c.TIFF": BLUE, ".hidden.png": RED})
    save_many(tmp_path, {".git/x.png": RED, "__MACOSX/a.png": RED})
    (tmp_path / "notes.txt").write_text("not a picture")
    images = load(tmp_path)
    assert colours(images) == [RED, GREEN, BLUE]
    assert (len(images), images.height, images.width, images.channels) == (3, 4, 4, 3)
    assert images.source == str(tmp_path)
    assert images.skipped == ()


def test_take_copies_into_a_contiguous_tensor(tmp_path):
    images = load(save_many(tmp_path, {"a.png": RED, "b.png": GREEN}), size=(2, 3))
    batch = images.take(np.array([1, 0, 1]))
    assert batch.shape == (3, 3, 2, 3)
    assert batch.dtype == torch.uint8
    assert batch.is_contiguous()
    assert batch[0, :, 0, 0].tolist() == list(GREEN)
    batch.zero_()
    assert colours(images) == [RED, GREEN]
    assert not images.pixels.flags.writeable
    with pytest.raises(IndexError):
        images.take(np.array([2]))


def test_links_are_followed_but_not_in_circles(tmp_path):
    folder = save_many(tmp_path / "real", {"a.png": RED, "sub/b.png": GREEN})
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "again").symlink_to(folder / "sub", target_is_directory=True)
    other = save_many(tmp_path / "other", {"c.png": BLUE})
    (folder / "zlink").symlink_to(other, target_is_directory=True)
    (folder / "broken.png").symlink_to(folder / "nothing.png")
    os.mkfifo(folder / "pipe.png")
    images = load(folder)
    assert colours(images) == [RED, GREEN, GREEN, BLUE]  # a, again/b, sub/b, zlink/c
    assert [one.name for one in images.skipped] == ["broken.png", "pipe.png"]


def test_an_unreadable_folder_is_an_error_with_the_reason(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    save_many(tmp_path, {"a.png": RED})
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(UnnoiseError, match="Permission denied"):
        load(tmp_path)


def test_damaged_files_are_skipped_and_the_others_read(tmp_path):
    save_many(tmp_path, {"a.png": RED, "d.png": BLUE})
    (tmp_path / "b.png").write_bytes(b"")
    (tmp_path / "c.png").write_text("text")
    for size in ((4, 4), None):
        images = load(tmp_path, size=size)
        assert colours(images) == [RED, BLUE]
        assert [one.name for one in images.skipped] == ["b.png", "c.png"]
        assert isinstance(images.skipped[0], Skipped)
    assert images.skipped[0].reason == "the file is empty"


def test_only_damaged_files_are_an_error_with_reasons(tmp_path, cache):
    for name in "abcd":
        (tmp_path / f"{name}.png").write_text("text")
    for size in (None, (8, 8)):
        with pytest.raises(UnnoiseError, match=r"the 4 image files.*a\.png: not a PNG.*c\.png") as caught:
            load(tmp_path, size=size, channels=3)
        assert "d.png" not in str(caught.value)
    assert not list(cache.rglob("*.npy"))
    assert not list(cache.rglob("tmp-*"))


def test_pictures_above_the_limit_of_pixels_are_skipped(tmp_path, monkeypatch):
    save_many(tmp_path, {"large.png": RED})
    save_many(tmp_path, {"bomb.png": RED}, size=(50, 50))
    monkeypatch.setattr(decode, "LARGEST_PIXELS", 20)
    images = load(tmp_path, size=(4, 4))
    assert colours(images) == [RED]
    assert "it has 2,500 pixels, over the limit of 20" in images.skipped[0].reason


def test_a_file_that_is_too_large_is_skipped(tmp_path, monkeypatch):
    save_many(tmp_path, {"a.png": RED})
    (tmp_path / "b.bmp").write_bytes(bytes(4000))
    monkeypatch.setattr(listing, "LARGEST_FILE", 3000)
    assert "MB" in load(tmp_path, size=(4, 4)).skipped[0].reason


def test_a_file_name_of_invalid_bytes_is_escaped(tmp_path):
    save_many(tmp_path, {"a.png": RED})
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes text alone")
    load(tmp_path)
    assert load(tmp_path).skipped[0].name == r"\udcff.png"


@pytest.mark.parametrize("content", [{}, {"a.txt": b"text", "README": b"text"}])
def test_a_folder_without_pictures_is_an_error_that_lists_its_files(tmp_path, content):
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(UnnoiseError, match=r"1 \.txt" if content else "no files"):
        load(tmp_path)
    with pytest.raises(UnnoiseError):
        summarize(tmp_path)


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_zip_is_read_in_memory(tmp_path):
    members = {
        "photos/b.png": file_bytes(plain(GREEN)),
        "../a.PNG": file_bytes(plain(RED)),
        "__MACOSX/photos/._b.png": b"resource fork",
        "c.png": b"",
        "notes.txt": b"text",
        "empty/": b"",
    }
    path = zipped(tmp_path / "photos.ZIP", members)
    assert summarize(path).ignored == Counter({".txt": 1})
    images = load(path)
    assert colours(images) == [GREEN]  # ".." begins with a dot, and hidden names are left alone
    assert [one.name for one in images.skipped] == ["c.png"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["photos.ZIP"]
    path.touch()
    assert load(path).fingerprint == images.fingerprint


def test_a_zip_equals_its_folder(tmp_path):
    folder = save_many(tmp_path / "folder", {"a.png": RED, "b/c.png": BLUE})
    members = {"b/c.png": file_bytes(plain(BLUE)), "a.png": file_bytes(plain(RED))}
    assert load(zipped(tmp_path / "x.zip", members)).fingerprint == load(folder).fingerprint


def test_a_zip_bomb_and_a_damaged_member_are_skipped(tmp_path, monkeypatch):
    path = zipped(tmp_path / "x.zip", {"a.png": file_bytes(plain(RED)), "bomb.png": bytes(10_000)})
    monkeypatch.setattr(listing, "LARGEST_FILE", 5000)
    images = load(path, size=(4, 4))
    assert [one.name for one in images.skipped] == ["bomb.png"]
    noise = file_bytes(Image.effect_noise((32, 32), 99))
    path = zipped(tmp_path / "y.zip", {"a.png": file_bytes(plain(RED)), "b.png": noise})
    raw = bytearray(path.read_bytes())
    middle = raw.index(b"b.png") + 300
    raw[middle : middle + 50] = bytes(50)
    path.write_bytes(raw)
    for size in (None, (4, 4)):
        assert [one.name for one in load(path, size=size).skipped] == ["b.png"]


def test_a_damaged_or_empty_zip_is_refused(tmp_path):
    path = tmp_path / "x.zip"
    path.write_text("no zip")
    with pytest.raises(UnnoiseError, match="Cannot read the zip file"):
        load(path)
    with pytest.raises(UnnoiseError, match="holds no files"):
        load(zipped(tmp_path / "empty.zip", {}))


def test_single_pictures_missing_files_and_other_kinds_are_refused(tmp_path):
    save_many(tmp_path, {"a.png": RED})
    with pytest.raises(UnnoiseError, match="single picture"):
        load(tmp_path / "a.png")
    with pytest.raises(UnnoiseError, match="no such file"):
        load("no-such-thing")
    (tmp_path / "a.docx").write_text("")
    with pytest.raises(UnnoiseError, match="another kind"):
        load(str(tmp_path / "a.docx"))


@pytest.mark.parametrize("size", [(0, 8), (8, -1), (4097, 8)])
def test_impossible_sizes_are_refused(tmp_path, size):
    with pytest.raises(UnnoiseError, match="size of pictures is"):
        load(tmp_path, size=size)


def test_impossible_channels_and_colours_are_refused(tmp_path):
    save_many(tmp_path, {"a.png": RED})
    for channels in (0, 5):
        with pytest.raises(UnnoiseError, match=f"cannot have {channels} channels"):
            load(tmp_path, channels=channels)
    with pytest.raises(UnnoiseError, match="background"):
        load(tmp_path, background=(0, 0, 256))


@pytest.mark.parametrize(
    ("sizes", "expected"), [([(4, 6)] * 2, (6, 4)), ([(4, 6), (6, 4)], (64, 64)), ([(200, 200)], (64, 64))]
)
def test_the_default_size_is_that_of_the_pictures_or_64(tmp_path, sizes, expected):
    for number, size in enumerate(sizes):
        save_many(tmp_path, {f"{number}.png": RED}, size=size)
    images = load(tmp_path)
    assert (images.height, images.width) == expected == summarize(tmp_path).proposed_size


@pytest.mark.parametrize(
    ("modes", "expected"),
    [(["L", "1"], 1), (["LA", "I;16"], 1), (["L", "RGB"], 3), (["P"], 3), (["RGBA"], 3)],
)
def test_the_default_channels_are_1_if_all_are_grey_else_3(tmp_path, modes, expected):
    for number, mode in enumerate(modes):
        Image.new(mode, (4, 4)).save(tmp_path / f"{number}.png")
    assert load(tmp_path).channels == expected == summarize(tmp_path).proposed_channels


def test_a_summary_counts_formats_modes_and_sizes(tmp_path):
    for name, size in {"a.png": (2, 2), "b.png": (30, 40), "c.JPG": (300, 200)}.items():
        plain(size=size).save(tmp_path / name)
    exif = Image.Exif()
    exif[0x0112] = 6
    plain(size=(300, 201)).save(tmp_path / "turned.jpg", exif=exif)
    (tmp_path / "bad.png").write_text("text")
    (tmp_path / "x.txt").write_text("text")
    summary = summarize(tmp_path)
    assert (summary.count, summary.unreadable) == (4, ("bad.png",))
    assert summary.formats == Counter({"PNG": 2, "JPEG": 2})
    assert summary.modes == Counter({"RGB": 4})
    assert summary.suffixes == Counter({".png": 2, ".jpg": 2})
    assert summary.ignored == Counter({".txt": 1})
    assert (summary.smallest, summary.median, summary.largest) == ((2, 2), (200, 300), (300, 201))


def test_importing_data_does_not_import_scikit_learn():
    code = "import sys, unnoise.data; sys.exit('sklearn' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=environment).returncode == 0


ARCHIVES = ("a.tar", "a.tar.gz", "a.TGZ", "a.tar.bz2", "a.tar.xz", "a.7z", "a.rar", "a.tar.zst")
TABLES = ("a.parquet", "a.arrow", "a.tfrecord", "a.h5", "a.mat")


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (ARCHIVES, "it is an archive of another kind than .zip. Unpack it"),
        (TABLES, "Save its pictures as files in a folder, or as an array with np.save"),
        (("a.mp4", "a.MOV"), "it is a video. Save its frames as files first"),
        (("a.csv", "a.jsonl", "a.txt"), "it is a list. Name the folder of the pictures that it lists."),
        (("a.pdf", "a.svg"), "it is a document. Save its pictures as PNG into a folder."),
    ],
)
def test_files_that_hold_pictures_otherwise_are_refused_with_what_to_do(tmp_path, names, sentence):
    for name in names:
        (tmp_path / name).write_bytes(b"some bytes")
        with pytest.raises(UnnoiseError) as caught:
            load(tmp_path / name)
        assert sentence in str(caught.value)


@pytest.mark.parametrize(
    "source", ["https://a.org/b.zip", "http://a.org", "s3://a/b", "hf://datasets/a", "FTP://x"]
)
def test_addresses_are_refused_with_the_advice_to_download(source):
    for given in (source, Path(source)):
        with pytest.raises(UnnoiseError, match=r"it is an address on the web\. Download it first"):
            load(given)


def test_files_and_folders_without_permission_are_told_from_damaged_ones(tmp_path, monkeypatch):
    folder = save_many(tmp_path / "pictures", {"a.png": (1, 2, 3), "closed.png": (4, 5, 6)})
    refuse_to_open(monkeypatch, "closed.png")
    images = load(folder)
    assert len(images) == 1
    assert images.skipped == (Skipped("closed.png", "permission denied: change its permissions to use it"),)
    assert images.left_out == "Took 1 picture; could not read 1 .png."
    (folder / "a.png").unlink()
    with pytest.raises(UnnoiseError, match=r"permission denied: change its permissions to use it\)\.$"):
        load(folder)
    np.save(tmp_path / "closed.npy", np.zeros((2, 4, 4), np.uint8))
    monkeypatch.setattr(os, "access", lambda path, _: Path(path).name != "closed.npy")
    with pytest.raises(UnnoiseError, match=r"permission denied\. Change its permissions"):
        load(tmp_path / "closed.npy")


def refuse_to_open(monkeypatch, name):
    """Lets no file of this name be opened, as permissions would: root, who may run tests, may read all."""
    real = Path.open

    def opened(path, *arguments, **options):
        if path.name == name:
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", opened)


CONFIGS = ('{"model_type": "vit"}', "{}", "[1]", "no JSON", '"recipe"')


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("place", ["", "nested/"])
def test_pictures_beside_the_config_of_another_program_are_read(tmp_path, config, place):
    """As data sets from a hub have it: a config.json, and a folder `training` of pictures."""
    names = [f"{place}training/{n}.png" for n in range(3)] + [f"{place}0.png", "1.png"]
    folder = save_many(tmp_path / "set", {name: (place, 0, 0) for place, name in enumerate(names)})
    (folder / place / "config.json").write_text(config)
    images = load(folder)
    assert len(images) == len(names)
    assert images.skipped == ()


def test_the_sheets_of_a_run_are_not_read_even_where_its_config_is_damaged(tmp_path):
    folder = save_many(tmp_path / "set", {"a.png": (1, 2, 3), "run/samples/1.png": (4, 5, 6)})
    config = folder / "run" / "config.json"
    config.write_text('{"format": 1, "recipe": {}}')
    assert len(load(folder)) == 1
    config.write_text('{"format": 1, "reci')
    (folder / "run" / "model.safetensors").touch()
    assert len(load(folder)) == 1


@pytest.mark.parametrize("kind", ["folder", "zip", "npy"])
def test_pictures_replaced_with_the_same_size_and_time_are_read_anew(tmp_path, kind):
    def made(value, path):
        if kind == "npy":
            np.save(path, np.full((2, 4, 4, 3), value, np.float32) / 255)
        elif kind == "zip":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.bmp", file_bytes(plain((value, 0, 0)), "BMP"))
        else:
            plain((value, 0, 0)).save(path, "BMP")
        os.utime(path, ns=(10**18, 10**18))
        return path

    folder = tmp_path / "set"
    folder.mkdir()
    path = folder / {"npy": "a.npy", "zip": "a.zip", "folder": "a.bmp"}[kind]
    source = folder if kind == "folder" else path
    made(10, path)
    assert load(source).pixels[0, 0, 0, 0] == 10
    made(20, tmp_path / path.name).replace(path)
    assert load(source).pixels[0, 0, 0, 0] == 20
    made(30, path)  # in place, so the inode stays
    assert load(source).pixels[0, 0, 0, 0] == 30


def zip_with_one_name(path, values, *, more=()):
    """A zip whose members of these reds are all called a.png, and others of the names in `more`."""
    with zipfile.ZipFile(path, "w") as archive:
        for value in values:
            archive.writestr(f"{value}.png", file_bytes(plain((value, 0, 0))))
        for name in more:
            archive.writestr(name, file_bytes(plain()))
    data = path.read_bytes()
    for value in values:
        data = data.replace(f"{value}.png".encode(), b"a.png")
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("when", ["first", "from the cache"])
def test_members_of_a_zip_with_one_name_are_all_taken_and_told(tmp_path, when):
    path = zip_with_one_name(tmp_path / "a.zip", (1, 2, 3), more=["a (2).png", "b.png"])
    for _ in range(2 if when == "from the cache" else 1):
        with pytest.warns(UserWarning, match=r"2 pictures in .* have the name of an earlier one") as told:
            images = load(path)
    assert "such as 'a.png'. All are taken" in str(told[0].message)
    # a (2).png is a name of its own, so the second a.png has the number 3.
    assert images.pixels[:, 0, 0, 0].tolist() == [10, 2, 3, 1, 10]
    with pytest.warns(UserWarning, match=r"under names with a number, such as .a \(3\)\.png"):
        assert summarize(path).count == 5
