"""Standard output and standard error that may fail: their reader goes away, their disk is full.

Standard error is for people, so a failure there never ends a command. Standard output holds results, so a
failure there does; but not while a run is trained, which is worth more than what is printed about it.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO, cast

from unnoise import UnnoiseError


class ReaderGone(Exception):  # noqa: N818 (nothing is wrong)
    """The reader of standard output, such as `head`, needs no more. No OSError, as rich would exit at one."""


class GuardedStream:
    """A text stream whose failures are ignored, or raised as errors for people.

    Args:
        stream: what is written to; all else is asked of it as well.
        needed: whether what is written has to arrive.
    """

    def __init__(self, stream: Any, *, needed: bool) -> None:  # noqa: ANN401 (whatever is printed to)
        self.stream = stream
        self._needed = needed

    def write(self, text: str) -> int:
        """Writes text; returns its length."""
        try:
            return int(self.stream.write(text))
        except (OSError, ValueError, RuntimeError) as error:
            self._failed(error)
            return len(text)

    def flush(self) -> None:
        """Passes on what is buffered."""
        try:
            self.stream.flush()
        except (OSError, ValueError, RuntimeError) as error:
            self._failed(error)

    def _failed(self, error: Exception) -> None:
        # The others: the stream is closed; a signal came in the midst of writing, and its handler writes.
        if not (
            isinstance(error, OSError)
            or (isinstance(error, ValueError) and self.stream.closed)
            or (isinstance(error, RuntimeError) and "reentrant" in str(error))
        ):
            raise error
        if not self._needed:
            return
        if isinstance(error, BrokenPipeError):
            raise ReaderGone from None
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise UnnoiseError(f"Cannot write to standard output: {reason}. Send it elsewhere.") from error

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 (whatever the stream has)
        return getattr(self.stream, name)


@contextmanager
def guarded_output(*, needed: bool = True) -> Iterator[None]:
    """Context in which failures of standard error are ignored, and those of standard output unless `needed`.

    At its end nothing is left in a buffer that the interpreter would fail to write when it exits.
    """
    before = sys.stdout, sys.stderr
    streams = [_unguarded(stream) for stream in before]
    sys.stdout = cast("TextIO", GuardedStream(streams[0], needed=needed))
    sys.stderr = cast("TextIO", GuardedStream(streams[1], needed=False))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        for stream in streams:
            _settle(stream)


def _unguarded(stream: Any) -> Any:  # noqa: ANN401 (tests and notebooks put their own in place)
    """The stream itself, or one that drops everything where the process was started without."""
    if isinstance(stream, GuardedStream):
        return stream.stream
    return stream or open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123 (for as long as it is used)


def _settle(stream: Any) -> None:  # noqa: ANN401 (as above)
    """Flushes a stream; where that fails, sends what is left in its buffer nowhere."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
            stream.flush()


def occupy_standard_descriptors() -> None:
    """Opens /dev/null in place of closed standard streams, before a file of ours takes their number.

    Messages of C++ libraries would then go into that file.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free
