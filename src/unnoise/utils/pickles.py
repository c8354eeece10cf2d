"""Detection and refusal of pickles, which can run any program when they are opened."""

import re
import zipfile
from pathlib import Path

from unnoise.utils.errors import DamagedFileError

PICKLE_SUFFIXES = frozenset({".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".bin", ".joblib"})
"""Suffixes that pickles usually have."""

PICKLES_REFUSED = "unnoise never opens pickles, because they can run any program"
_MAGIC = re.compile(rb"\x80[\x02-\x05]")
"""First bytes of a pickle from protocol 2 on, which PyTorch writes."""


def pickle_kind(path: Path) -> str | None:
    """What kind of pickle a file is by its bytes, in words; None for any other file, or none."""
    try:
        with path.open("rb") as file:
            if _MAGIC.match(file.read(2)):
                return "a pickle"
            if not zipfile.is_zipfile(file):
                return None
            with zipfile.ZipFile(file) as archive:
                found = any(name.endswith("data.pkl") for name in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return None
    return "an archive of torch.save, with a pickle in it" if found else None


def require_no_pickle(path: Path) -> None:
    """Raises `DamagedFileError` where the file is a pickle, whatever its name."""
    kind = pickle_kind(path)
    if kind is not None:
        raise DamagedFileError(
            f"{path} is {kind}, and {PICKLES_REFUSED}. Restore it from a copy, or train again."
        )
