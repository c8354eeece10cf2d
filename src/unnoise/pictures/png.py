"""A picture's file is called by what it is, and appears whole or not at all."""

from pathlib import Path

from PIL import Image

from unnoise.utils.errors import require
from unnoise.utils.files import PathLike, writable


def require_suffix(path: PathLike, *suffixes: str) -> str:
    """The lower-case suffix of `path`; raises `UnnoiseError` unless it is one of `suffixes`."""
    suffix = Path(path).suffix.lower()
    require(
        suffix in suffixes,
        f"This file's name ends in {' or '.join(suffixes)}, but {str(path)!r} does not: "
        f"call it {str(Path(path).stem or 'picture') + suffixes[0]!r}.",
    )
    return suffix


def save_png(image: Image.Image, path: PathLike) -> None:
    """Writes a picture as a PNG, whole or not at all.

    Raises:
        UnnoiseError: a name that does not end in .png, or a path that cannot be written.
    """
    require_suffix(path, ".png")
    with writable(path) as temporary:
        image.save(temporary, format="PNG")
