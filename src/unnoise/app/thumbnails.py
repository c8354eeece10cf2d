"""Thumbnails: small pictures for lists, made once and kept in .unnoise/thumbnails."""

import hashlib
from pathlib import Path

from PIL import Image

from unnoise.app.workspace import Workspace
from unnoise.utils.files import atomic_write, stamp

SIDE = 320
"""Longest side of a thumbnail, in pixels."""


def thumbnail(workspace: Workspace, picture: Path) -> Path:
    """The thumbnail of a picture that unnoise drew; the picture itself where that is small."""
    key = hashlib.sha256(f"{picture}\n{stamp(picture.stat())}".encode()).hexdigest()[:24]
    path = workspace.hidden / "thumbnails" / f"{key}.png"
    if path.is_file():
        return path
    with Image.open(picture) as opened:
        if max(opened.size) <= SIDE:
            return picture
        opened.thumbnail((SIDE, SIDE))
        with atomic_write(path) as file:
            opened.save(file, format="PNG")
    return path
