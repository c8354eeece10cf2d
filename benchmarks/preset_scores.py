"""How good each size of our family gets in the same minutes of a CPU, as `unnoise presets` shows it.

    python -m benchmarks.preset_scores

Each size trains alone on Fashion-MNIST, draws with its preset's sampler, and is judged by the networks of
`time_to_quality`. Each finished size is a row of preset_scores.csv in --docs, and is not trained again. Writes
docs/preset_scores.md; `python -m benchmarks.presets` then puts the scores beside what each size costs.
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.contenders import Contender, Unnoise
from benchmarks.interleaving import Runner
from benchmarks.picture_judge import CLASSES, LITE0, Judge, exam, judges
from benchmarks.quality_page import TITLES, count_of_minutes
from benchmarks.quality_pictures import draw_samples
from benchmarks.quality_rows import REAL, Part, Row, parts
from benchmarks.reports import asking, folder_for, made, table, tell
from benchmarks.time_to_quality import Amounts, Job, judged, references, train
from unnoise.runs.presets import OURS
from unnoise.runs.sizing import choose
from unnoise.utils import malloc as heap
from unnoise.utils.tables import read_table, write_table

NAME = "preset_scores"


def measure(job: Job, names: Sequence[str], log: Path) -> list[Row]:
    """Trains and judges the sizes that have no row yet; all rows of the job, those of real pictures too."""
    rows = read_table(log, Row)
    left = [name for name in (REAL, *names) if not job.done(rows, name, job.amounts.minutes)]
    seen = judges(job.questions, job.work, quick=job.amounts.quick) if left else []
    for name in left:
        rows += references(job, seen) if name == REAL else scored(job, name, seen)
        write_table(log, Row, rows)
    return [row for row in rows if job.owns(row)]


def scored(job: Job, name: str, seen: Sequence[Judge]) -> list[Row]:
    """What the judges say of one size, which is trained first."""
    torch.manual_seed(job.seed)
    runner: Runner[Contender] = Runner(
        name, Unnoise(job.questions.training, job.amounts.minutes, job.seed, preset=name)
    )
    if not job.file(name, job.amounts.minutes).is_file():
        train(job, [runner])
    return judged(job, name, runner.contender, job.amounts.minutes, seen)


def scores(rows: Sequence[Row]) -> Mapping[str, str]:
    """`FD 0.67 in 10 min`, by preset, after the minutes measured first; none where nobody has measured."""
    if not rows:
        return {}
    part = parts(rows)[0]
    found = {name: part.last(name, CLASSES, "fd") for name in OURS}
    return {name: f"FD {one.middle:.2f} in {part.budget:g} min" for name, one in found.items() if one}


def how(rows: Sequence[Row]) -> str:
    """What these scores are, as a sentence."""
    part = parts(rows)[0]
    real = part.last(REAL, CLASSES, "fd")
    beside = f"; real pictures get {real.middle:.2f}" if real else ""
    return (
        f"FD: Fréchet distance in the features of a classifier, of {part.numbers()[1]:,} pictures drawn after "
        f"{part.budget:g} minutes of training on {rows[0].dataset} on a CPU of two cores{beside}."
    )


def line(part: Part, name: str) -> list[str]:
    """Of one size, or of real pictures: what it did in these minutes, and its distances."""
    facts = [""] * 4
    if name != REAL:
        row = next(row for row in part.rows if row.contender == name)
        facts = [f"{value:,.0f}" for value in (row.parameters, row.rate, row.images, 1000 * row.seconds)]
    spreads = [part.last(name, *which) for which in ((CLASSES, "fd"), (LITE0, "fd"), (LITE0, "kid"))]
    title = TITLES[REAL] if name == REAL else f"`{name}`"
    return [title, *facts, *(one.text if one else "" for one in spreads)]


def page(rows: Sequence[Row], default: str) -> list[str]:
    """Which is best, and a row a size."""
    part = parts(rows)[0]
    distances = {name: one.middle for name in OURS if (one := part.last(name, CLASSES, "fd"))}
    best, minutes = min(distances, key=lambda name: distances[name]), count_of_minutes(part.budget)
    chosen = "which is" if best == default else f"while `{default}` is"
    header = ["", "parameters", "images/s", "images seen", "s to draw 1,000", "FD, classes", "FD, lite0"]
    return [
        "# Quality of each size after the same minutes",
        f"After {minutes} on a CPU `{best}` draws best, {chosen} what `default` is for them.",
        f"{how(rows)} lite0: the same, and the kernel distance (KID), by a network that knows ImageNet. In "
        "brackets the 95 % interval over pictures. Larger sizes see fewer images in these minutes: they are "
        "made for more.",
        table([*header, "KID, lite0"], [line(part, name) for name in (*distances, REAL)]),
    ]


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = asking(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="that each trains")
    parser.add_argument("--presets", nargs="+", choices=OURS, default=list(OURS))
    parser.add_argument("--work", type=Path, default=Path("build") / NAME)
    return parser.parse_args()


def main() -> None:
    """Trains what was not trained yet, and draws the page."""
    asked = arguments()
    amounts = (
        Amounts(0.05, early=32, late=64, quick=True) if asked.quick else Amounts(asked.minutes, between=())
    )
    torch.set_num_threads(asked.threads)
    heap.keep()  # as `unnoise train` does
    work, docs = asked.work / "quick" if asked.quick else asked.work, folder_for(asked)
    job = Job(exam("fashion-mnist", None), 0, amounts, work)
    images = job.questions.training
    default = choose("cpu", images.height, images.width, amounts.minutes).name
    rows = measure(job, asked.presets, (docs or work) / f"{NAME}.csv")
    if docs is not None:
        titles = {name: name for name in OURS} | {REAL: TITLES[REAL]}
        draw_samples(job.folder(REAL).parent, list(titles), titles, docs / f"{NAME}.png")
    picture = docs is not None and (docs / f"{NAME}.png").is_file()
    texts = page(rows, default)
    texts += [f"![The first pictures of each]({NAME}.png)"] if picture else []
    tell(NAME, [*texts, *made(NAME, f"--threads {asked.threads}", "One seed.")], docs)


if __name__ == "__main__":
    main()
