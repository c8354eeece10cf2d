r"""Trials of changes to the default recipe, each trained for the same minutes and judged by the same judges.

    python -m benchmarks.recipe_trials --images emoji=FOLDER --size 64 --minutes 20 --seeds 0 \
        --trial "" --trial "noise_shift=1" --trial "preset=transformer batch_size=64 clusters=128"

A trial is a list of changes as `unnoise train --set` takes them, with preset=NAME for another preset; the empty
one is the default recipe. Prints a table of all trials whose rows are in --work. A finished trial is not
repeated. The work folder may be that of `benchmarks.time_to_quality`, whose classifier judges then, and whose
contenders stand in the same table.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.contenders import Unnoise
from benchmarks.judges import Judge, judges, picture_set
from benchmarks.quality_results import Row
from benchmarks.report import option_parser, table
from benchmarks.time_to_quality import Amounts, Job, judged, train
from benchmarks.turns import Runner
from unnoise.api.reporting import tell, tell_output
from unnoise.runs.presets import DEFAULT
from unnoise.utils import malloc
from unnoise.utils.tables import read_table, write_table

_PRESET = "preset="


def name_of(changes: Sequence[str]) -> str:
    """Name of a trial, which is that of its folder, too."""
    return " ".join(changes).replace("/", "_") or DEFAULT


def try_out(job: Job, changes: Sequence[str], seen: Sequence[Judge], log: Path) -> None:
    """Trains by one recipe and adds the rows of its samples, unless they are there."""
    rows, name, mark = read_table(log, Row), name_of(changes), job.amounts.minutes
    if job.done(rows, name, mark):
        return
    torch.manual_seed(job.seed)
    presets = [each.removeprefix(_PRESET) for each in changes if each.startswith(_PRESET)]
    others = [each for each in changes if not each.startswith(_PRESET)]
    images, minutes = job.pictures.training, job.amounts.minutes
    contender = Unnoise(images, minutes, job.seed, presets[-1] if presets else None, others)
    tell(f"{name}, seed {job.seed}")
    if not job.file(name, mark).is_file():
        train(job, [Runner(name, contender)])
    write_table(log, Row, rows + judged(job, name, contender, mark, seen))


def trials_table(rows: Sequence[Row]) -> str:
    """Fréchet and kernel distances of all trials, the best by the first judge first."""
    marks = sorted((row for row in rows if row.minutes == row.budget), key=lambda row: (row.features, row.fd))
    trials: dict[tuple[object, ...], list[Row]] = {}
    for row in marks:
        trials.setdefault(row._replace(features="").key, []).append(row)
    lines = []
    for one in trials.values():
        row, scores = one[0], [text for each in one for text in (f"{each.fd:.3g}", f"{each.kid:.3g}")]
        facts = (str(row.seed), f"{row.rate:.0f}", str(row.steps), str(row.samples))
        lines.append([row.contender, *facts, *scores])
    names = sorted({row.features for row in marks})
    heads = [f"{word}, {name}" for name in names for word in ("FD", "KID")]
    return table(["trial", "seed", "images/s", "steps", "pictures", *heads], lines)


def parsed() -> argparse.Namespace:
    """The options of the command line."""
    parser = option_parser(__doc__, threads=2)
    parser.add_argument("--images", required=True, metavar="[NAME=]SOURCE")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from folders")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, default=20.0, help="of training, for each trial")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--trial", action="append", default=[], metavar="CHANGES", help="may be repeated")
    parser.add_argument("--work", type=Path, default=Path("build/recipe_trials"))
    return parser.parse_args()


def main() -> None:
    """Runs the trials that are missing, then prints the table of all."""
    options = parsed()
    source, log = options.images, options.work / "results.csv"
    name, _, path = source.rpartition("=")
    pictures = picture_set(path, options.size, name)
    amounts = Amounts(options.minutes, early=options.samples, late=options.samples, between=())
    torch.set_num_threads(options.threads)
    malloc.keep_freed_memory()
    seen = judges(pictures, options.work)
    for seed in options.seeds:
        for trial in options.trial:
            try_out(Job(pictures, seed, amounts, options.work), trial.split(), seen, log)
    tell_output(trials_table(read_table(log, Row)))


if __name__ == "__main__":
    main()
