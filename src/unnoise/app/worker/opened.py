"""The run that was used last: it stays open, until its settings change or another one is needed."""

from contextlib import suppress

from unnoise.api import OpenRun, open_run
from unnoise.app.workspace import Workspace
from unnoise.utils.files import stamp


class OpenedRuns:
    """Opens the runs of a workspace, and keeps the last one, with its weights, in memory."""

    def __init__(self) -> None:
        self._last: tuple[str, str, OpenRun] | None = None

    def open(self, workspace: Workspace, name: str) -> OpenRun:
        """The run in this folder of runs/. Its weights are read again once they have changed.

        Raises:
            UnnoiseError: where there is none, or it is damaged.
        """
        folder, now = workspace.within("runs", name), ""
        with suppress(OSError):
            now = stamp((folder / "config.json").stat())
        if self._last is None or self._last[:2] != (name, now):
            self._last = None  # its memory is free before the next is read
            self._last = name, now, open_run(folder, keep=True)
        return self._last[2]
