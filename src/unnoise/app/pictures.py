"""Sets of pictures that runs can be trained on: known ones, uploaded ones, and folders of the workspace."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from unnoise.app.errors import NotFoundError, RequestError
from unnoise.app.folders import find_source, place_id
from unnoise.app.workspace import Workspace

_KNOWN = "known:"
_FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts its files: the app downloads nothing."""


def has_digits() -> bool:
    """Whether scikit-learn, which brings the digits, is installed."""
    return find_spec("sklearn") is not None


def known_sets(workspace: Workspace) -> list[dict[str, Any]]:
    """Sets to choose from: those known by name that are installed, and what was uploaded."""
    found = []
    if has_digits():
        found.append(_known("digits", 1797))
    if _FASHION_FOLDER.is_dir():
        found.append(_known("fashion-mnist", 60_000))
    try:
        uploaded = sorted(workspace.pictures.iterdir(), key=lambda path: path.name.lower())
    except OSError:
        uploaded = []
    for path in uploaded:
        if not path.is_symlink() and not path.name.startswith(".") and len(found) < _MOST:
            kind = "folder" if path.is_dir() else "file"
            found.append(
                {
                    "id": place_id(workspace, path),
                    "name": path.name,
                    "kind": kind,
                    "pictures": None,
                    "picture": None,
                }
            )
    return found


_MOST = 500
"""Sets in the list; the browser of folders shows all."""


def _known(name: str, pictures: int) -> dict[str, Any]:
    return {"id": f"{_KNOWN}{name}", "name": name, "kind": "known", "pictures": pictures, "picture": None}


def resolve_set(workspace: Workspace, set_id: str) -> str:
    """The pictures with this id as a command names them in the workspace.

    Raises:
        RequestError: without an id.
        NotFoundError: where they are not there (any more).
    """
    if not set_id:
        raise RequestError("Choose pictures first.")
    if set_id.startswith(_KNOWN):
        name = set_id.removeprefix(_KNOWN)
        if all(one["id"] != set_id for one in known_sets(workspace)):
            raise NotFoundError(f"There is no known set {name[:40]!r} on this computer.")
        return name
    # "./" keeps a folder that is called like an option, or like a known set, what it is.
    return f"./{workspace.relative(find_source(workspace, set_id))}"
