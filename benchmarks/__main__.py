"""Runs the benchmarks, each in a process of its own, then writes the overview docs/benchmarks.md.

    python -m benchmarks                              # all of them, in hours
    python -m benchmarks training_speed sampling      # only these
    python -m benchmarks --quick                      # a little of each; docs/ stays as it is

If a benchmark fails, the others go on, and it is named at the end.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import overview
from benchmarks.report import publish
from benchmarks.suite import Benchmark, chosen, listing


def run(one: Benchmark, work: Path, docs: Path, *, quick: bool) -> bool:
    """Runs a benchmark, after the training that it needs; returns whether it succeeded."""
    python = [sys.executable, "-W", "ignore", "-m"]  # warnings of other libraries
    commands = [[*python, f"benchmarks.{one.module}", *one.options(work, docs, quick=quick)]]
    if one.trains:
        length = ["--steps", "30"] if quick else ["--minutes", "10"]
        train = ["unnoise", "train", "fashion-mnist", "--out", str(work / "run"), *length]
        commands.insert(0, [*python, *train])
    return all(subprocess.run(command, check=False).returncode == 0 for command in commands)  # noqa: S603


def run_all(benchmarks: Sequence[Benchmark], work: Path, docs: Path, *, quick: bool) -> list[str]:
    """Runs the benchmarks one after the other; returns the names of those that failed."""
    failed, left = [], sum(one.minutes for one in benchmarks)
    for number, one in enumerate(benchmarks, start=1):
        time_left = "" if quick else f" (about {one.minutes:g} minutes, {left:g} for all that are left)"
        print(f"[{number} of {len(benchmarks)}] {one.module}: {one.measures}{time_left}", flush=True)
        started = time.monotonic()
        if not run(one, work, docs, quick=quick):
            failed.append(one.module)
        print(f"[{number} of {len(benchmarks)}] {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
        left -= one.minutes
    return failed


def main() -> None:
    """Runs the chosen benchmarks and writes the overview."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"benchmarks:\n{listing()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="all of them, if left out")
    parser.add_argument("--quick", action="store_true", help="a little of each; writes nothing to docs/")
    parser.add_argument("--list", action="store_true", help="only list the benchmarks")
    options = parser.parse_args()
    try:
        benchmarks = chosen(options.names)
    except ValueError as error:
        parser.error(str(error))
    if options.list:
        print(listing())
        return
    with tempfile.TemporaryDirectory() as temporary:
        # Files that took an hour to make are kept in runs/.
        kept = Path("runs") / f"benchmarks-{datetime.now(UTC):%Y-%m-%d-%H%M%S}"
        work = Path(temporary) if options.quick else kept
        docs = work / "docs" if options.quick else Path("docs")
        failed = run_all(benchmarks, work, docs, quick=options.quick)
        try:
            publish(overview.NAME, overview.__doc__, {"overview": overview.rows(docs)}, docs)
        except ValueError as error:
            raise SystemExit(f"Cannot write the overview: {error}.") from None
    if failed:
        raise SystemExit(f"These benchmarks failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
