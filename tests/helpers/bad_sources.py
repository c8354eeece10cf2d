"""Invalid sources, arrays and label files: rows of docs/reliability.md."""

import gzip
import io
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import torch

from helpers.data_files import file_bytes, idx_bytes, plain, save_many
from helpers.reliability import Place, refused

RED, BLUE = (255, 0, 0), (0, 0, 255)
GREY = np.zeros((6, 8, 8), np.uint8)


class Trap:
    """A pickle that leaves a folder when it is opened."""

    def __reduce__(self):
        return (os.mkdir, ("a-pickle-was-opened",))


def source(title, make, *, group="Sources"):
    """A row on a source; `make` returns the argument of `unnoise train`."""
    return refused(group, title, lambda place: ["train", make(place), "--steps", 1, "--out", "new"])


def array(title, make):
    return source(title, make, group="Arrays")


def labels(title, text, *more):
    def make(_: Place):
        save_many(Path("pictures"), {"cats/1.png": RED, "dogs/1.png": BLUE})
        name = "labels.csv"
        if isinstance(text, bytes):
            Path(name).write_bytes(text)
        else:
            name = text() or name
        return ["train", "pictures", "--labels", name, "--steps", 1, "--out", "new", *more]

    return refused("Labels", title, make)


def written(name: str, data: bytes) -> str:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_bytes(data)
    return name


def folder(**files: bytes) -> str:
    Path("pictures").mkdir()
    for name, data in files.items():
        written(f"pictures/{name.replace('__', '.')}", data)
    return "pictures"


def two_pictures() -> str:
    return folder(a__png=file_bytes(plain()), b__png=file_bytes(plain()))


def all_files(_: Place) -> list[object]:
    two_pictures()
    return ["train", "pictures/a.png", "pictures/b.png", "--steps", 1, "--out", "new"]


def into_the_pictures(_: Place) -> list[object]:
    return ["train", two_pictures(), "--steps", 1, "--out", "pictures"]


def linked_in_a_circle(_: Place) -> str:
    Path("pictures/a/b").mkdir(parents=True)
    Path("pictures/a/b/up").symlink_to(Path("pictures").absolute(), target_is_directory=True)
    Path("pictures/self.png").symlink_to("self.png")
    return "pictures"


def pipe(name: str) -> str:
    os.mkfifo(name)
    return name


def deep(_: Place) -> str:
    here = Path.cwd()
    for _level in range(20):
        Path("d" * 240).mkdir()
        os.chdir("d" * 240)
    written("x.png", file_bytes(plain()))
    os.chdir(here)
    return "."


def forbidden(place: Place) -> str:
    def refuse(_: object):
        raise PermissionError(13, "Permission denied")

    folder(a__png=file_bytes(plain()))
    place.patches.setattr(os, "scandir", refuse)
    return "pictures"


def saved(name: str, value, **options) -> str:
    np.save(name, value, **options)
    return name


def header(text: str, length: int | None = None) -> bytes:
    """A .npy whose header is this text, and states this length."""
    raw = text.encode("latin1")
    return b"\x93NUMPY\x02\x00" + struct.pack("<I", length or len(raw)) + raw


def header_text(shape: str, kind: str = "|u1") -> str:
    return f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"


def npz(**arrays) -> str:
    np.savez("a.npz", **arrays)
    return "a.npz"


def npz_bomb(_: Place) -> str:
    """A .npz whose directory already states too large a size."""
    with zipfile.ZipFile("a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header(header_text("(2048, 1024, 1024)")) + bytes(2**21))
        archive.getinfo("images.npy").file_size = 2**31 + 128
    return "a.npz"


def npz_lie(_: Place) -> str:
    with zipfile.ZipFile("a.npz", "w") as archive:
        archive.writestr("images.npy", header(header_text("(1000000, 1000, 1000)")) + bytes(64))
    return "a.npz"


def torch_saved(name: str) -> str:
    torch.save({"weights": torch.zeros(2)}, name)
    return name


def zipped(*names: str, packing=zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packing) as archive:
        for name in names:
            archive.writestr(name, "text")
    return buffer.getvalue()


IDX = idx_bytes(GREY)
CASES = [
    source("a name of no file or folder", lambda _: "nowhere"),
    source("an empty folder", lambda _: folder()),
    source("a folder of texts", lambda _: folder(notes__txt=b"text", README=b"text")),
    source("a single picture", lambda _: written("one.png", file_bytes(plain()))),
    source("a document", lambda _: written("letter.docx", b"Dear Sir or Madam")),
    source("an address on the web", lambda _: "https://example.org/pictures.zip"),
    source("an archive of another kind", lambda _: written("pictures.tar.gz", b"archive")),
    source("a table of records", lambda _: written("pictures.parquet", b"table")),
    source("a video", lambda _: written("film.mp4", b"video")),
    source("a pattern that no shell has resolved", lambda _: f"{folder(a__png=file_bytes(plain()))}/*.png"),
    refused("Sources", "all files that a shell found", all_files),
    refused("Sources", "the folder of the pictures as --out", into_the_pictures),
    source("a text called .zip", lambda _: written("pictures.zip", b"no zip")),
    source("a truncated zip", lambda _: written("pictures.zip", zipped("a.png")[:-9])),
    source("an empty zip", lambda _: written("pictures.zip", zipped())),
    source("a zip of texts", lambda _: written("pictures.zip", zipped("a.txt", "b.md"))),
    source("a pipe called .npy", lambda _: pipe("pictures.npy")),
    source("a pipe called .zip", lambda _: pipe("pictures.zip")),
    source("a device", lambda _: "/dev/zero"),
    source("a pickle", lambda _: written("data.pkl", pickle.dumps(Trap()))),
    source("a file of torch.save", lambda _: torch_saved("data.pt")),
    source("links that lead in a circle", linked_in_a_circle),
    source("20 nested folders, a path too long for the system", deep),
    source("a folder without permission to read", forbidden),
    source("a run", lambda place: place.run()),
    source(
        "file names with terminal control characters", lambda _: folder(**{"\x1b[31m\r\n\u202e[b]__png": b""})
    ),
    array("an array of Python objects", lambda _: saved("a.npy", np.array([{}, {}]), allow_pickle=True)),
    array("a pickle called .npy", lambda _: written("a.npy", pickle.dumps(Trap()))),
    array("a pickle called .npz", lambda _: written("a.npz", pickle.dumps(Trap()))),
    array("a text called .npy", lambda _: written("a.npy", b"text")),
    array("a truncated array", lambda _: written("a.npy", header(header_text("(6, 8, 8)")) + bytes(64))),
    array(
        "64 bytes that claim 1 PB",
        lambda _: written("a.npy", header(header_text("(100000, 100000, 100000)")) + bytes(64)),
    ),
    array("a header that claims 1 GB", lambda _: written("a.npy", header(header_text("(6, 8, 8)"), 2**30))),
    array("a header that is a deep expression", lambda _: written("a.npy", header("-" * 9000 + "1"))),
    array("a negative shape", lambda _: written("a.npy", header(header_text("(-6, -8, 8)")) + bytes(384))),
    array("complex numbers", lambda _: saved("a.npy", GREY.astype(np.complex64))),
    array("an array of NaN", lambda _: saved("a.npy", np.full((6, 8, 8), np.nan))),
    array("an array with an infinity", lambda _: saved("a.npy", np.full((6, 8, 8), np.inf))),
    array("an array of two dimensions", lambda _: saved("a.npy", GREY[0])),
    array("an array of no pictures", lambda _: saved("a.npy", GREY[:0])),
    array("a .npz of two arrays", lambda _: npz(first=GREY, second=GREY)),
    array("an empty .npz", lambda _: npz()),
    array("a .npz that unpacks to 2 GB", npz_bomb),
    array("a .npz that claims 1 TB", npz_lie),
    array("an IDX file of labels", lambda _: written("a.idx", idx_bytes(np.zeros(6, np.uint8)))),
    array("an IDX file that is too short", lambda _: written("a.idx", IDX[:-1])),
    array("an IDX file that is too long", lambda _: written("a.idx", IDX + b"\0")),
    array("an IDX file that claims 2^96 bytes", lambda _: written("a.idx", IDX[:4] + b"\xff" * 12)),
    array("a truncated gzip", lambda _: written("a-images-idx3-ubyte.gz", gzip.compress(IDX, mtime=0)[:20])),
    array("a text called .gz", lambda _: written("a.gz", b"text")),
    labels("a missing file", lambda: "nowhere.csv"),
    labels("a file of another kind", lambda: written("labels.json", b"{}")),
    labels("an empty file", b""),
    labels("a header alone", b"file,class\n"),
    labels("a picture without a class", b"cats/1.png,cat\ndogs/1.png,\n", "--strict-labels"),
    labels("a picture of two classes", b"cats/1.png,cat\ncats/1.png,dog\n"),
    labels("a picture that is not listed", b"cats/1.png,cat\n", "--strict-labels"),
    labels("a level that no folder has", lambda: "auto:3"),
    labels("a level that is no number", lambda: "auto:first"),
    labels("--split-folders without such folders", lambda: "auto", "--split-folders"),
    labels("a picture that does not exist", b"cats/1.png,cat\ndogs/1.png,dog\nbirds/1.png,bird\n"),
    labels("a single class", b"cats/1.png,cat\ndogs/1.png,cat\n"),
    labels("another encoding (UTF-16)", "cats/1.png,cat\n".encode("utf-16")),
    labels("a field of 200,000 letters", b"cats/1.png," + b"x" * 200_000),
    labels("a line that is too short", b"cats/1.png,cat\ndogs/1.png\n"),
    labels("an IDX file for a folder", lambda: written("a.idx", idx_bytes(np.zeros(2, np.uint8)))),
]
