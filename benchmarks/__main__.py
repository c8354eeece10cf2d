"""One harness for all that is measured: each part in a process of its own, then a page of what they found.

    python -m benchmarks                              # all parts, in hours
    python -m benchmarks training_speed sampling      # these
    python -m benchmarks --quick                      # a little of all; docs/ stays as it is

A part that fails is named at the end, and the others go on.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.parts import PARTS, Part, chosen
from benchmarks.results_page import NAME, draw


def listing() -> str:
    """All parts that are there, each with what it asks and how long it takes."""
    there = [part for part in PARTS if part.there]
    width = max(len(part.module) for part in there)
    return "\n".join(f"  {part.module:{width}}  {part.asks} About {part.minutes:g} minutes." for part in there)


def measure(part: Part, work: Path, docs: Path, *, quick: bool) -> bool:
    """Runs a part, and before it the training of what it asks about; tells whether it did what it should."""
    python = [sys.executable, "-W", "ignore", "-m"]  # of other libraries
    commands = [[*python, f"benchmarks.{part.module}", *part.options(work, docs, quick=quick)]]
    if part.trains:
        length = ["--steps", "30"] if quick else ["--minutes", "10"]
        train = ["unnoise", "train", "fashion-mnist", "--out", str(work / "run"), *length]
        commands.insert(0, [*python, *train])
    return all(subprocess.run(command, check=False).returncode == 0 for command in commands)  # noqa: S603


def measure_all(parts: Sequence[Part], work: Path, docs: Path, *, quick: bool) -> list[str]:
    """Runs the parts one after the other; returns the names of those that failed."""
    failed, left = [], sum(part.minutes for part in parts)
    for number, part in enumerate(parts, start=1):
        about = "" if quick else f" (about {part.minutes:g} minutes; {left:g} with what follows)"
        print(f"[{number} of {len(parts)}] {part.module}: {part.asks}{about}", flush=True)
        started = time.monotonic()
        if not measure(part, work, docs, quick=quick):
            failed.append(part.module)
        print(f"[{number} of {len(parts)}] {(time.monotonic() - started) / 60:.1f} minutes", flush=True)
        left -= part.minutes
    return failed


def main() -> None:
    """Runs what was asked for, and draws the page of results."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog=f"parts:\n{listing()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="all of them, if left out")
    parser.add_argument("--quick", action="store_true", help="a little of each; writes nothing to docs/")
    parser.add_argument("--list", action="store_true", help="only tell which parts there are")
    asked = parser.parse_args()
    try:
        parts = chosen(asked.parts)
    except ValueError as error:
        parser.error(str(error))
    if asked.list:
        print(listing())
        return
    with tempfile.TemporaryDirectory() as place:
        # What takes an hour is kept where it can be found again.
        work = Path(place) if asked.quick else Path("runs") / f"benchmarks-{datetime.now(UTC):%Y-%m-%d-%H%M%S}"
        docs = work / "docs" if asked.quick else Path("docs")
        failed = measure_all(parts, work, docs, quick=asked.quick)
        try:
            print(f"page: {draw(docs)}")
        except ValueError as error:
            raise SystemExit(f"The page of results could not be drawn: {error}.") from None
        if asked.quick:
            print((docs / NAME).read_text(encoding="utf-8"))
    if failed:
        raise SystemExit(f"These parts failed: {', '.join(failed)}.")


if __name__ == "__main__":
    main()
