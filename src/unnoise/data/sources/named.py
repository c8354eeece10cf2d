"""Two data sets have names, so that everyone can begin without pictures of their own."""

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

from unnoise.data.cache.parallel import bar
from unnoise.data.labels.classes import Labels, of_values
from unnoise.data.labels.label_files import idx_labels
from unnoise.data.sources.array_origin import ArrayPictures, array_file
from unnoise.utils.errors import UnnoiseError

DIGITS = "digits"
FASHION = "fashion-mnist"

FASHION_FILE = "train-images-idx3-ubyte.gz"
FASHION_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"),)
"""Where Debian's package dataset-fashion-mnist puts it."""
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = "8d4fb7e6c68d591d4c3dfef9ec88bf0d"
FASHION_LABELS_FILE = "train-labels-idx1-ubyte.gz"
FASHION_LABELS_MD5 = "25c81989df183df01b3e8a0aad5dffbe"
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
"""The names that its authors give to the labels 0 to 9."""
_TIMEOUT_SECONDS = 20
_PIECE = 2**16


def digits(source: str = DIGITS) -> ArrayPictures:
    """1,797 handwritten digits of 8 x 8 pixels, grey, which scikit-learn carries.

    They are cached like any others: scikit-learn takes longer to import than to read.
    """
    return ArrayPictures(
        source,
        "scikit-learn",
        _read_digits,
        lambda _: DIGITS.encode(),
        lambda _: of_values(_bundled_digits().target, repr(source)),
    )


def fashion_mnist(cache: Path, source: str = FASHION, *, progress: bool = False) -> ArrayPictures:
    """60,000 grey pictures of clothes, 28 x 28: from Debian's folder, the cache, or downloaded (26 MB).

    Raises UnnoiseError where it is in neither place and cannot be downloaded.
    """
    pictures = find_fashion_mnist(cache / FASHION, progress=progress)

    def labels(fetch: bool) -> Labels:
        return idx_labels(_fashion_labels(pictures.parent, fetch=fetch, progress=progress), FASHION_CLASSES)

    return array_file(source, pictures, labels)


def find_fashion_mnist(folder: Path, *, progress: bool = False) -> Path:
    """The path of the training pictures; downloads them into `folder` where they are not found."""
    for candidate in (*FASHION_FOLDERS, folder):
        if (candidate / FASHION_FILE).is_file():
            return candidate / FASHION_FILE
    return _fetch(FASHION_FILE, FASHION_MD5, folder, progress=progress)


def _fashion_labels(folder: Path, *, fetch: bool, progress: bool) -> Path:
    """The path of the labels beside the pictures; they are downloaded where that is allowed and needed."""
    path = folder / FASHION_LABELS_FILE
    if path.is_file() or not fetch:
        return path
    return _fetch(FASHION_LABELS_FILE, FASHION_LABELS_MD5, folder, progress=progress)


def _fetch(file: str, md5: str, folder: Path, *, progress: bool) -> Path:
    try:
        return _download(FASHION_URL + file, folder / file, md5, progress=progress)
    except (OSError, http.client.HTTPException) as error:
        raise UnnoiseError(
            f"{FASHION!r} must be installed or downloaded once, but {FASHION_URL} gave no usable file "
            f"({error}): on Debian run apt install dataset-fashion-mnist, elsewhere put {file} "
            f"into {str(folder)!r}."
        ) from error


def _read_digits() -> NDArray[np.uint8]:
    sixteenths = _bundled_digits().images
    pixels: NDArray[np.uint8] = np.rint(sixteenths * (255 / 16)).astype(np.uint8)
    return pixels[..., None]


def _bundled_digits() -> Any:  # noqa: ANN401 - scikit-learn's own type, which need not be installed
    """scikit-learn's record of the digits: `images` from 0 to 16, (N, 8, 8), and `target`, (N,)."""
    try:
        from sklearn.datasets import load_digits  # here, for it is optional and slow to import
    except ImportError as error:
        raise UnnoiseError(
            f"{DIGITS!r} comes with scikit-learn, which is not installed: run pip install 'unnoise[digits]'."
        ) from error
    return load_digits()


def _download(url: str, target: Path, md5: str, *, progress: bool) -> Path:
    """Fetches `url`, checks its MD5, and only then gives it its name; raises OSError."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f"tmp-{os.getpid()}-{secrets.token_hex(4)}")
    # MD5 is what its authors publish; it tells a damaged copy, and nothing more is asked of it.
    checksum = hashlib.md5(usedforsecurity=False)
    try:
        # The address is a constant above, and the content is checked.
        with urllib.request.urlopen(url, timeout=_TIMEOUT_SECONDS) as answer, temporary.open("wb") as file:  # noqa: S310
            shown, advance = bar(
                f"Downloading {FASHION}", int(answer.headers["Content-Length"] or 0), show=progress
            )
            with shown:
                for piece in iter(partial(answer.read, _PIECE), b""):
                    file.write(piece)
                    checksum.update(piece)
                    advance(len(piece))
            file.flush()
            os.fsync(file.fileno())
        if checksum.hexdigest() != md5:
            raise OSError(f"the MD5 of the file is {checksum.hexdigest()}, not {md5}")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
