"""Tasks that start from a picture: redraw, vary, inpaint, outpaint and restore."""

import base64
import binascii
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.app.errors import NotFoundError
from unnoise.app.worker.drawing import open_run
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.api import Drawing, OpenRun

_HELD_OUT = 12
"""Pictures that a run was not trained on to choose from."""
_LARGEST_MASK = 4096
_PNG = "data:image/png;base64,"
_PAINT_FIRST = "Paint on the picture first, where it is to be drawn anew."


def edit(task: TaskFolder, workspace: Workspace) -> dict[str, Any]:
    """Edits a picture; the result has the columns of the sheet."""
    run = open_run(task, workspace)
    picture = input_picture(task, run)
    given = {name: value for name, value in task.request.items() if value is not None and value != ""}
    words = {"seed": task.word("seed", 0), "progress": task.progress}
    drawing = _EDITS[given["kind"]](run, picture, given | {"folder": task.path}, words)
    columns = []
    for place, (title, images) in enumerate((drawing.columns or {"after": drawing.tensor}).items()):
        names = [f"column-{place}-{number}" for number in range(len(images))]
        columns.append([title, task.save_pictures(images, names)])
    drawing.save(task.add("sheet.png"))
    return {"columns": columns}


def input_picture(task: TaskFolder, run: "OpenRun") -> Path:
    """The file of the picture that a task starts from; one that was held out is written first."""
    picture = task.word("picture", {"held_out": 0})
    if "path" in picture:
        path = Path(picture["path"])
        if not path.is_file():
            raise NotFoundError("The picture is not there any more: choose it again.")
        return path
    place = int(picture["held_out"])
    known = min(_HELD_OUT, run.config.data.held_out)
    if place >= known:
        raise UnnoiseError(
            f"The run has {known} held-out pictures to choose from, counted from 0, but not {place}."
        )
    from unnoise.api.editing import given_pictures

    found = given_pictures(run.config, [], known, 0)
    name = task.save_pictures(found.pixels[place : place + 1].float() / 255, ["input"])[0]
    return task.path / name


def _redraw(run: "OpenRun", picture: Path, request: dict[str, Any], words: dict[str, Any]) -> "Drawing":
    labels = [request["label"]] if request.get("label") else []
    options = {"strength": request.get("strength", 0.5), "versions": request.get("versions", 5)}
    return run.redraw(picture, **options, labels=labels, **words)


def _vary(run: "OpenRun", picture: Path, request: dict[str, Any], words: dict[str, Any]) -> "Drawing":
    options = {"amount": request.get("amount", 0.3), "num_variations": request.get("number", 5)}
    return run.vary(picture, **options, label=request.get("label") or None, **words)


def _inpaint(run: "OpenRun", picture: Path, request: dict[str, Any], words: dict[str, Any]) -> "Drawing":
    mask = _saved_mask(str(request.get("mask", "")), run, request["folder"])
    return run.inpaint(picture, mask=mask, label=request.get("label") or None, **words)


def _saved_mask(given: str, run: "OpenRun", folder: Path) -> Path:
    """A mask that is white where it is to be filled, as a file that is black there, as `inpaint` takes it.

    It has the size of the run's pictures.
    """
    from PIL import Image, ImageChops

    try:
        with Image.open(io.BytesIO(_decoded(given)), formats=["PNG"]) as opened:
            require(max(opened.size) <= _LARGEST_MASK, _PAINT_FIRST)
            size = (run.config.data.width, run.config.data.height)
            mask = opened.convert("L").resize(size, Image.Resampling.NEAREST)
    except (OSError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises for damaged files
        raise UnnoiseError(_PAINT_FIRST) from None
    mask = mask.point([255 * (value >= 128) for value in range(256)])
    require(mask.getbbox() is not None, _PAINT_FIRST)
    path = folder / "mask.png"
    ImageChops.invert(mask).save(path)
    return path


def _decoded(given: str) -> bytes:
    """The bytes of a data URL of a PNG."""
    try:
        require(given.startswith(_PNG), _PAINT_FIRST)
        return base64.b64decode(given.removeprefix(_PNG), validate=True)
    except binascii.Error:
        raise UnnoiseError(_PAINT_FIRST) from None


def _outpaint(run: "OpenRun", picture: Path, request: dict[str, Any], words: dict[str, Any]) -> "Drawing":
    data = run.config.data
    size = f"{request.get('height', data.height)}x{request.get('width', data.width + data.width // 2)}"
    return run.outpaint(picture, size=size, label=request.get("label") or None, **words)


def _restore(run: "OpenRun", picture: Path, request: dict[str, Any], words: dict[str, Any]) -> "Drawing":
    options = {name: request[name] for name in ("task", "factor") if request.get(name) is not None}
    return run.restore(
        picture, **options, spoil=request.get("spoil", True), label=request.get("label") or None, **words
    )


_Edit = Callable[["OpenRun", Path, dict[str, Any], dict[str, Any]], "Drawing"]
_EDITS: Mapping[str, _Edit] = {
    "redraw": _redraw,
    "vary": _vary,
    "inpaint": _inpaint,
    "outpaint": _outpaint,
    "restore": _restore,
}
