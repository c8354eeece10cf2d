"""Two data sets have names, so that everyone can begin without pictures of their own."""

import hashlib
import http.client
import os
import secrets
import urllib.request
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unnoise.data.array_origin import ArrayPictures, array_file
from unnoise.data.parallel import bar
from unnoise.errors import UnnoiseError

DIGITS = "digits"
FASHION = "fashion-mnist"

FASHION_FILE = "train-images-idx3-ubyte.gz"
FASHION_FOLDERS = (Path("/usr/share/datasets/fashion-mnist"),)
"""Where Debian's package dataset-fashion-mnist puts it."""
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
FASHION_MD5 = "8d4fb7e6c68d591d4c3dfef9ec88bf0d"
_TIMEOUT_SECONDS = 20
_PIECE = 2**16


def digits(source: str = DIGITS) -> ArrayPictures:
    """1,797 handwritten digits of 8 x 8 pixels, grey, which scikit-learn carries."""
    return ArrayPictures(source, "scikit-learn", _read_digits, lambda _: DIGITS.encode(), direct=True)


def fashion_mnist(cache: Path, source: str = FASHION, *, progress: bool = False) -> ArrayPictures:
    """60,000 grey pictures of clothes, 28 x 28: from Debian's folder, the cache, or downloaded (26 MB).

    Raises UnnoiseError where it is in neither place and cannot be downloaded.
    """
    return array_file(source, find_fashion_mnist(cache / FASHION, progress=progress))


def find_fashion_mnist(folder: Path, *, progress: bool = False) -> Path:
    """The path of the training pictures; downloads them into `folder` where they are not found."""
    for candidate in (*FASHION_FOLDERS, folder):
        if (candidate / FASHION_FILE).is_file():
            return candidate / FASHION_FILE
    try:
        return _download(FASHION_URL + FASHION_FILE, folder / FASHION_FILE, progress=progress)
    except (OSError, http.client.HTTPException) as error:
        raise UnnoiseError(
            f"{FASHION!r} must be installed or downloaded once, but {FASHION_URL} gave no usable file "
            f"({error}): on Debian run apt install dataset-fashion-mnist, elsewhere put {FASHION_FILE} "
            f"into {str(folder)!r}."
        ) from error


def _read_digits() -> NDArray[np.uint8]:
    try:
        from sklearn.datasets import load_digits  # here, for it is optional and slow to import
    except ImportError as error:
        raise UnnoiseError(
            f"{DIGITS!r} comes with scikit-learn, which is not installed: run pip install 'unnoise[digits]'."
        ) from error
    sixteenths = load_digits().images
    pixels: NDArray[np.uint8] = np.rint(sixteenths * (255 / 16)).astype(np.uint8)
    return pixels[..., None]


def _download(url: str, target: Path, *, progress: bool) -> Path:
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
        if checksum.hexdigest() != FASHION_MD5:
            raise OSError(f"the MD5 of the file is {checksum.hexdigest()}, not {FASHION_MD5}")
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target
