"""Files that may not be read are told from damaged ones; the fault is injected, as root may read all."""

import builtins
import gzip
import io
import os
import zipfile

import numpy as np
import pytest
from PIL import Image
from torch import zeros

from helpers.data_files import idx_bytes, save_many
from unnoise.data import load, read_pictures
from unnoise.data.decoding.conversion import DecodeSettings
from unnoise.runs.history import read_history
from unnoise.utils import json_text, tensor_files
from unnoise.utils.errors import NotPermittedError, UnnoiseError, require_permitted
from unnoise.utils.tensor_files import read_tensors, write_tensors


@pytest.fixture
def close(monkeypatch):
    """Lets no file of this path be opened by anything in Python."""
    real = io.open

    def make(path):
        def opened(file, *arguments, **options):
            if not isinstance(file, int) and os.fspath(file) == os.fspath(path):
                raise PermissionError(13, "Permission denied", str(path))
            return real(file, *arguments, **options)

        monkeypatch.setattr(builtins, "open", opened)
        monkeypatch.setattr(io, "open", opened)

    return make


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")


PICTURES = np.zeros((2, 4, 4), np.uint8)
SOURCES = {
    "a.npy": lambda path: np.save(path, PICTURES),
    "a.npz": lambda path: np.savez(path, images=PICTURES),
    "a.idx": lambda path: path.write_bytes(idx_bytes(PICTURES)),
    "a.gz": lambda path: path.write_bytes(gzip.compress(idx_bytes(PICTURES))),
    "a.zip": _zip,
}


@pytest.mark.parametrize("name", SOURCES)
def test_sources_without_permission(place, close, name):
    SOURCES[name](place / name)
    close(place / name)
    with pytest.raises(
        NotPermittedError, match=r"permission denied\. Change its permissions, or copy it"
    ) as told:
        load(place / name)
    assert "again" not in str(told.value)


def test_a_picture_without_permission(place, close):
    Image.new("L", (4, 4)).save(place / "a.png")
    close(place / "a.png")
    with pytest.raises(NotPermittedError, match=r"Cannot read .*a\.png': permission denied"):
        read_pictures([place / "a.png"], DecodeSettings((4, 4), 1))


def test_labels_without_permission(place, close):
    folder = save_many(place / "pictures", {"a.png": (1, 2, 3), "b.png": (4, 5, 6)})
    (place / "labels.csv").write_text("a.png,x\nb.png,y\n")
    close(place / "labels.csv")
    with pytest.raises(NotPermittedError, match=r"labels\.csv': permission denied"):
        load(folder, labels=place / "labels.csv")


def test_files_of_a_run_without_permission(place, close):
    for name, read in (("a.json", lambda path: json_text.read(path, "Remove it.")), ("a.csv", read_history)):
        (place / name).write_text("{}")
        close(place / name)
        with pytest.raises(NotPermittedError) as told:
            read(place / name)
        assert "emove it" not in str(told.value)


def test_tensors_without_permission(place, monkeypatch):
    path = place / "a.safetensors"
    write_tensors(path, {"a": zeros(2)}, {})

    def refuse(*_, **__):
        raise OSError("Permission denied (os error 13)")  # as safetensors words it

    monkeypatch.setattr(tensor_files, "safe_open", refuse)
    with pytest.raises(NotPermittedError, match="permission denied"):
        read_tensors(path)


def test_other_errors_pass():
    require_permitted("a", ValueError("its checksum is wrong"))
    assert issubclass(NotPermittedError, UnnoiseError)
