"""Records of the speedrun: one file for each in records/, and the table of docs/speedrun.md."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from benchmarks.json_rows import read_rows, write_rows
from benchmarks.report import table
from benchmarks.speedrun.tasks import MOST_COPIES, TASKS, TRACKS

FOLDER = Path(__file__).parent / "records"


@dataclass(frozen=True, kw_only=True)
class Record:
    """Seconds, distances and copies of an entry over the seeds of one task and track."""

    task: str
    track: str
    entry: str
    """Its file, and what it does, in a few words."""
    words: str
    commit: str
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
    def valid(self) -> bool:
        """Whether five seeds or more reach the target in the mean, without copies."""
        near = fmean(self.distances) <= TASKS[self.task].target
        return len(set(self.seeds)) >= 5 and near and fmean(self.copies) <= MOST_COPIES

    @property
    def file(self) -> Path:
        """Where it is kept."""
        return FOLDER / f"{self.task}-{self.track}-{self.measured}-{Path(self.entry).stem}.json"


def write_record(record: Record) -> Path:
    """Writes a record into the repository."""
    record.file.parent.mkdir(exist_ok=True)
    write_rows(record.file, [record])
    return record.file


def read_records() -> list[Record]:
    """All records, by task and track, the fastest first."""
    found = [record for path in FOLDER.glob("*.json") for record in read_rows(path, Record)]
    order = [*TASKS], [*TRACKS]
    return sorted(
        found, key=lambda one: (order[0].index(one.task), order[1].index(one.track), one.mean_seconds)
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
        name = f"[{one.words}](../benchmarks/speedrun/{one.entry})"
        rows.append(
            [
                one.task,
                one.track,
                name if one.valid else f"{name}; not valid",
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
