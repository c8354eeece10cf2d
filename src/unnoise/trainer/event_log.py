"""TensorBoard event log, which loses events where the disk is full instead of ending the run."""

import os
from io import BytesIO
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter
from tensorboardX.record_writer import register_writer_factory

_PREFIX = "unnoise"
"""Paths that begin with it are written by `_EventFile`."""


def event_log(folder: Path, after: int) -> SummaryWriter:
    """A writer of events into this folder; events in it of steps later than `after` are hidden."""
    register_writer_factory(_PREFIX, _EventFileFactory())
    return SummaryWriter(f"{_PREFIX}:{folder}", purge_step=after + 1)


class _EventFile:
    """A file to which buffered events are appended on flush: all of them, or none where that fails.

    tensorboardX itself writes in a thread, which would end at the first error and then block for ever.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._buffer = BytesIO()
        self._append(b"")  # so that the file is there from the start

    def write(self, data: bytes) -> None:
        """Buffers data until the next flush."""
        self._buffer.write(data)

    def flush(self) -> None:
        """Appends the buffer to the file."""
        data, self._buffer = self._buffer.getvalue(), BytesIO()
        self._append(data)

    def _append(self, data: bytes) -> None:
        try:
            with self._path.open("ab", buffering=0) as file:
                whole = file.tell()
                try:
                    written = file.write(data)
                    if written != len(data):
                        raise OSError("only a part could be written")  # noqa: TRY301
                except OSError:
                    os.truncate(file.fileno(), whole)  # half an event would make all later ones unreadable
        except OSError:
            return  # history.csv and loss.png hold the same

    def close(self) -> None:
        """Flushes."""
        self.flush()


class _EventFileFactory:
    """tensorboardX's interface for other kinds of files."""

    def open(self, path: str) -> Any:  # noqa: ANN401 (tensorboardX has no type for it)
        """Opens the file at this path."""
        return _EventFile(_without_prefix(path))

    def directory_check(self, path: str) -> None:
        """Makes the folder, if possible."""
        try:
            _without_prefix(path).mkdir(parents=True, exist_ok=True)
        except OSError:
            return


def _without_prefix(path: str) -> Path:
    return Path(path.removeprefix(f"{_PREFIX}:"))
