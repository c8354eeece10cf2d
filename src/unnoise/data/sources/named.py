"""Data sets known by name: `digits` and `fashion-mnist`."""

import hashlib
import http.client
import os
import secrets
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unnoise.data.decoding.array_files import StoredArray
from unnoise.data.labels import Labels, labels_from_idx, labels_from_values
from unnoise.data.progress import Progress, progress_bar
from unnoise.data.sources.array_source import ArraySource, array_file_source
from unnoise.utils.errors import UnnoiseError

DIGITS = "digits"
FASHION = "fashion-mnist"

FASHION_FILE = "train-images-idx3-ubyte.gz"
FASHION_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"),)
"""Where Debian's package dataset-fashion-mnist puts the files."""
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = "8d4fb7e6c68d591d4c3dfef9ec88bf0d"
FASHION_LABELS_FILE = "train-labels-idx1-ubyte.gz"
FASHION_LABELS_MD5 = "25c81989df183df01b3e8a0aad5dffbe"
FASHION_TEST_FILES = (
    ("t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
    ("t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
)
"""The 10,000 test pictures and their labels, each with its MD5."""
FASHION_CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
"""Names of the labels 0 to 9, as its authors give them."""
_TIMEOUT_SECONDS = 20
_BLOCK = 2**16


def digits(source: str = DIGITS) -> ArraySource:
    """The digits of scikit-learn: 1,797 handwritten digits, grey, 8 x 8 pixels.

    They are cached like any other source: importing scikit-learn takes longer than reading the cache.
    """
    return ArraySource(
        source,
        "scikit-learn",
        _read_digits,
        lambda _: DIGITS.encode(),
        lambda _: labels_from_values(_bundled_digits().target, repr(source)),
    )


def fashion_mnist(cache: Path, source: str = FASHION, *, progress: Progress = False) -> ArraySource:
    """Fashion-MNIST (Xiao et al., 2017): 60,000 grey pictures of clothes, 28 x 28 pixels.

    It comes from Debian's folder, from the cache, or from a download of 26 MB. Raises UnnoiseError if none of
    these works.
    """
    pictures = find_fashion_mnist(cache / FASHION, progress=progress)

    def labels(fetch: bool) -> Labels:
        return labels_from_idx(
            _fashion_labels(pictures.parent, fetch=fetch, progress=progress), FASHION_CLASSES
        )

    return array_file_source(source, pictures, labels)


def find_fashion_mnist(folder: Path, *, progress: Progress = False) -> Path:
    """The path of the training pictures, which are downloaded into `folder` unless they are found."""
    for candidate in (*FASHION_FOLDERS, folder):
        if (candidate / FASHION_FILE).is_file():
            return candidate / FASHION_FILE
    return _fetch(FASHION_FILE, FASHION_MD5, folder, progress=progress)


def find_fashion_mnist_test(folder: Path, *, progress: Progress = False) -> Path:
    """The path of the 10,000 test pictures, beside their labels; downloaded into `folder` unless found.

    Raises:
        UnnoiseError: where they are neither found nor downloaded.
    """
    (pictures, _), *_ = FASHION_TEST_FILES
    for candidate in FASHION_FOLDERS:
        if all((candidate / file).is_file() for file, _ in FASHION_TEST_FILES):
            return candidate / pictures
    for file, md5 in FASHION_TEST_FILES:
        if not (folder / file).is_file():
            _fetch(file, md5, folder, progress=progress)
    return folder / pictures


def _fashion_labels(folder: Path, *, fetch: bool, progress: Progress) -> Path:
    """The path of the labels beside the pictures; `fetch` downloads them if they are missing."""
    path = folder / FASHION_LABELS_FILE
    if path.is_file() or not fetch:
        return path
    return _fetch(FASHION_LABELS_FILE, FASHION_LABELS_MD5, folder, progress=progress)


def _fetch(file: str, md5: str, folder: Path, *, progress: Progress) -> Path:
    try:
        return download(FASHION_URL + file, folder / file, md5, progress=progress)
    except (OSError, http.client.HTTPException) as error:
        raise UnnoiseError(
            f"Cannot download {FASHION!r} from {FASHION_URL}: {error}. On Debian run apt install "
            f"dataset-fashion-mnist, elsewhere put {file} into {str(folder)!r}."
        ) from error


def _read_digits() -> StoredArray:
    sixteenths = _bundled_digits().images
    pixels: NDArray[np.uint8] = np.rint(sixteenths * (255 / 16)).astype(np.uint8)
    return StoredArray(pixels[..., None], pixels.shape)


def _bundled_digits() -> Any:  # noqa: ANN401 - scikit-learn's own type, which need not be installed
    """The digits as scikit-learn has them: `images` from 0 to 16, (N, 8, 8), and `target`, (N,)."""
    try:
        from sklearn.datasets import load_digits  # here, as it is optional and slow to import
    except ImportError as error:
        raise UnnoiseError(
            f"{DIGITS!r} needs scikit-learn, which is not installed. Run pip install 'unnoise[digits]'."
        ) from error
    return load_digits()


def download(url: str, target: Path, md5: str, *, progress: Progress) -> Path:
    """Downloads `url` under a temporary name, checks its MD5, and renames it; raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"tmp-{os.getpid()}-{secrets.token_hex(4)}")
    # MD5 is what the authors publish. It only has to find damaged copies.
    checksum = hashlib.md5(usedforsecurity=False)
    try:
        # The address is a constant above, and the content is checked.
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer, temporary.open("wb") as file:  # noqa: S310
            bar = progress_bar(f"Downloading {FASHION}", int(answer.headers["Content-Length"] or 0), progress)
            with bar:
                for block in iter(partial(answer.read, _BLOCK), b""):
                    file.write(block)
                    checksum.update(block)
                    bar.advance(len(block))
            file.flush()
            os.fsync(file.fileno())
        if checksum.hexdigest() != md5:
            raise OSError(f"the MD5 of the file is {checksum.hexdigest()}, not {md5}")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
