"""Seconds from nothing to pictures of a fixed quality.

    python -m benchmarks.speedrun fashion-mnist
    python -m benchmarks.speedrun emoji-64 --data FOLDER --entry MINE.py

An entry is a program that is started as `ENTRY DATA.npz SEED PICTURES.npy`: it reads the training pictures,
trains a generative model from scratch, and writes 1,000 pictures that it draws. The clock runs from its start
to its end. With five seeds or more, and with --words, the result is written as a record, beside its log.
"""

import argparse
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean

from benchmarks.report import machine, publish
from benchmarks.speedrun import judging, racing
from benchmarks.speedrun.racing import Entry
from benchmarks.speedrun.records import FEWEST_SEEDS, Record, read_records, records_table, write_record
from benchmarks.speedrun.tasks import TASKS, TRACKS, write_data
from unnoise.api.reporting import tell, tell_result
from unnoise.utils.errors import UnnoiseError, require

_HERE = Path(__file__).parent


def commit() -> str:
    """The commit of the working tree, with a + where files differ or are new; empty outside of a repository."""

    def told(*words: str) -> str:
        done = subprocess.run(["git", *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return done.stdout.strip()

    at = told("rev-parse", "--short=9", "HEAD")
    return f"{at}+" if at and told("status", "--porcelain") else at


def require_recordable(seeds: Sequence[int], at: str) -> None:
    """Refuses what could not become a record, before minutes are spent on it."""
    count = len(seeds)
    words = (
        f"A record has the seeds 0 to {FEWEST_SEEDS - 1} or more of them, but got {', '.join(map(str, seeds))}."
    )
    require(count >= FEWEST_SEEDS and [*seeds] == [*range(count)], words)
    require(bool(at), "A record names its commit: run this in a clone of the repository.")
    require(not at.endswith("+"), f"Files differ from the commit {at[:-1]}: commit them before a record.")


def measured(options: argparse.Namespace, entry: Entry, at: str, folder: Path) -> Record:
    """Runs the entry with each seed, and judges what it draws; logs stay in this folder."""
    task, track = TASKS[options.task], TRACKS[options.track]
    track.require_here()
    weights = judging.weights_file(task)
    require(weights.is_file(), f"The task {task.name} has no judge yet: python -m benchmarks.speedrun.judging.")
    pictures, laps, verdicts = task.pictures(options.data), [], []
    judge = judging.judge_of(task, pictures, weights)
    with tempfile.TemporaryDirectory() as place:
        data = Path(place) / "training.npz"
        write_data(pictures, data)
        for seed in options.seeds:
            laps.append(racing.lap(entry, data, seed, folder, track))
            drawn = judging.checked_pictures(laps[-1].drawn, pictures)
            verdicts.append(judging.verdict(judge, drawn, pictures))
            found = f"FD {verdicts[-1].fd:.3f}, {verdicts[-1].copies:.1%} copies"
            tell(f"seed {seed}: {laps[-1].seconds:.1f} s, {found}")
    return Record(
        task=task.name,
        track=track.name,
        entry=f"entries/{entry.name}",
        words=options.words,
        commit=at,
        data=pictures.training.fingerprint,
        measured=f"{datetime.now(UTC):%Y-%m-%d}",
        machine=machine("cuda" if track.cards else "cpu"),
        seeds=tuple(options.seeds),
        seconds=tuple(round(each.seconds, 1) for each in laps),
        distances=tuple(round(each.fd, 4) for each in verdicts),
        copies=tuple(round(each.copies, 4) for each in verdicts),
    )


def parsed() -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS, nargs="?", help="left out, only the page is written")
    parser.add_argument("--data", default="", help="the pictures of the task, where they are not found by name")
    parser.add_argument("--entry", type=Path, default=_HERE / "entries" / "unnoise_default.py")
    parser.add_argument("--track", choices=TRACKS, default="cpu-2")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--words", default="", help="what is new in the entry; writes a record")
    parser.add_argument("--work", type=Path, default=Path("build/speedrun"), help="for pictures and logs")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder of speedrun.md")
    return parser.parse_args()


def main() -> None:
    """Measures an entry, writes its record, and the page of all records."""
    options = parsed()
    try:
        if options.task:
            entry, at = Entry.read(options.entry), commit()
            if options.words:
                require_recordable(options.seeds, at)
            folder = options.work / options.task / options.entry.stem
            record = measured(options, entry, at, folder)
            target, mean = TASKS[record.task].target, fmean(record.distances)
            seconds = f"{record.mean_seconds:.1f} s in the mean of {len(record.seeds)}"
            tell(f"{seconds}, FD {mean:.3f}; the target is {target:g}")
            if not options.words:
                return
            logs = [folder / f"{seed}.log" for seed in record.seeds]
            tell_result("record", write_record(record, entry, logs))
    except UnnoiseError as error:
        raise SystemExit(str(error)) from None
    publish("speedrun", __doc__, {"records": records_table(read_records())}, options.docs)


if __name__ == "__main__":
    main()
