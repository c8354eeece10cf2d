"""Quality of each preset after the same minutes of training on a CPU.

    python -m benchmarks.preset_scores

Each preset trains alone on Fashion-MNIST, draws by its own sampler, and is judged by the networks of
`time_to_quality`. A finished preset is a row of preset_scores.csv in --docs, and is not trained again.
`unnoise presets` shows the scores after `python -m benchmarks.presets` has put them beside the costs.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from benchmarks.contenders import Contender, Unnoise
from benchmarks.judges import CLASSES, LITE0, Judge, judges, picture_set
from benchmarks.quality_report import draw_samples
from benchmarks.quality_results import REAL, TITLES, Comparison, Row, comparisons
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.time_to_quality import Amounts, Job, judged, references, train
from benchmarks.turns import Runner
from unnoise.runs.presets import OWN_PRESETS
from unnoise.utils import malloc
from unnoise.utils.tables import read_table, write_table

NAME = "preset_scores"


def measure(job: Job, names: Sequence[str], log: Path) -> list[Row]:
    """All rows of the job; trains and judges the presets that have none yet."""
    rows = read_table(log, Row)
    left = [name for name in (REAL, *names) if not job.done(rows, name, job.amounts.minutes)]
    seen = judges(job.pictures, job.work, quick=job.amounts.quick) if left else []
    for name in left:
        rows += references(job, seen) if name == REAL else scored(job, name, seen)
        write_table(log, Row, rows)
    return [row for row in rows if job.owns(row)]


def scored(job: Job, name: str, seen: Sequence[Judge]) -> list[Row]:
    """The rows of one preset, after its training."""
    torch.manual_seed(job.seed)
    runner: Runner[Contender] = Runner(
        name, Unnoise(job.pictures.training, job.amounts.minutes, job.seed, preset=name)
    )
    if not job.file(name, job.amounts.minutes).is_file():
        train(job, [runner])
    return judged(job, name, runner.contender, job.amounts.minutes, seen)


def scores(rows: Sequence[Row]) -> Mapping[str, str]:
    """`FD 0.67 in 10 min` by preset, for the first budget that was measured; empty without rows."""
    if not rows:
        return {}
    found = comparisons(rows)[0]
    distances = {name: found.last(name, CLASSES, "fd") for name in OWN_PRESETS}
    return {name: f"FD {one.middle:.2f} in {found.budget:g} min" for name, one in distances.items() if one}


def explanation(rows: Sequence[Row]) -> str:
    """What these scores are, as a sentence for `unnoise presets`."""
    found = comparisons(rows)[0]
    real = found.last(REAL, CLASSES, "fd")
    beside = f"; real pictures get {real.middle:.2f}" if real else ""
    return (
        f"FD: Fréchet distance in the features of a classifier, of {found.numbers()[1]:,} pictures drawn after "
        f"{found.budget:g} minutes of training on {rows[0].dataset} on a CPU of two cores{beside}."
    )


def line(found: Comparison, name: str) -> list[str]:
    """The row of one preset, or of real pictures: size, speed and distances."""
    facts = [""] * 4
    if name != REAL:
        row = next(row for row in found.rows if row.contender == name)
        facts = [f"{value:,.0f}" for value in (row.parameters, row.rate, row.images, 1000 * row.seconds)]
    spreads = [found.last(name, *which) for which in ((CLASSES, "fd"), (LITE0, "fd"), (LITE0, "kid"))]
    title = TITLES[REAL] if name == REAL else f"`{name}`"
    return [title, *facts, *(one.text if one else "" for one in spreads)]


def score_table(rows: Sequence[Row]) -> str:
    """A row for each preset, and one for real pictures."""
    found = comparisons(rows)[0]
    names = [name for name in OWN_PRESETS if found.last(name, CLASSES, "fd")]
    header = ["", "parameters", "images/s", "images seen", "s to draw 1,000", "FD, classes", "FD, lite0"]
    return table([*header, "KID, lite0"], [line(found, name) for name in (*names, REAL)])


def main() -> None:
    """Trains what was not trained yet, and writes the table and the picture."""
    parser = option_parser(__doc__)
    parser.add_argument("--minutes", type=float, default=10.0, help="of training, for each preset")
    parser.add_argument("--presets", nargs="+", choices=OWN_PRESETS, default=list(OWN_PRESETS))
    parser.add_argument("--work", type=Path, default=Path("build") / NAME)
    options = parser.parse_args()
    amounts = Amounts(options.minutes, between=())
    if options.quick:
        amounts = Amounts(0.05, early=32, late=64, quick=True)
    torch.set_num_threads(options.threads)
    malloc.keep_freed_memory()  # as `unnoise train` does
    work, docs = options.work / "quick" if options.quick else options.work, folder_for(options)
    job = Job(picture_set("fashion-mnist", None), 0, amounts, work)
    rows = measure(job, options.presets, (docs or work) / f"{NAME}.csv")
    if docs is not None:
        titles = {name: name for name in OWN_PRESETS} | {REAL: TITLES[REAL]}
        draw_samples(job.folder(REAL).parent, list(titles), titles, docs / f"{NAME}.png")
    blocks = {MADE: made(NAME, f"--threads {options.threads}", "One seed."), "scores": score_table(rows)}
    publish(NAME, __doc__, blocks, docs)


if __name__ == "__main__":
    main()
