"""Records of the speedrun: one file for each in records/, with its log, and the table of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.json_rows import read_rows, write_rows
from benchmarks.report import table
from benchmarks.speedrun.racing import Entry
from benchmarks.speedrun.tasks import MOST_COPIES, TASKS, TRACKS
from unnoise.utils.errors import require

FOLDER = Path(__file__).parent / "records"
ENTRIES = Path(__file__).parent / "entries"
FEWEST_SEEDS = 5


@dataclass(frozen=True, kw_only=True)
class Record:
    """Seconds, distances and copies of an entry over the seeds of one task and track."""

    task: str
    track: str
    entry: str
    """Its file, and what it does, in a few words."""
    words: str
    commit: str
    data: str
    """Fingerprint of the training pictures: records of other pictures do not compare."""
    measured: str
    machine: str
    seeds: tuple[int, ...]
    seconds: tuple[float, ...]
    distances: tuple[float, ...]
    copies: tuple[float, ...]

    @property
    def mean_seconds(self) -> float:
        """What is compared."""
        return fmean(self.seconds)

    @property
    def faults(self) -> list[str]:
        """Why this is no record; empty for one."""
        count, near, copies = len(self.seeds), fmean(self.distances), fmean(self.copies)
        target, first = TASKS[self.task].target, f"0 to {count - 1}"
        chosen = self.seeds != tuple(range(count))
        found = {
            f"it has {count} seeds, and {FEWEST_SEEDS} are needed": count < FEWEST_SEEDS,
            f"its seeds are {', '.join(map(str, self.seeds))}, and {first} are needed": chosen,
            f"its distance of {near:.3f} is above the target of {target:g}": near > target,
            f"{copies:.1%} of its pictures are copies, and {MOST_COPIES:.0%} may be": copies > MOST_COPIES,
        }
        return [fault for fault, there in found.items() if there]

    def compares_with(self, other: "Record") -> bool:
        """Whether the times of both may be compared: of one task and track, machine, and pictures."""
        mine, theirs = ((one.task, one.track, one.machine, one.data) for one in (self, other))
        return mine == theirs

    @property
    def name(self) -> str:
        """Name of its files, without suffix."""
        return f"{self.task}-{self.track}-{self.measured}-{Path(self.entry).stem}"


def write_record(record: Record, entry: Entry, logs: Sequence[Path]) -> Path:
    """Writes a record into the repository, with its log, and its entry if that is not there yet.

    A second one of the same day and entry, from another machine say, gets a number.

    Raises:
        UnnoiseError: for a result that is no record, or an entry of another program's name.
    """
    slower = [
        f"the last one on this machine took {other.mean_seconds:.1f} s, and this one {record.mean_seconds:.1f}"
        for other in read_records()
        if record.compares_with(other) and other.mean_seconds <= record.mean_seconds
    ]
    faults = record.faults + slower[:1]
    require(not faults, f"This is no record: {'; '.join(faults)}.")
    kept = ENTRIES / entry.name
    same = not kept.exists() or kept.read_bytes() == entry.program
    require(same, f"There is another entry {entry.name} in {ENTRIES}. Give yours another name.")
    kept.write_bytes(entry.program)
    FOLDER.mkdir(exist_ok=True)
    path, number = FOLDER / f"{record.name}.json", 1
    while path.exists():
        number += 1
        path = FOLDER / f"{record.name}-{number}.json"
    told = [f"seed {seed}\n\n{_last_of_each_line(log)}\n" for seed, log in zip(record.seeds, logs, strict=True)]
    path.with_suffix(".log").write_text("\n".join(told), encoding="utf-8")
    write_rows(path, [record])
    return path


def _last_of_each_line(log: Path) -> str:
    """What a log says, as a terminal would show it in the end: progress is overwritten by carriage returns."""
    lines = log.read_bytes().decode(errors="replace").split("\n")  # not as text, which ends lines at each \r
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def read_records() -> list[Record]:
    """All records, by task, track and machine, the fastest first."""
    found = [record for path in FOLDER.glob("*.json") for record in read_rows(path, Record)]
    order = [*TASKS], [*TRACKS]
    return sorted(
        found,
        key=lambda one: (
            order[0].index(one.task),
            order[1].index(one.track),
            one.machine,
            one.data,
            one.mean_seconds,
        ),
    )


def records_table(records: Sequence[Record]) -> str:
    """The table of records."""
    header = [
        "task",
        "track",
        "entry",
        "seconds",
        "each seed",
        "FD (target)",
        "copies",
        "commit",
        "date",
        "machine",
    ]
    rows = []
    for one in records:
        mean, target = fmean(one.distances), TASKS[one.task].target
        rows.append(
            [
                one.task,
                one.track,
                f"[{one.words}](../benchmarks/speedrun/{one.entry})",
                f"**{one.mean_seconds:.0f}**",
                ", ".join(f"{each:.0f}" for each in one.seconds),
                f"{mean:.3f} ({target:g})",
                f"{fmean(one.copies):.1%}",
                one.commit,
                one.measured,
                one.machine,
            ]
        )
    return table(header, rows, texts=(0, 1, 2, 4, 7, 8, 9))
