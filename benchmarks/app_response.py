"""Response of the web app: to its first page, under load, while a run trains, and with many runs.

    python -m benchmarks.app_response [--quick]

Twenty clients ask for pages, lists and pictures of runs, each for the next one as soon as the last has come, on
an idle machine and while `unnoise train` uses all cores. A workspace of 500 runs and 10,000 pictures is listed.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median, quantiles

import torch
from PIL import Image

from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from unnoise import api

CLIENTS = 20
PORT = 8799
_ADDRESS = f"http://127.0.0.1:{PORT}"
_RUNS, _PICTURES = 500, 10_000


def ask(path: str) -> tuple[float, bytes]:
    """Seconds and the body of a request."""
    started = time.perf_counter()
    with urllib.request.urlopen(_ADDRESS + path, timeout=60) as answer:  # noqa: S310 (our own address)
        body = answer.read()
    return time.perf_counter() - started, body


@contextlib.contextmanager
def served(workspace: Path) -> Iterator[float]:
    """The app over a workspace; gives the seconds from the command to the whole first page."""
    words = [sys.executable, "-m", "unnoise", "app", "--no-browser", "--port", str(PORT)]
    started = time.perf_counter()
    with subprocess.Popen([*words, "--workspace", str(workspace)], stderr=subprocess.DEVNULL) as process:  # noqa: S603
        try:
            while True:
                try:
                    page = ask("/")[1].decode()
                    break
                except OSError:
                    time.sleep(0.02)
            for part in sorted(set(page.split('"'))):
                if part.startswith("/static/"):
                    ask(part)
            yield time.perf_counter() - started
        finally:
            process.terminate()


def load(paths: Sequence[str], seconds: float) -> list[float]:
    """Seconds of each request of all clients."""
    taken: list[float] = []
    end = time.perf_counter() + seconds

    def client(first: int) -> None:
        place = first
        while time.perf_counter() < end:
            taken.append(ask(paths[place % len(paths)])[0])
            place += 1

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return taken


def paths_of(workspace: Path) -> list[str]:
    """What clients ask for: the pages and data of the newest run."""
    from unnoise.app.workspace import run_id

    number = run_id(sorted(path.name for path in (workspace / "runs").iterdir())[0])
    step = int(sorted((workspace / "runs").glob("*/samples/*.png"))[0].stem)
    return [
        "/",
        f"/run/{number}",
        "/api/runs",
        f"/api/runs/{number}",
        f"/files/runs/{number}/sheet/{step}?small=1",
    ]


def fill(workspace: Path, runs: int, pictures: int) -> None:
    """Many runs, which share the files of one, and many pictures."""
    first = next((workspace / "runs").iterdir())
    for number in range(1, runs):
        shutil.copytree(first, workspace / "runs" / f"run-{number:04d}", copy_function=os.link)
    folder = workspace / "photos"
    folder.mkdir()
    for number in range(pictures):
        Image.new("L", (8, 8), number % 256).save(folder / f"{number:05d}.png")


def figures(times: Sequence[float]) -> list[str]:
    """Number of requests, median, 95th and 99th percentile and the slowest, in milliseconds."""
    parts = quantiles(times, n=100) if len(times) > 1 else [times[0]] * 99
    return [
        f"{len(times):,}",
        *(f"{1000 * one:,.0f}" for one in (median(times), parts[94], parts[98], max(times))),
    ]


def measure(workspace: Path, *, quick: bool) -> tuple[list[float], Mapping[str, list[float]]]:
    """Seconds to the first page, and of the requests of each case."""
    first = []
    for _ in range(2 if quick else 7):
        with served(workspace) as seconds:
            first.append(seconds)
    cases: dict[str, list[float]] = {}
    length = 2 if quick else 20
    with served(workspace):
        paths = paths_of(workspace)
        cases["nothing else"] = load(paths, length)
        words = [sys.executable, "-m", "unnoise", "train", "fashion-mnist", "--minutes", "10"]
        with tempfile.TemporaryDirectory() as out:
            command = [*words, "--out", f"{out}/run"]
            with subprocess.Popen(["nice", "-n", "5", *command], stderr=subprocess.DEVNULL) as trains:  # noqa: S603, S607
                while not (Path(out) / "run" / "history.csv").is_file():
                    time.sleep(0.2)
                cases["a run trains on all cores"] = load(paths, length)
                trains.terminate()
    fill(workspace, 20 if quick else _RUNS, 100 if quick else _PICTURES)
    with served(workspace):
        lists: Mapping[str, Callable[[], float]] = {
            "a page of the list": lambda: ask("/api/runs")[0],
            "a search": lambda: ask("/api/runs?search=run-01%20digits")[0],
            "the folder of the pictures": lambda: ask("/api/folders/named?text=photos")[0],
        }
        for name, one in lists.items():
            cases[name] = [one() for _ in range(5 if quick else 20)]
    return first, cases


def main() -> None:
    """Measures, and writes the page."""
    options = option_parser(__doc__).parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place) / "workspace"
        api.train("digits", out=workspace / "runs" / "run-0000", steps=40)
        first, cases = measure(workspace, quick=options.quick)
    rows = [[name, *figures(times)] for name, times in cases.items()]
    blocks = {
        MADE: made("app_response", f"--threads {options.threads}", f"{CLIENTS} clients on the same machine."),
        "first": table(
            ["to the first page", "s"], [["median", f"{median(first):.2f}"], ["slowest", f"{max(first):.2f}"]]
        ),
        "requests": table(["while", "requests", "median, ms", "95 %, ms", "99 %, ms", "slowest, ms"], rows),
    }
    publish("app_response", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
