"""On the same pictures, in the same minutes and on the same threads libraries learn to draw, and are compared.

    python -m benchmarks.time_to_quality --images fashion-mnist --images emoji=FOLDER --size 32 --seeds 0 1 2

Every contender trains with the recipe of its own documentation, in turns of 20 seconds (A B C D A B C D), so
that a busy moment meets all. Its averaged weights are kept at marks of its own clock; when all have trained,
they draw with a sampler of their own, and the same two networks judge (see `picture_judge`).

FOLDER may be any pictures; ours are those that `python -m benchmarks.emoji` sorts, a set that no recipe was
tuned on. What is finished is a row of results.csv in --work, and is not done again: the same command goes on
after it was stopped. Contenders that were stopped amidst training begin anew. All rows ever measured add up in
docs/time_to_quality.csv, of which the page is drawn. Other libraries are needed: `make bench` installs them.
"""

import argparse
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.contenders import ENTRIES, Contender, installed, sample
from benchmarks.interleaving import Runner, turns
from benchmarks.picture_judge import Exam, Judge, Score, exam, judges, noise_pictures, real_pictures
from benchmarks.quality_page import publish_page
from benchmarks.quality_rows import NOISE, REAL, Row
from benchmarks.reports import machine
from unnoise.cli.console import Bar, result
from unnoise.utils import malloc as heap
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.tables import read_table, write_table
from unnoise.utils.tensor_files import read_facts, read_tensors, write_tensors

MARKS = (1.0, 3.0, 10.0)
_SHOWN = 12


@dataclass(frozen=True)
class Amounts:
    """How much is done for a row: what decides whether it is the same measurement."""

    minutes: float = 10.0
    slice_seconds: float = 20.0
    early: int = 200
    """Pictures at each mark."""
    late: int = 1000
    """Pictures at the last."""
    quick: bool = False
    between: tuple[float, ...] = MARKS
    """Minutes at which the weights are kept, beside the last."""

    @property
    def marks(self) -> list[float]:
        """In minutes; the last one is all of them."""
        shares = (0.5, 1.0) if self.quick else ()
        known = [share * self.minutes for share in shares] or sorted(self.between)
        return [*(mark for mark in known if mark < self.minutes), self.minutes]

    def samples(self, mark: float) -> list[int]:
        """How many pictures count at a mark; the last is judged by both numbers, on which distances depend."""
        return [self.early, self.late] if mark == self.minutes else [self.early]


class Job(NamedTuple):
    """One set of pictures with one seed."""

    questions: Exam
    seed: int
    amounts: Amounts
    work: Path

    def folder(self, name: str) -> Path:
        """Where a contender's weights of this job are kept."""
        return self.work / f"{self.questions.name}-{self.amounts.minutes:g}" / str(self.seed) / name

    def file(self, name: str, mark: float) -> Path:
        """The weights at a mark."""
        return self.folder(name) / f"{mark:g}.safetensors"

    def pictures(self, name: str, mark: float) -> Path:
        """What was drawn with these."""
        return self.folder(name) / f"{mark:g}.pictures.safetensors"

    def done(self, rows: Sequence[Row], name: str, mark: float) -> bool:
        """Whether all numbers of a mark are known."""
        found = {row.samples for row in rows if self.owns(row) and (row.contender, row.minutes) == (name, mark)}
        return found >= set(self.amounts.samples(mark))

    def owns(self, row: Row) -> bool:
        """Whether a row is one of this job."""
        mine = (self.questions.name, self.seed, self.amounts.minutes)
        return (row.dataset, row.seed, row.budget) == mine

    def row(self, contender: str, minutes: float, judge: Judge, score: Score, **facts: object) -> Row:
        """What was found."""
        images = self.questions.training
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
            self.questions.name,
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


def train(
    job: Job, runners: Sequence[Runner[Contender]], clock: Callable[[], float] = time.perf_counter
) -> None:
    """Trains all of them in turns, and keeps their weights at the marks."""
    marks = [60 * mark for mark in job.amounts.marks]
    with Bar(f"{job.questions.name}, seed {job.seed}: training", marks[-1] * len(runners)) as shown:
        for runner, mark in turns(runners, marks, job.amounts.slice_seconds, clock):
            if mark is not None:
                facts = {
                    "seconds": repr(runner.seconds),
                    "steps": str(runner.steps),
                    "images": str(runner.images),
                }
                path = job.file(runner.name, job.amounts.marks[marks.index(mark)])
                write_tensors(path, runner.contender.weights(), facts)
            shown.show(sum(each.seconds for each in runners), runner.name)


def drawn(job: Job, name: str, contender: Contender, mark: float) -> tuple[list[torch.Tensor], float]:
    """Pictures by the weights of a mark, and the seconds each took; kept, for judges may change."""
    path, most = job.pictures(name, mark), max(job.amounts.samples(mark))
    if path.is_file():
        found, told = read_tensors(path)
        if told["sampler"] == contender.sampler and len(found["pictures"]) == most:
            return list(torch.split(found["pictures"], 100)), float(told["seconds"])
    contender.restore(read_tensors(job.file(name, mark))[0])
    started, batches = time.perf_counter(), []
    with Bar(f"{name} after {mark:g} minutes: drawing", most) as shown:
        for batch in sample(contender, most, 1_000_000 * (job.seed + 1)):
            batches.append(batch)
            shown.advance(len(batch))
    seconds = (time.perf_counter() - started) / most
    keep(path, torch.cat(batches), sampler=contender.sampler, seconds=repr(seconds))
    return batches, seconds


def judged(job: Job, name: str, contender: Contender, mark: float, seen: Sequence[Judge]) -> list[Row]:
    """Draws with the weights of a mark, keeps the pictures of the last one, and judges."""
    facts = read_facts(job.file(name, mark))
    counts = job.amounts.samples(mark)
    batches, seconds = drawn(job, name, contender, mark)
    if mark == job.amounts.minutes:
        keep(job.folder(name) / "pictures.safetensors", torch.cat(batches)[:_SHOWN])
    steps, images = int(facts["steps"]), int(facts["images"])
    told = {
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
            rows.append(job.row(name, mark, judge, score, samples=count, **told))
    return rows


def keep(path: Path, pictures: torch.Tensor, **facts: str) -> None:
    """To be looked at, or judged again."""
    write_tensors(path, {"pictures": pictures}, facts)


def references(job: Job, seen: Sequence[Judge]) -> list[Row]:
    """Real pictures and noise in the samples' place: the best and the worst that there is."""
    rows = []
    for count in sorted({job.amounts.early, job.amounts.late}):
        real, noise = real_pictures(job.questions, count, job.seed), noise_pictures(job.questions, count)
        keep(job.folder(REAL) / "pictures.safetensors", real[:_SHOWN])
        for judge in seen:
            views = [judge.features(torch.split(pictures, 100)) for pictures in (real, noise)]
            of_real = judge.score_of_real(views[0], job.seed, apart=job.questions.kept_apart)
            for name, score in ((REAL, of_real), (NOISE, judge.score(views[1]))):
                rows.append(job.row(name, job.amounts.minutes, judge, score, samples=count))
    return rows


def measure(job: Job, names: Sequence[str], log: Path) -> None:
    """Does what is left of a job, and adds each row as soon as it is known."""
    rows, marks = read_table(log, Row), job.amounts.marks
    left = [name for name in names if not all(job.done(rows, name, mark) for mark in marks)]
    if not left and job.done(rows, REAL, job.amounts.minutes):
        return
    torch.manual_seed(job.seed)
    built = [Runner(name, build(job, name)) for name in left]
    train(job, [runner for runner in built if not job.file(runner.name, marks[-1]).is_file()])
    seen = judges(job.questions, job.work, quick=job.amounts.quick)
    require(bool(seen), "Pictures without classes are judged by lite0, which is not installed: install it.")
    tasks = [partial(references, job, seen)] if not job.done(rows, REAL, job.amounts.minutes) else []
    for runner in built:
        missing = (mark for mark in marks if not job.done(rows, runner.name, mark))
        tasks += [partial(judged, job, runner.name, runner.contender, mark, seen) for mark in missing]
    for task in tasks:
        rows += task()
        write_table(log, Row, rows)


def build(job: Job, name: str) -> Contender:
    """A contender at its first step."""
    built: Contender = ENTRIES[name].build(job.questions.training, job.amounts.minutes, job.seed)
    return built


def forget(job: Job, names: Sequence[str], log: Path) -> None:
    """So that these are measured anew."""
    rows = [row for row in read_table(log, Row) if not (job.owns(row) and row.contender in names)]
    write_table(log, Row, rows)
    for name in names:
        for path in job.folder(name).glob("*.safetensors"):
            path.unlink()


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", action="append", metavar="[NAME=]SOURCE", help="may be repeated")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from folders")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=10.0, help="that each contender trains")
    parser.add_argument("--marks", type=float, nargs="+", default=MARKS, help="minutes at which they also draw")
    parser.add_argument("--contenders", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--samples", type=int, default=1000, help="at the last mark")
    parser.add_argument("--early", type=int, default=200, help="samples at each mark, at most --samples")
    parser.add_argument("--slice", type=float, default=20.0, metavar="SECONDS", help="of a turn")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("build/time_to_quality"))
    parser.add_argument(
        "--docs", type=Path, help="the folder of the page (docs; with --quick the one of --work)"
    )
    parser.add_argument("--again", action="store_true", help="measure anew what is there")
    parser.add_argument("--quick", action="store_true", help="seconds and few pictures, to see that it works")
    parser.add_argument("--page-only", action="store_true", help="draw the page of the rows that are there")
    asked = parser.parse_args()
    if not 2 <= asked.early <= asked.samples:
        parser.error("--early is at least 2, and at most --samples")
    return asked


def main() -> None:
    """Measures what is missing, then draws the page of all there is."""
    asked = arguments()
    amounts = Amounts(asked.minutes, asked.slice, asked.early, asked.samples, between=tuple(asked.marks))
    work, docs = asked.work, asked.docs or Path("docs")
    if asked.quick:
        amounts = Amounts(0.1, 1.0, 32, 64, quick=True)
        work, docs = work / "quick", asked.docs or work / "quick"
    torch.set_num_threads(asked.threads)
    heap.keep()  # as `unnoise train` does; here for all
    log = work / "results.csv"
    try:
        for source in [] if asked.page_only else asked.images or ["fashion-mnist"]:
            name, _, path = source.rpartition("=")
            questions, names = exam(path, asked.size, name), installed(asked.contenders)
            for seed in asked.seeds:
                job = Job(questions, seed, amounts, work)
                if asked.again:
                    forget(job, names, log)
                measure(job, names, log)
                publish_page(read_table(log, Row), work, docs)
        if asked.page_only:
            publish_page(read_table(log, Row), work, docs)
    except UnnoiseError as error:
        raise SystemExit(str(error)) from None
    result("page", docs / "time_to_quality.md")


if __name__ == "__main__":
    main()
