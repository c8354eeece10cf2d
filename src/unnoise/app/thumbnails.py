"""Thumbnails: small pictures for lists, made once and kept in .unnoise/thumbnails."""

import hashlib
from pathlib import Path

from PIL import Image

from unnoise.app.errors import NotFoundError
from unnoise.app.workspace import Workspace
from unnoise.data.decoding.decode import UnreadableError, read_header
from unnoise.data.decoding.pillow_guard import quiet_pillow
from unnoise.utils.files import atomic_write, stamp

SIDE = 320
"""Longest side of a thumbnail, in pixels."""


def thumbnail(workspace: Workspace, picture: Path) -> Path:
    """The thumbnail of a picture that unnoise drew; the picture itself where that is small."""
    key = hashlib.sha256(f"{picture}\n{stamp(picture.stat())}".encode()).hexdigest()[:24]
    path = workspace.hidden / "thumbnails" / f"{key}.png"
    if path.is_file():
        return path
    with picture.open("rb") as file, quiet_pillow:
        try:
            read_header(file)
        except UnreadableError as error:
            raise NotFoundError(f"The picture cannot be shown: {error}.") from error
    with Image.open(picture) as opened:
        if max(opened.size) <= SIDE:
            return picture
        opened.thumbnail((SIDE, SIDE))
        with atomic_write(path) as file:
            opened.save(file, format="PNG")
    return path
