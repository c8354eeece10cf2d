"""Uploads in pieces: broken ones go on, finished ones are judged, and nothing is overwritten."""

import io
import os
import pickle
import shutil
import struct
import time
import unicodedata
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from helpers.app_server import served, tree_hash
from helpers.data_files import file_bytes, plain, png_chunk
from unnoise.app import uploads
from unnoise.app.bodies import PIECE
from unnoise.app.errors import ConflictError, NotFoundError, RequestError
from unnoise.app.file_names import safe_name
from unnoise.app.folders import find_source
from unnoise.app.workspace import Workspace

PICTURE = file_bytes(plain())


@pytest.fixture
def workspace(tmp_path):
    return Workspace.open(tmp_path / "work")


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    place = tmp_path_factory.mktemp("place")
    (place / "outside").mkdir()
    (place / "outside" / "secret.png").write_bytes(PICTURE)
    workspace = Workspace.open(place / "work")
    assert workspace.secret
    return workspace


@pytest.fixture(scope="module")
def client(shared):
    with served(shared) as client:
        yield client


def put(workspace, name, data, into="cats"):
    upload = uploads.begin(workspace, name, len(data), into)
    for offset in range(0, len(data), PIECE):
        uploads.add_piece(workspace, upload.id, offset, data[offset : offset + PIECE])
    return uploads.finish(workspace, upload.id)


def sent(client, name, data, into="cats"):
    """The answer to a whole upload, or to the first of its requests that is refused."""
    begun = client.ask("POST", "/api/uploads", {"name": name, "size": len(data), "set": into})
    if begun.status != 201:
        return begun
    address = f"/api/uploads/{begun.words['id']}"
    piece = client.ask("PUT", f"{address}?offset=0", data)
    return client.ask("POST", f"{address}/finish") if piece.status == 200 else piece


def zipped(members, *, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def member(name, *, mode=0o100644):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info


def saved(*arrays, **named):
    buffer = io.BytesIO()
    if named:
        np.savez(buffer, **named)
    else:
        np.save(buffer, *arrays, allow_pickle=True)
    return buffer.getvalue()


def overlapping():
    """A zip whose thousand members are the same bytes (Fifield, A better zip bomb)."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        archive.writestr("a.png", os.urandom(10_000))
        archive.filelist *= 1000
        archive._didModify = True
    return data.getvalue()


def long_directory():
    """A zip whose end says that its list of files takes 100 MB."""
    ending = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, 1, 1, 100 * 2**20, 4, 0)
    return b"PK\3\4" + bytes(100 * 2**20) + ending


HUGE = (
    b"\x89PNG\r\n\x1a\n"
    + png_chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    + png_chunk(b"IDAT", b"x")
)
OBJECTS = np.array([{"a": 1}], dtype=object)
FILES = {
    "a text named .png": ("a.png", b"just a text of some length", "by its first bytes"),
    "a page named .jpg": ("a.jpg", b"<!doctype html><script>alert(1)</script>", "by its first bytes"),
    "an SVG named .png": ("a.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "by its first bytes"),
    "an array named .png": ("a.png", saved(np.zeros((4, 8, 8), np.uint8)), "by its first bytes"),
    "a picture named .zip": ("a.zip", PICTURE, "by its first bytes"),
    "a film named .heic": ("a.heic", b"\0\0\0 ftypisom" + bytes(100), "by its first bytes"),
    "a PNG of nothing but its first bytes": ("a.png", PICTURE[:20], "cannot be used"),
    "a PNG of 3.6 billion pixels": ("a.png", HUGE, "over the limit of 100,000,000"),
    "a program named .zip": ("a.zip", b"\x7fELF" + bytes(100), "by its first bytes"),
    "a zip of nothing but its first bytes": ("a.zip", b"PK\3\4" + bytes(100), "cannot be used"),
    "an empty zip": ("a.zip", zipped({}), "by its first bytes"),
    "a zip without pictures": ("a.zip", zipped({"a.txt": b"a"}), "no pictures"),
    "a zip bomb": ("a.zip", zipped({"a.png": bytes(50 * 2**20)}), "far more than pictures do"),
    "a zip of files in one another": ("a.zip", overlapping(), "lie in one another"),
    "a zip with a name that climbs": ("a.zip", zipped({"../../a.png": PICTURE}), "leads elsewhere"),
    "a zip with an absolute name": ("a.zip", zipped({"/etc/a.png": PICTURE}), "leads elsewhere"),
    "a zip with a drive": ("a.zip", zipped({"C:/a.png": PICTURE}), "leads elsewhere"),
    "a zip with backslashes": ("a.zip", zipped({"..\\..\\a.png": PICTURE}), "leads elsewhere"),
    "a zip with a link": ("a.zip", zipped({member("a.png", mode=0o120777): "/etc/passwd"}), "the link"),
    "a zip of another method": ("a.zip", zipped({"a.png": PICTURE}, method=zipfile.ZIP_LZMA), "default method"),
    "a pickle named .npy": ("a.npy", pickle.dumps(OBJECTS), "by its first bytes"),
    "objects in a .npy": ("a.npy", saved(OBJECTS), "never opens pickles"),
    "objects in a .npz": ("a.npz", saved(images=OBJECTS), "never opens pickles"),
    "a pickle of torch.save named .npz": ("a.npz", zipped({"x/data.pkl": b"x"}), "which is no array"),
    "texts in a .npy": ("a.npy", saved(np.array([[["a"]]])), "holds numbers"),
    "a .npy that ends early": ("a.npy", saved(np.zeros((4, 8, 8), np.uint8))[:200], "needs more than"),
    "a .npy with a header that is code": (
        "a.npy",
        b"\x93NUMPY\1\0" + struct.pack("<H", 20) + b"__import__('os')    ",
        "describes no array",
    ),
}


@pytest.mark.parametrize("title", FILES)
def test_a_file_that_is_not_what_it_says_is_refused_and_removed(shared, client, title):
    name, data, reason = FILES[title]
    before = tree_hash(shared.root.parent, without=shared.hidden)
    answer = sent(client, name, data)
    assert answer.status == 400
    assert set(answer.words) == {"error"}
    assert reason in answer.words["error"]
    assert name in answer.words["error"]
    assert str(shared.root) not in answer.words["error"]
    assert tree_hash(shared.root.parent, without=shared.hidden) == before
    for left in (shared.hidden / "uploads").iterdir():  # the first piece alone was refused
        assert uploads.find(shared, left.name).received == 0
        assert client.ask("DELETE", f"/api/uploads/{left.name}").status == 200


def test_a_zip_with_a_huge_directory_does_not_fill_the_memory(workspace):
    with pytest.raises(RequestError, match="list of files is far longer"):
        put(workspace, "a.zip", long_directory())


def test_a_zero_byte_in_a_name_of_a_zip_is_refused(workspace):
    data = zipped({"a.pngX.txt": PICTURE}).replace(b"a.pngX.txt", b"a.png\0.txt")
    with pytest.raises(RequestError, match="leads elsewhere"):
        put(workspace, "a.zip", data)


def test_a_zip_of_too_many_files_is_refused(workspace, monkeypatch):
    monkeypatch.setattr("unnoise.app.judging._MOST_ENTRIES", 2)
    with pytest.raises(RequestError, match="3 files, over the limit of 2"):
        put(workspace, "a.zip", zipped(dict.fromkeys(("a.png", "b.png", "c.png"), PICTURE)))


GOOD = {
    "a.png": PICTURE,
    "a.jpg": file_bytes(plain(), "JPEG"),
    "a.JPEG": file_bytes(plain(), "JPEG"),
    "a.webp": file_bytes(plain(), "WEBP"),
    "a.bmp": file_bytes(plain(), "BMP"),
    "a.gif": file_bytes(plain(), "GIF"),
    "a.tif": file_bytes(plain(), "TIFF"),
    "a.zip": zipped({"cats/a.png": PICTURE, "cats/": b"", "notes.txt": bytes(10**6)}),
    "a.npy": saved(np.zeros((4, 8, 8), np.uint8)),
    "a.npz": saved(images=np.zeros((4, 8, 8), np.uint8), labels=np.zeros(4)),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_file_comes_to_its_set_as_it_was_sent(shared, client, name):
    answer = sent(client, name, GOOD[name], into=f"set {name.replace('.', '-')}")
    assert answer.status == 200, answer.words
    place = find_source(shared, answer.words["set"])
    assert place.suffix in {"", ".zip", ".npy", ".npz"}
    file = place / answer.words["name"] if place.is_dir() else place
    assert file.parent == shared.pictures / f"set {name.replace('.', '-')}"
    assert file.read_bytes() == GOOD[name]
    assert file.name == name.lower()


def test_a_picture_of_another_kind_than_its_name_says_has_the_suffix_of_its_kind(workspace):
    assert put(workspace, "a.png", GOOD["a.jpg"]).name == "a.jpg"
    assert put(workspace, "b.JPEG", PICTURE).name == "b.png"
    assert put(workspace, "c.jpeg", GOOD["a.tif"], None).suffix == ".tif"


def test_a_single_picture_has_an_id_of_its_own(shared, client):
    answer = sent(client, "me.png", PICTURE, into=None)
    assert set(answer.words) == {"picture"}
    path = uploads.find_picture(shared, answer.words["picture"])
    assert path.read_bytes() == PICTURE
    assert path.is_relative_to(shared.hidden / "pictures")
    for bad in ("0123456789abcdef", "../secret", path.name, "", None, 7):
        with pytest.raises(NotFoundError):
            uploads.find_picture(shared, bad)


def test_a_broken_upload_goes_on_where_it_stopped(shared, client):
    data = saved(np.random.default_rng(0).integers(0, 255, (6, 1024, 1024), np.uint8))
    begun = client.ask("POST", "/api/uploads", {"name": "a.npy", "size": len(data), "set": "broken"}).words
    assert begun["received"] == 0
    assert begun["piece"] == PIECE
    address = f"/api/uploads/{begun['id']}"
    assert client.ask("PUT", f"{address}?offset=0", data[:PIECE]).words == {"received": PIECE}
    again = client.ask("PUT", f"{address}?offset=0", data[:PIECE])
    assert again.status == 409
    assert f"{PIECE} bytes of a.npy have arrived" in again.words["error"]
    assert client.ask("POST", f"{address}/finish").status == 409
    assert client.ask("GET", address).words["received"] == PIECE
    more = client.ask("PUT", f"{address}?offset={PIECE}", data[PIECE:] + b"more")
    assert more.status == 413
    assert client.ask("PUT", f"{address}?offset={PIECE}", b"").status == 400
    assert client.ask("PUT", f"{address}?offset={PIECE}", data[PIECE:]).words == {"received": len(data)}
    found = client.ask("POST", f"{address}/finish")
    assert find_source(shared, found.words["set"]).read_bytes() == data
    assert client.ask("POST", f"{address}/finish").status == 404
    assert client.ask("GET", address).status == 404


def test_the_first_bytes_may_come_one_by_one(workspace):
    upload = uploads.begin(workspace, "a.png", len(PICTURE), "cats")
    for offset in range(20):
        uploads.add_piece(workspace, upload.id, offset, PICTURE[offset : offset + 1])
    uploads.add_piece(workspace, upload.id, 20, PICTURE[20:])
    assert uploads.finish(workspace, upload.id).read_bytes() == PICTURE


def test_nothing_is_overwritten(workspace, monkeypatch):
    monkeypatch.setattr("unnoise.app.file_names._TRIED", 4)
    names = [put(workspace, "a.png", PICTURE).name for _ in range(5)]
    assert names[:3] == ["a.png", "a (2).png", "a (3).png"]
    assert len(set(names)) == 5
    assert sorted(path.name for path in (workspace.pictures / "cats").iterdir()) == sorted(names)


def test_many_at_once_have_names_of_their_own(workspace):
    with ThreadPoolExecutor(8) as threads:
        places = list(threads.map(lambda _: put(workspace, "a.png", PICTURE), range(24)))
    assert len(set(places)) == 24
    assert all(place.read_bytes() == PICTURE for place in places)


def test_two_requests_for_the_same_piece_add_it_once(workspace):
    data = PICTURE + bytes(PIECE - len(PICTURE))
    upload = uploads.begin(workspace, "a.png", 2 * PIECE, "cats")

    def add(_):
        try:
            return uploads.add_piece(workspace, upload.id, 0, data)
        except ConflictError:
            return None

    with ThreadPoolExecutor(8) as threads:
        assert sum(one is not None for one in threads.map(add, range(16))) == 1
    assert upload.received == PIECE


def test_old_uploads_are_removed_and_many_refused(workspace, monkeypatch):
    monkeypatch.setattr("unnoise.app.uploads._MOST_OPEN", 3)
    begun = [uploads.begin(workspace, "a.png", 100, "cats") for _ in range(3)]
    with pytest.raises(ConflictError, match="3 uploads have begun"):
        uploads.begin(workspace, "a.png", 100, "cats")
    (workspace.hidden / "uploads" / "rest").mkdir()
    yesterday = time.time() - 25 * 3600
    for path in (begun[0].file, workspace.hidden / "uploads" / "rest"):
        os.utime(path, (yesterday, yesterday))
    uploads.begin(workspace, "a.png", 100, "cats")
    with pytest.raises(NotFoundError):
        uploads.find(workspace, begun[0].id)
    assert uploads.find(workspace, begun[1].id).name == "a.png"
    assert not (workspace.hidden / "uploads" / "rest").exists()


def test_a_full_disk_and_a_full_set_are_told_before_anything_is_sent(workspace, monkeypatch):
    put(workspace, "a.png", PICTURE)
    monkeypatch.setattr("unnoise.app.uploads._MOST_FILES", 1)
    with pytest.raises(ConflictError, match="the most that it may"):
        uploads.begin(workspace, "a.png", 100, "cats")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(2**40, 0, 300 * 2**20))
    uploads.begin(workspace, "a.zip", 40 * 2**20, "dogs")
    with pytest.raises(ConflictError, match="no room for 40 MB"):
        uploads.begin(workspace, "a.zip", 40 * 2**20, "dogs")


def test_only_the_newest_single_pictures_are_kept(workspace, monkeypatch):
    monkeypatch.setattr("unnoise.app.uploads._MOST_PICTURES", 3)
    places = [put(workspace, "a.png", PICTURE, None) for _ in range(5)]
    assert [place.exists() for place in places] == [False, False, True, True, True]


@pytest.mark.parametrize("where", ["pictures", "pictures/cats", ".unnoise/uploads", ".unnoise/pictures"])
def test_a_folder_that_became_a_link_is_refused(workspace, tmp_path, where):
    put(workspace, "a.png", PICTURE)
    put(workspace, "a.png", PICTURE, None)
    upload = uploads.begin(workspace, "b.png", len(PICTURE), None if where == ".unnoise/pictures" else "cats")
    uploads.add_piece(workspace, upload.id, 0, PICTURE)
    place, outside = workspace.root / where, tmp_path / "outside"
    shutil.move(place, outside)
    place.symlink_to(outside)
    before = tree_hash(outside)
    with pytest.raises(NotFoundError):
        uploads.finish(workspace, upload.id)
    with pytest.raises(NotFoundError):
        put(workspace, "c.png", PICTURE, None if where == ".unnoise/pictures" else "cats")
    assert tree_hash(outside) == before


def test_a_file_that_became_a_link_is_not_written(workspace, tmp_path):
    (tmp_path / "outside.png").write_bytes(b"")
    upload = uploads.begin(workspace, "b.png", len(PICTURE), "cats")
    upload.file.unlink()
    upload.file.symlink_to(tmp_path / "outside.png")
    with pytest.raises(NotFoundError):
        uploads.add_piece(workspace, upload.id, 0, PICTURE)
    assert (tmp_path / "outside.png").read_bytes() == b""


@pytest.mark.parametrize("words", ["", "[]", "{}", '{"name": "a", "size": 1}', "\xff", "null", "[" * 10_000])
def test_a_damaged_record_of_an_upload_is_as_none(workspace, words):
    upload = uploads.begin(workspace, "b.png", len(PICTURE), "cats")
    (upload.folder / "words.json").write_text(words, encoding="latin-1")
    with pytest.raises(NotFoundError):
        uploads.find(workspace, upload.id)
    uploads.begin(workspace, "b.png", len(PICTURE), "cats")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.PNG", "photo.png"),
        ("  my  cat .png", "my  cat.png"),
        (".hidden.png", "hidden.png"),
        ("고양이.jpg", "고양이.jpg"),
        (unicodedata.normalize("NFD", "고양이.jpg"), "고양이.jpg"),  # as macOS has it
        ("a:b*?.png", "a_b__.png"),
        ("-.png", "-.png"),
        (" ..png", "picture.png"),
        ("\u202egnp.exe.png", "gnp.exe.png"),
        ("한" * 80 + ".png", "한" * 33 + ".png"),
        ("icon.png", "icon.png"),
        ("com10.png", "com10.png"),
    ],
)
def test_a_name_becomes_one_that_every_system_takes(name, safe):
    assert safe_name(name) == safe
    assert safe_name(safe) == safe
