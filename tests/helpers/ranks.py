"""Processes of a distributed training, forked from a server that has imported PyTorch.

What torchrun would start, without its start: none imports anything anew. As there, they meet at a store that
their parent holds, and the failure of one ends the others.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from multiprocessing import connection
from pathlib import Path
from typing import NamedTuple

from torch.distributed import TCPStore

from helpers.killed import server

_HOST = "127.0.0.1"


class Ranks(NamedTuple):
    """How the processes ended, in the order of their ranks."""

    codes: list[int | None]
    out: list[str]
    err: list[str]


def run_ranks(count: int, target: Callable[..., object], *arguments: object) -> Ranks:
    """Calls target(*arguments), of a module of helpers or unnoise, in so many processes with a rank each."""
    store = TCPStore(_HOST, 0, is_master=True, wait_for_workers=False)
    with tempfile.TemporaryDirectory() as logs:
        folder, context = Path(logs), server()
        children = []
        for rank in range(count):
            environment = {**os.environ, **_environment(rank, count, store.port)}
            child = context.Process(target=_run, args=(environment, folder / str(rank), target, arguments))
            child.start()
            children.append(child)
        running = {child.sentinel: child for child in children}
        while running:
            for sentinel in connection.wait(list(running)):
                if running.pop(sentinel).exitcode:
                    for other in running.values():
                        other.terminate()
        texts = [[(folder / f"{rank}.{name}").read_text() for rank in range(count)] for name in ("out", "err")]
    return Ranks([child.exitcode for child in children], *texts)


def command_line(words: Sequence[object]) -> None:
    """The command line of unnoise."""
    from unnoise.cli import run

    sys.exit(run(list(map(str, words))))


def _environment(rank: int, count: int, port: int) -> dict[str, str]:
    """The variables that torchrun sets."""
    numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    place = {"MASTER_ADDR": _HOST, "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    return {name: str(value) for name, value in (numbers | place).items()}


def _run(
    environment: dict[str, str], log: Path, target: Callable[..., object], arguments: Sequence[object]
) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(f"{log}.{name}", os.O_WRONLY | os.O_CREAT), number)
    target(*arguments)
