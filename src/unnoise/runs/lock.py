"""Lock on a run's folder: one process at a time trains a run or writes its weights.

    .lock        the lock itself, by the library filelock: the system frees it when its process ends, however
    .lock.json   who holds it: host, process and start, for the message to others

Some network file systems grant a lock twice. There the second file decides: a process on this host that it
names and that still runs holds the run; one on another host cannot be asked, and is warned of.
"""

import errno
import json
import os
import socket
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import WriteError
from unnoise.utils.json_text import parse, read_text

_LOCK, _HOLDER = ".lock", ".lock.json"
_UNSUPPORTED = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""What file systems without locks answer."""
_BOOT = Path("/proc/sys/kernel/random/boot_id")
_SAME_START = 2.0
"""Seconds by which two readings of the start of a process may differ."""


@dataclass(frozen=True)
class Start:
    """When a process started: process numbers are given anew.

    Linux counts from the start of the system, so that a clock that is set, or a virtual machine that was
    paused, changes the time of day at which all processes started; macOS and Windows note the time of day.
    """

    clock: float
    """Seconds since 1970."""
    uptime: float | None = None
    """Seconds since the system started; None where nobody noted it."""
    boot: str = ""
    """A name for this start of the system, which Linux gives; empty elsewhere."""

    @classmethod
    def of(cls, pid: int) -> "Start":
        """That of a process that runs.

        Raises:
            psutil.Error: where there is none.
        """
        clock = psutil.Process(pid).create_time()
        boot = read_text(_BOOT).strip() if _BOOT.is_file() else ""
        return cls(clock, clock - psutil.boot_time(), boot)

    def is_near(self, other: "Start") -> bool:
        """Whether the two agree within two seconds, by the clock or since the same start of the system."""
        if abs(self.clock - other.clock) <= _SAME_START:
            return True
        if self.uptime is None or other.uptime is None or not self.boot or self.boot != other.boot:
            return False
        return abs(self.uptime - other.uptime) <= _SAME_START


def lives(pid: int, start: Start) -> bool:
    """Whether the process with this number is the one that started then, and has not ended.

    A process that has ended keeps its number until its parent fetches its exit status: such a zombie is none.
    """
    try:
        return Start.of(pid).is_near(start) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def began(pid: int, start: Start) -> float:
    """When a process started, in seconds since 1970: as noted then, or as the system says now.

    Of the two the earlier: if the clock was set meanwhile they differ, and a request to stop that came after
    the start must not look older than it.
    """
    with suppress(psutil.Error):
        return min(start.clock, float(psutil.Process(pid).create_time()))
    return start.clock


@dataclass(frozen=True)
class Holder:
    """The process that holds a run."""

    host: str
    pid: int
    started: float
    """When the process started, in seconds since 1970: process numbers are given anew."""
    since: float
    """When it took the run."""
    file: int
    """The inode of its lock: that of a copied folder is another."""
    uptime: float | None = None
    """When the process started, in seconds since the system did."""
    boot: str = ""
    """Which start of the system that was."""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {time.strftime('%d %B %Y %H:%M', _local(self.since))}"

    @property
    def runs_here(self) -> bool:
        """Whether it is another process of this host, and still runs."""
        if self.host != socket.gethostname() or self.pid == os.getpid():
            return False
        return lives(self.pid, self.start)

    @property
    def start(self) -> Start:
        """When the process started."""
        return Start(self.started, self.uptime, self.boot)


_held: dict[Path, int] = {}
"""The folders that this process holds, and how many times: a lock may be taken again within itself."""


@contextmanager
def lock_run(path: Path) -> Iterator[None]:
    """Context that holds the run in this folder against other processes; leaves nothing behind.

    A process that holds it already may take it again.

    Raises:
        UnnoiseError: when another process holds it; the message names it.
        WriteError: when the folder cannot be written.
    """
    folder = path.resolve()
    if folder in _held:
        _held[folder] += 1
        try:
            yield
        finally:
            _held[folder] -= 1
        return
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    lock = _locked(folder, path)
    _held[folder] = 1
    try:
        _sign(folder, path)
        yield
    finally:
        del _held[folder]
        for name in (_HOLDER, _LOCK):  # while it is still held: whoever waits for it takes a new one
            with suppress(OSError):
                (folder / name).unlink(missing_ok=True)
        if lock is not None:
            lock.release()
        with suppress(OSError):
            for empty in made:
                empty.rmdir()


def _locked(folder: Path, path: Path) -> FileLock | None:
    """The lock of this folder; None on a file system that has no locks."""
    lock = FileLock(folder / _LOCK, timeout=0, thread_local=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise _refused(path, holder_of(folder)) from None
    except NotImplementedError:
        (folder / _LOCK).touch()
        return None
    except OSError as error:
        if error.errno in _UNSUPPORTED:
            return None
        reason = (error.strerror or str(error)).lower()
        raise WriteError(f"Cannot write {path}: {reason}. Free some space or choose another path.") from error
    return lock


def _sign(folder: Path, path: Path) -> None:
    """Writes down who holds the lock, unless another process does so in spite of it."""
    before = holder_of(folder)
    if before is not None and before.file == _inode(folder):
        if before.runs_here:
            raise _refused(path, before)
        if before.host != socket.gethostname():
            warnings.warn(
                f"{path} was held by {before}, which did not say that it ended. If it still trains there, stop "
                "one of the two.",
                stacklevel=4,
            )
    me = os.getpid()
    start = Start.of(me)
    now = Holder(
        socket.gethostname(), me, start.clock, time.time(), _inode(folder), uptime=start.uptime, boot=start.boot
    )
    with suppress(OSError):  # then others are told less
        (folder / _HOLDER).write_text(json.dumps(asdict(now)) + "\n", encoding="utf-8")


def holder_of(folder: Path) -> Holder | None:
    """Who wrote down that it holds this folder; None where nobody did, or it cannot be read.

    A process that ended by itself has removed what it wrote down; one that was killed has not.
    """
    try:
        found = Holder(**parse(read_text(folder / _HOLDER)))
    except (OSError, ValueError, TypeError):
        return None
    times = (found.started, found.since, found.uptime or 0.0)
    numbers = isinstance(found.pid, int) and all(isinstance(one, float | int) for one in times)
    return found if numbers and isinstance(found.boot, str) else None


def _inode(folder: Path) -> int:
    try:
        return (folder / _LOCK).stat().st_ino
    except OSError:
        return 0


def _refused(path: Path, holder: Holder | None) -> UnnoiseError:
    return UnnoiseError(
        f"{path} is being trained or written by {holder or 'another process'}. Wait until it ends, stop it, or "
        "choose another folder with --out."
    )


def _local(seconds: float) -> time.struct_time:
    return time.localtime(seconds)
