"""Data sets known by name: digits and Fashion-MNIST, found or downloaded from a local server."""

import hashlib
import sys
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import numpy as np
import pytest

from helpers.data_files import save_many, write_idx_gz
from unnoise.data import load, summarize
from unnoise.data.sources import named
from unnoise.utils.errors import UnnoiseError

CLOTHES = np.arange(3 * 28 * 28, dtype=np.uint16).astype(np.uint8).reshape(3, 28, 28)


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        """Tests print nothing."""


@pytest.fixture
def server(tmp_path, monkeypatch):
    folder = tmp_path / "served"
    path = write_idx_gz(folder / named.FASHION_FILE, CLOTHES)
    server = HTTPServer(("127.0.0.1", 0), partial(Silent, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    monkeypatch.setattr(named, "FASHION_FOLDERS", ())
    monkeypatch.setattr(named, "FASHION_URL", f"http://127.0.0.1:{server.server_port}/")
    monkeypatch.setattr(named, "FASHION_MD5", hashlib.md5(path.read_bytes()).hexdigest())  # noqa: S324
    yield path
    server.shutdown()
    server.server_close()
    thread.join()


def test_digits_are_1797_grey_pictures_of_8_x_8(tmp_path):
    pytest.importorskip("sklearn")
    images = load("digits", cache=tmp_path)
    assert images.pixels.shape == (1797, 8, 8, 1)
    assert images.pixels[0, 0, :6, 0].tolist() == [0, 0, 80, 207, 143, 16]  # 0 0 5 13 9 1 sixteenths
    assert images.pixels.max() == 255
    assert images.source == "digits"
    assert load("digits", size=(16, 16), channels=3, cache=tmp_path).pixels.shape == (1797, 16, 16, 3)
    assert summarize("digits").proposed_size == (8, 8)


def test_digits_need_scikit_learn(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(UnnoiseError, match=r"unnoise\[digits\]"):
        load("digits", cache=tmp_path)


def test_the_name_digits_wins_over_a_folder_of_that_name(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    save_many(tmp_path / "digits", {"a.png": (1, 2, 3)})
    assert len(load("digits", cache=tmp_path / "cache")) == 1797
    assert len(load("./digits", cache=tmp_path / "cache")) == 1
    assert len(load(tmp_path / "digits", cache=tmp_path / "cache")) == 1


def test_fashion_mnist_is_found_in_debians_folder(tmp_path, monkeypatch):
    write_idx_gz(tmp_path / "debian" / named.FASHION_FILE, CLOTHES)
    monkeypatch.setattr(named, "FASHION_FOLDERS", (tmp_path / "debian",))
    images = load("fashion-mnist", cache=tmp_path / "cache")
    assert (images.pixels[..., 0] == CLOTHES).all()
    assert images.source == "fashion-mnist"


def test_fashion_mnist_is_downloaded_once(tmp_path, server):
    images = load("fashion-mnist", cache=tmp_path / "cache", progress=True)
    assert (images.pixels[..., 0] == CLOTHES).all()
    kept = [path.name for path in (tmp_path / "cache" / "fashion-mnist").iterdir()]
    assert kept == [named.FASHION_FILE]
    server.unlink()
    assert summarize("fashion-mnist", cache=tmp_path / "cache").count == 3


def test_a_damaged_download_is_refused_and_removed(tmp_path, server):
    server.write_bytes(server.read_bytes()[:-1])
    with pytest.raises(UnnoiseError, match="MD5"):
        load("fashion-mnist", cache=tmp_path / "cache")
    assert list((tmp_path / "cache" / "fashion-mnist").iterdir()) == []


def test_a_failed_download_tells_how_to_install(tmp_path, server):
    server.unlink()
    with pytest.raises(UnnoiseError, match=r"404.*apt install dataset-fashion-mnist.*put train-images"):
        load("fashion-mnist", cache=tmp_path / "cache")


def test_the_test_pictures_are_downloaded_once_with_their_labels(tmp_path, server, monkeypatch):
    files = []
    for (name, _), array in zip(named.FASHION_TEST_FILES, (CLOTHES, np.arange(3, dtype=np.uint8)), strict=True):
        path = write_idx_gz(server.parent / name, array)
        files.append((name, hashlib.md5(path.read_bytes()).hexdigest()))  # noqa: S324
    monkeypatch.setattr(named, "FASHION_TEST_FILES", tuple(files))
    for _ in range(2):
        found = named.find_fashion_mnist_test(tmp_path / "cache")
        images = load(found, labels=True, cache=tmp_path / "cache")
        assert (images.pixels[..., 0] == CLOTHES).all()
        assert images.labels.tolist() == [0, 1, 2]
        for name, _ in files:
            (server.parent / name).unlink(missing_ok=True)  # the second time nothing is asked for
