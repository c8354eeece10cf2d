"""Quality of samples after the same minutes of training, in unnoise and in other libraries.

    python -m benchmarks.time_to_quality --images fashion-mnist --images emoji=FOLDER --size 32 --seeds 0 1 2

Every contender trains with the recipe of its own documentation on the same pictures and threads, in slices of
20 seconds that take turns. Its averaged weights are kept at marks of its own clock; when all have trained,
each draws samples by a sampler of its own, and the same two networks judge them (see judges.py).

FOLDER may hold any pictures; docs/time_to_quality.md uses those that `python -m benchmarks.emoji` sorts. A
finished measurement is a row of results.csv in --work and is not repeated, so a stopped command can be run
again; only contenders that were stopped during training begin anew. All rows add up in
docs/time_to_quality.csv, from which the page is made. `make bench` installs the other libraries.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.contenders import ENTRIES, Contender, installed, sample
from benchmarks.judges import Judge, PictureSet, Score, judges, noise_pictures, picture_set, real_pictures
from benchmarks.quality_report import publish_page
from benchmarks.quality_results import NOISE, REAL, Row, folder_name
from benchmarks.report import machine, option_parser
from benchmarks.turns import Clock, Runner, train_in_slices
from unnoise.api.reporting import progress_bar
from unnoise.utils import malloc
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.tables import read_table, write_table
from unnoise.utils.tensor_files import read_facts, read_tensors, write_tensors

MARKS = (1.0, 3.0, 10.0)
_SHOWN = 12


@dataclass(frozen=True)
class Amounts:
    """Amounts of training and samples; rows of other amounts are other measurements."""

    minutes: float = 10.0
    slice_seconds: float = 20.0
    early: int = 200
    """Samples at each mark."""
    late: int = 1000
    """Samples at the last mark."""
    quick: bool = False
    between: tuple[float, ...] = MARKS
    """Marks before the last one, in minutes."""

    @property
    def marks(self) -> list[float]:
        """All marks, in minutes; the last one ends the training."""
        shares = (0.5, 1.0) if self.quick else ()
        known = [share * self.minutes for share in shares] or sorted(self.between)
        return [*(mark for mark in known if mark < self.minutes), self.minutes]

    def samples(self, mark: float) -> list[int]:
        """Numbers of samples that are judged at a mark; distances depend on them, so the last mark has both."""
        return sorted({self.early, self.late}) if mark == self.minutes else [self.early]


class Job(NamedTuple):
    """A data set with one seed."""

    pictures: PictureSet
    seed: int
    amounts: Amounts
    work: Path

    def folder(self, name: str) -> Path:
        """Folder of a contender's weights and samples."""
        side, minutes = self.pictures.training.height, self.amounts.minutes
        return self.work / folder_name(self.pictures.name, side, minutes) / str(self.seed) / name

    def file(self, name: str, mark: float) -> Path:
        """File of the weights at a mark."""
        return self.folder(name) / f"{mark:g}.safetensors"

    def samples_file(self, name: str, mark: float) -> Path:
        """File of the samples that were drawn with these weights."""
        return self.folder(name) / f"{mark:g}.pictures.safetensors"

    def done(self, rows: Sequence[Row], name: str, mark: float) -> bool:
        """Whether all measurements of a mark are among these rows."""
        found = {row.samples for row in rows if self.owns(row) and (row.contender, row.minutes) == (name, mark)}
        return found >= set(self.amounts.samples(mark))

    def owns(self, row: Row) -> bool:
        """Whether a row belongs to this job."""
        mine = (self.pictures.name, self.pictures.training.height, self.seed, self.amounts.minutes)
        return (row.dataset, row.side, row.seed, row.budget) == mine

    def row(self, contender: str, minutes: float, judge: Judge, score: Score, **facts: object) -> Row:
        """The row of a score."""
        images = self.pictures.training
        given = {
            "steps": 0,
            "images": 0,
            "rate": 0.0,
            "parameters": 0,
            "sampler": None,
            "calls": 0,
            "seconds": 0.0,
        }
        return Row(
            self.pictures.name,
            len(images),
            images.height,
            images.channels,
            self.amounts.minutes,
            self.seed,
            contender,
            ENTRIES[contender].version if contender in ENTRIES else None,
            minutes,
            judge.name,
            judge.words,
            *score,
            **(given | facts),  # type: ignore[arg-type]
            measured=f"{datetime.now(UTC):%Y-%m-%d}",
            machine=machine(),
        )


def train(job: Job, runners: Sequence[Runner[Contender]], clock: Clock = time.perf_counter) -> None:
    """Trains all of them in slices, and writes their weights at the marks."""
    marks = [60 * mark for mark in job.amounts.marks]
    with progress_bar(f"{job.pictures.name}, seed {job.seed}: training", marks[-1] * len(runners)) as bar:
        for runner, mark in train_in_slices(runners, marks, job.amounts.slice_seconds, clock):
            if mark is not None:
                facts = {
                    "seconds": repr(runner.seconds),
                    "steps": str(runner.steps),
                    "images": str(runner.images),
                }
                path = job.file(runner.name, job.amounts.marks[marks.index(mark)])
                write_tensors(path, runner.contender.weights(), facts)
            bar.update(sum(each.seconds for each in runners), runner.name)


def drawn(job: Job, name: str, contender: Contender, mark: float) -> tuple[list[torch.Tensor], float]:
    """Samples by the weights of a mark, and the seconds of each; kept in a file, so that others can judge."""
    path, most = job.samples_file(name, mark), max(job.amounts.samples(mark))
    if path.is_file():
        found, notes = read_tensors(path)
        if notes["sampler"] == contender.sampler and len(found["pictures"]) == most:
            return list(torch.split(found["pictures"], 100)), float(notes["seconds"])
    contender.restore(read_tensors(job.file(name, mark))[0])
    started, batches = time.perf_counter(), []
    with progress_bar(f"{name} after {mark:g} minutes: drawing", most) as bar:
        for batch in sample(contender, most, 1_000_000 * (job.seed + 1)):
            batches.append(batch)
            bar.advance(len(batch))
    seconds = (time.perf_counter() - started) / most
    keep(path, torch.cat(batches), sampler=contender.sampler, seconds=repr(seconds))
    return batches, seconds


def judged(job: Job, name: str, contender: Contender, mark: float, seen: Sequence[Judge]) -> list[Row]:
    """The rows of a mark: draws samples with its weights, and has them judged."""
    facts = read_facts(job.file(name, mark))
    counts = job.amounts.samples(mark)
    batches, seconds = drawn(job, name, contender, mark)
    if mark == job.amounts.minutes:
        keep(job.folder(name) / "pictures.safetensors", torch.cat(batches)[:_SHOWN])
    steps, images = int(facts["steps"]), int(facts["images"])
    shared = {
        "steps": steps,
        "images": images,
        "rate": images / float(facts["seconds"]),
        "parameters": sum(each.numel() for each in contender.network.parameters() if each.requires_grad),
        "sampler": contender.sampler,
        "calls": contender.calls,
        "seconds": seconds,
    }
    rows = []
    for judge in seen:
        features = judge.features(batches)
        for count in counts:
            score = judge.score(features[:count])
            rows.append(job.row(name, mark, judge, score, samples=count, **shared))
    return rows


def keep(path: Path, pictures: torch.Tensor, **facts: str) -> None:
    """Writes pictures to a file, with facts about them."""
    write_tensors(path, {"pictures": pictures}, facts)


def references(job: Job, seen: Sequence[Judge]) -> list[Row]:
    """Rows of real pictures and of noise in place of samples: the best and the worst scores."""
    rows = []
    for count in sorted({job.amounts.early, job.amounts.late}):
        real, noise = real_pictures(job.pictures, count, job.seed), noise_pictures(job.pictures, count)
        keep(job.folder(REAL) / "pictures.safetensors", real[:_SHOWN])
        for judge in seen:
            views = [judge.features(torch.split(pictures, 100)) for pictures in (real, noise)]
            of_real = judge.score_of_real(views[0], job.seed, held_out=job.pictures.held_out)
            for name, score in ((REAL, of_real), (NOISE, judge.score(views[1]))):
                rows.append(job.row(name, job.amounts.minutes, judge, score, samples=count))
    return rows


def measure(job: Job, names: Sequence[str], log: Path) -> None:
    """Measures what is missing of a job, and writes each row as soon as it is known."""
    rows, marks = read_table(log, Row), job.amounts.marks
    left = [name for name in names if not all(job.done(rows, name, mark) for mark in marks)]
    if not left and job.done(rows, REAL, job.amounts.minutes):
        return
    torch.manual_seed(job.seed)
    built = [Runner(name, build(job, name)) for name in left]
    train(job, [runner for runner in built if not job.file(runner.name, marks[-1]).is_file()])
    seen = judges(job.pictures, job.work, quick=job.amounts.quick)
    require(bool(seen), "Pictures without classes are judged by lite0, which is not installed. Install it.")
    tasks = [partial(references, job, seen)] if not job.done(rows, REAL, job.amounts.minutes) else []
    for runner in built:
        missing = (mark for mark in marks if not job.done(rows, runner.name, mark))
        tasks += [partial(judged, job, runner.name, runner.contender, mark, seen) for mark in missing]
    for task in tasks:
        rows += task()
        write_table(log, Row, rows)


def build(job: Job, name: str) -> Contender:
    """A contender before its first step."""
    built: Contender = ENTRIES[name].build(job.pictures.training, job.amounts.minutes, job.seed)
    return built


def forget(job: Job, names: Sequence[str], log: Path) -> None:
    """Deletes what was measured of these contenders."""
    rows = [row for row in read_table(log, Row) if not (job.owns(row) and row.contender in names)]
    write_table(log, Row, rows)
    for name in names:
        for path in job.folder(name).glob("*.safetensors"):
            path.unlink()


def parsed() -> argparse.Namespace:
    """The options of the command line."""
    parser = option_parser(__doc__, threads=2)
    parser.add_argument("--images", action="append", metavar="[NAME=]SOURCE", help="may be repeated")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from folders")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, for each contender")
    parser.add_argument("--marks", type=float, nargs="+", default=MARKS, help="minutes at which they also draw")
    parser.add_argument("--contenders", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--samples", type=int, default=1000, help="at the last mark")
    parser.add_argument("--early", type=int, default=200, help="samples at each mark, at most --samples")
    parser.add_argument("--slice", type=float, default=20.0, metavar="SECONDS", help="of training in turns")
    parser.add_argument("--work", type=Path, default=Path("build/time_to_quality"))
    parser.add_argument("--again", action="store_true", help="measure again what is there")
    parser.add_argument("--page-only", action="store_true", help="write the page of the rows that are there")
    options = parser.parse_args()
    if not 2 <= options.early <= options.samples:
        parser.error("--early must be at least 2, and at most --samples")
    return options


def main() -> None:
    """Measures what is missing, then writes the page of all rows."""
    options = parsed()
    amounts = Amounts(
        options.minutes, options.slice, options.early, options.samples, between=tuple(options.marks)
    )
    work, docs = options.work, options.docs or Path("docs")
    if options.quick:
        amounts = Amounts(0.1, 1.0, 32, 64, quick=True)
        work, docs = work / "quick", options.docs or work / "quick"
    torch.set_num_threads(options.threads)
    malloc.keep_freed_memory()  # as `unnoise train` does; here for all
    log = work / "results.csv"
    try:
        for source in [] if options.page_only else options.images or ["fashion-mnist"]:
            name, _, path = source.rpartition("=")
            pictures, names = picture_set(path, options.size, name), installed(options.contenders)
            for seed in options.seeds:
                job = Job(pictures, seed, amounts, work)
                if options.again:
                    forget(job, names, log)
                measure(job, names, log)
                publish_page(read_table(log, Row), work, docs)
        if options.page_only:
            publish_page(read_table(log, Row), work, docs)
    except UnnoiseError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
