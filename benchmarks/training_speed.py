"""The same networks with the same weights train here and in the libraries they come from; what differs is time.

    python -m benchmarks.training_speed [--quick]

Each trains in a process of its own, with memory as its users have it: ours keeps it, as `unnoise train` does
(see unnoise/heap.py). They follow one another in turns (A B A B), so that a busy moment meets all; the medians
of the turns count. Before anything is timed, the outputs must agree to 10^-4. Needs diffusers, and for the
second pair denoising-diffusion-pytorch 1.9.4 with torchvision: `make bench` makes an environment with both.
Writes docs/training_speed.md.
"""

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.reports import machine, publish, table
from benchmarks.training_pairs import BATCH, SIDE, Pair, pairs
from unnoise.cli.console import Bar, result
from unnoise.utils import malloc as heap
from unnoise.utils.kernels import seconds_by_kind
from unnoise.utils.roofline import flops, roof

Kinds = dict[str, float]


def serve(connection: Connection, make: Callable[[], Pair], ours: bool, threads: int) -> None:
    """In a process of its own: answers a number of steps with the seconds of one, and 0 with its kernels'."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if ours:
        heap.keep()
    pair = make()
    step = pair.ours if ours else pair.theirs
    while (count := connection.recv()) is not None:
        if count == 0:
            connection.send(seconds_by_kind(step))
            continue
        started = time.perf_counter()
        for _ in range(count):
            step()
        connection.send((time.perf_counter() - started) / count)


@contextmanager
def processes(make: Callable[[], Pair], threads: int) -> Iterator[list[Connection]]:
    """Ours and theirs, ready to be asked by `asked`."""
    context, ends, started = multiprocessing.get_context("spawn"), [], []
    try:
        for ours in (True, False):
            here, there = context.Pipe()
            started.append(context.Process(target=serve, args=(there, make, ours, threads), daemon=True))
            started[-1].start()
            there.close()
            ends.append(here)
        yield ends
        for end in ends:
            end.send(None)
        for process in started:
            process.join()
    finally:
        for process in started:
            process.kill()


def asked(end: Connection, count: int) -> float | Kinds:
    """The answer of one of the `processes`, while the other waits.

    Raises:
        EOFError: where it has failed.
    """
    end.send(count)
    answer: float | Kinds = end.recv()
    return answer


class Measured(NamedTuple):
    """Images a second, ours and theirs, and the seconds of a step in each kind of kernel."""

    ours: float
    theirs: float
    kinds: tuple[Kinds, Kinds]


def measured(name: str, make: Callable[[], Pair], threads: int, turns: int, count: int) -> Measured:
    """Medians, in turns of so many steps; the first does not count."""
    taken: tuple[list[float], list[float]] = ([], [])
    with processes(make, threads) as ends, Bar(name, turns + 1) as shown:
        for turn in range(turns + 1):
            for end, seconds in zip(ends, taken, strict=True):
                spent = asked(end, count)
                if turn and isinstance(spent, float):
                    seconds.append(spent)
            shown.advance(1)
        mine, its = (answer for end in ends if isinstance(answer := asked(end, 0), dict))
    ours, theirs = (BATCH / median(seconds) for seconds in taken)
    return Measured(ours, theirs, (mine, its))


def page(best: float, threads: int, turns: int, count: int) -> list[str]:
    """Measures the pairs, and tells what was found; `best` is the roof."""
    rows, shares, told = [], [], []
    for make in pairs():
        pair = make()
        found = measured(pair.name, make, threads, turns, count)
        part = flops(pair.ours) / BATCH * found.ours / 1e9 / best
        ratio = found.ours / found.theirs
        told.append(f"{ratio:.2f} times as fast as in {pair.name.partition(',')[0]}")
        numbers = [f"{found.ours:.1f}", f"{found.theirs:.1f}", f"{ratio:.2f}", f"{part:.0%}"]
        rows.append([pair.name, f"{pair.parameters:,}", *numbers, f"{pair.difference:.0e}"])
        cells = [
            [kind, *(f"{1e3 * each[kind] / BATCH:.2f}" for each in found.kinds)] for kind in found.kinds[0]
        ]
        cells.append(["all", *(f"{1e3 * sum(each.values()) / BATCH:.2f}" for each in found.kinds)])
        shares.append(f"Milliseconds an image in the kernels of a step ({pair.name}):")
        shares.append(table(["kernels", "ours", "theirs"], cells))
    return [
        "# How fast training is, beside the libraries that the networks come from",
        f"Training is {' and '.join(told)}, with the same networks and the same weights.",
        f"Images a second, whole training steps of {BATCH} grey pictures of {SIDE} x {SIDE}: the same network "
        "with the same weights, each in its own library and process, trained as its users do; ours keeps "
        "its memory from step to step, as `unnoise train` has it (src/unnoise/heap.py). `of the roof`: what "
        "our step does of the multiplications that a large product of matrices does on this machine, "
        f"{best:.0f} GFLOP/s; those it saves do not count. `difference`: the largest of the outputs.",
        table(["network", "parameters", "ours", "theirs", "ratio", "of the roof", "difference"], rows),
        *shares,
    ]


def main() -> None:
    """Measures, prints the page, and writes it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a single turn, to see that it works")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="the folder to write to")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    turns, count = (1, 1) if given.quick else (9, 3)
    if len(pairs()) == 1:
        print("denoising-diffusion-pytorch is not installed, and left out: make bench installs it.")
    paragraphs = [
        *page(roof(), given.threads, turns, count),
        f"```sh\npython -m benchmarks.training_speed --threads {given.threads}\n```",
        f"{turns} turns of {count} steps. Measured on {datetime.now(UTC):%Y-%m-%d} on: {machine()}.",
    ]
    print("\n\n".join(paragraphs))
    publish(given.docs / "training_speed.md", *paragraphs)
    result("page", given.docs / "training_speed.md")


if __name__ == "__main__":
    main()
