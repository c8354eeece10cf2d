"""Task kinds of the worker, and the function that does each."""

from collections.abc import Callable, Mapping
from typing import Any

from unnoise.app.worker import drawing, editing, examining, exporting, saving
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.workspace import Workspace

KINDS: Mapping[str, Callable[[TaskFolder, Workspace], dict[str, Any]]] = {
    "draw": drawing.draw,
    "reverse": drawing.reverse,
    "morph": drawing.morph,
    "save": saving.save,
    "redraw": editing.edit,
    "vary": editing.edit,
    "inpaint": editing.edit,
    "outpaint": editing.edit,
    "restore": editing.edit,
    "forward": examining.forward,
    "schedules": examining.schedules,
    "checkup": examining.checkup,
    "report": exporting.report,
    "export": exporting.export,
}
