"""Main loop of the worker: it does task after task until its standard input ends, or ten minutes pass."""

import os
import queue
import re
import sys
import threading
import traceback
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from unnoise.api.amounts import ran_out_of_memory
from unnoise.app.worker.folder import CancelledTaskError, TaskFolder
from unnoise.app.worker.kinds import KINDS
from unnoise.app.worker.opened import OpenedRuns
from unnoise.app.workspace import Workspace
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.processors import usable_cores

_IDLE = 600.0
"""Seconds without a task after which the worker ends: it holds memory."""
_NICE = 2


def work(root: Path, orders: BinaryIO) -> None:
    """Does the tasks that are asked for, and first those that an earlier worker left.

    Args:
        root: of the workspace.
        orders: ids of tasks, one a line; its end ends the worker.
    """
    if hasattr(os, "nice"):
        os.nice(_NICE)
    workspace = Workspace.open(root)
    tasks = workspace.hidden / "tasks"
    waiting: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(orders, waiting), daemon=True).start()
    for number in _left(tasks):
        waiting.put(number)
    runs = OpenedRuns()
    while True:
        try:
            number = waiting.get(timeout=_IDLE)
        except queue.Empty:
            return
        if re.fullmatch("[0-9a-f]{16}", number):
            task = TaskFolder(tasks / number, runs)
            if task.is_open:
                do(task, workspace)


def _left(tasks: Path) -> list[str]:
    """Ids of all tasks, the oldest first."""
    found = []
    for path in tasks.glob("*/request.json"):
        with suppress(OSError):  # it was removed by now
            found.append((path.stat().st_mtime, path.parent.name))
    return [number for _, number in sorted(found)]


def _listen(orders: BinaryIO, waiting: "queue.Queue[str]") -> None:
    """Takes orders while the loop works. Without a server there is nobody to work for."""
    for line in orders:
        waiting.put(line.decode("ascii", "replace").strip())
    os._exit(0)


def do(task: TaskFolder, workspace: Workspace) -> None:
    """Does one task, and writes what came of it."""
    kind = str(task.word("kind"))
    try:
        task.begin()
        if kind not in KINDS:
            raise UnnoiseError(f"There is no task {kind[:40]!r}: choose from {', '.join(sorted(KINDS))}.")  # noqa: TRY301
        _use_threads(busy=bool(task.word("busy")))
        result = KINDS[kind](task, workspace)
        task.write("done", progress=1.0, result=result)
    except CancelledTaskError:
        task.fail("Cancelled.")
    except UnnoiseError as error:
        task.fail(str(error))
    except Exception as error:  # noqa: BLE001 (the worker outlives what a task meets)
        task.fail(_sentence(error, task.path))
    finally:
        _free_device()


def _free_device() -> None:
    """Leaves the memory of a GPU, which a training may need, to others."""
    if "torch" not in sys.modules:  # importing it takes longer than many tasks, which do without
        return
    from unnoise.utils.out_of_memory import free_device_cache

    free_device_cache()


def _sentence(error: Exception, folder: Path) -> str:
    """What people are told of an error that is none of theirs."""
    if isinstance(error, MemoryError) or ran_out_of_memory(error):
        return "There is not enough memory for this: ask for fewer or smaller pictures, or stop the training."
    if isinstance(error, OSError) and error.strerror:
        return f"The operating system reports an error: {error.strerror.lower()}."
    with suppress(OSError):
        (folder / "traceback.txt").write_text(traceback.format_exc(), encoding="utf-8")
    return (
        f"Something went wrong in unnoise itself ({type(error).__name__}): traceback.txt in {folder} says what."
    )


def _use_threads(*, busy: bool) -> None:
    """One core while a run trains, all of them otherwise."""
    import torch

    torch.set_num_threads(1 if busy else usable_cores())
