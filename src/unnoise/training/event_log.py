"""TensorBoard's log may lose events where the disk is full, but never costs the run that it tells of."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.record_writer import register_writer_factory

_PREFIX = "unnoise"
"""Paths that begin with it are written by `_Events`."""


def event_log(folder: Path, after: int) -> SummaryWriter:
    """A writer of events into this folder; what the log holds of later steps than `after` is hidden."""
    register_writer_factory(_PREFIX, _Factory())
    return SummaryWriter(f"{_PREFIX}:{folder}", purge_step=after + 1)


class _Events:
    """A file to which events are added some at a time: all of them, or none where they can't be written.

    By itself the library writes in a thread, which would end at the first error, and then wait for ever.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._waiting = BytesIO()
        self._add(b"")  # so that the log is there from the start

    def write(self, data: bytes) -> None:
        """Keeps data until the next flush."""
        self._waiting.write(data)

    def flush(self) -> None:
        """Adds what waits to the file."""
        data, self._waiting = self._waiting.getvalue(), BytesIO()
        self._add(data)

    def _add(self, data: bytes) -> None:
        try:
            with self._path.open("ab", buffering=0) as file:
                whole = file.tell()
                try:
                    written = file.write(data)
                    if written != len(data):
                        raise OSError("only a part could be written")  # noqa: TRY301
                except OSError:
                    os.truncate(file.fileno(), whole)  # half an event would hide all that follow
        except OSError:
            return  # the table of losses and its picture tell the same

    def close(self) -> None:
        """Adds what still waits."""
        self.flush()


class _Factory:
    """How the library is told of another kind of file."""

    def open(self, path: str) -> Any:  # noqa: ANN401 (the library has no name for it)
        """The file at this path."""
        return _Events(_bare(path))

    def directory_check(self, path: str) -> None:
        """Makes the folder, if it can be made."""
        try:
            _bare(path).mkdir(parents=True, exist_ok=True)
        except OSError:
            return


def _bare(path: str) -> Path:
    return Path(path.removeprefix(f"{_PREFIX}:"))
