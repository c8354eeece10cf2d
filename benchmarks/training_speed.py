"""Training speed beside the libraries that the networks come from, with the same weights.

    python -m benchmarks.training_speed [--quick]

Each network trains in unnoise and in its own library, in processes of their own and in turns, as its users
train it; ours keeps its memory from step to step, as `unnoise train` does. Before anything is timed, the
outputs must agree to 10^-4. Needs diffusers, and denoising-diffusion-pytorch 1.9.4 with torchvision for the
second network: `make bench` installs them.
"""

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from typing import NamedTuple

import torch

from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.training_pairs import BATCH, Pair, pairs
from benchmarks.turns import in_turns, medians, timed
from unnoise.utils import malloc
from unnoise.utils.device_peak import device_peak
from unnoise.utils.device_speed import count_flops, seconds_by_kind
from unnoise.utils.precision import Precision, bfloat16_is_fast

Kernels = dict[str, float]
"""Seconds of a step by kind of kernel."""


def serve(connection: Connection, make: Callable[[], Pair], ours: bool, threads: int) -> None:
    """In its own process: answers a number of steps with the seconds of one, and 0 with those by kernel."""
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if ours:
        malloc.keep_freed_memory()
    pair = make()
    step = pair.ours if ours else pair.theirs
    while (count := connection.recv()) is not None:
        connection.send(timed(step, count) if count else seconds_by_kind(step))


@contextmanager
def processes(make: Callable[[], Pair], threads: int) -> Iterator[list[Connection]]:
    """Processes of ours and theirs, which answer as `serve` does."""
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


class Speeds(NamedTuple):
    """Images a second of ours and theirs, and the seconds of a step in each kind of kernel."""

    ours: float
    theirs: float
    kernels: tuple[Kernels, Kernels]


def measure(name: str, make: Callable[[], Pair], threads: int, turns: int, count: int) -> Speeds:
    """Medians over turns of so many steps.

    Raises:
        EOFError: when one of the processes has failed.
    """
    with processes(make, threads) as ends:

        def ask(end: Connection, steps: int) -> float:
            end.send(steps)
            seconds: float = end.recv()
            return seconds

        runs = {side: partial(ask, end, count) for side, end in zip(("ours", "theirs"), ends, strict=True)}
        seconds = medians(in_turns(runs, turns, name))
        kernels = []
        for end in ends:
            end.send(0)
            kernels.append(end.recv())
    return Speeds(BATCH / seconds["ours"], BATCH / seconds["theirs"], (kernels[0], kernels[1]))


def kernel_table(kernels: tuple[Kernels, Kernels]) -> str:
    """Milliseconds an image in each kind of kernel of a step."""
    cells = [[kind, *(f"{1e3 * each[kind] / BATCH:.2f}" for each in kernels)] for kind in kernels[0]]
    cells.append(["all", *(f"{1e3 * sum(each.values()) / BATCH:.2f}" for each in kernels)])
    return table(["kernels", "ours", "theirs"], cells)


def main() -> None:
    """Measures, and writes the tables."""
    options = option_parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    turns, count = (1, 1) if options.quick else (9, 3)
    if len(pairs()) == 1:
        print("denoising-diffusion-pytorch is left out, because it is not installed; `make bench` installs it.")
    rows, kernels, told = [], {}, []
    precisions: tuple[Precision, ...] = ("float32", "bfloat16") if bfloat16_is_fast() else ("float32",)
    for precision in precisions:
        best = device_peak(dtype=getattr(torch, precision))
        told.append(f"{best.gflops:.0f} GFLOP/s in {precision} ({best.operation})")
        for make in pairs():
            pair = make(precision=precision)
            found = measure(pair.name, partial(make, precision=precision), options.threads, turns, count)
            share = count_flops(pair.ours) / BATCH * found.ours / 1e9 / best.gflops
            speeds = [f"{found.ours:.1f}", f"{found.theirs:.1f}", f"{found.ours / found.theirs:.2f}"]
            numbers = [f"{pair.parameters:,}", *speeds, f"{share:.0%}", f"{pair.difference:.0e}"]
            rows.append([pair.name, precision, *numbers])
            library = pair.name.partition(",")[0].split()[0]
            kernels[f"kernels-{library}-{precision}"] = kernel_table(found.kernels)
    header = ["network", "precision", "parameters", "ours", "theirs", "ratio", "of the peak", "difference"]
    how = f"{turns} turns of {count} steps. Peak of the machine: {' and '.join(told)}."
    blocks = {
        MADE: made("training_speed", f"--threads {options.threads}", how),
        "images-per-second": table(header, rows),
        **kernels,
    }
    publish("training_speed", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
