"""Samplers of other libraries, compared on the networks that each library trained in ten minutes.

    python -m benchmarks.peer_samplers --images fashion-mnist

Draws with the weights of the other libraries that `python -m benchmarks.time_to_quality` has kept, by each
sampler that other_libraries.py names, and has the same two networks judge. `time_to_quality` uses the best
one, or one of fewer calls that is as good.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.contenders import ENTRIES, installed, sample
from benchmarks.judges import Judge, judges, picture_set
from benchmarks.other_libraries import OtherLibrary
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.time_to_quality import Amounts, Job, build
from unnoise.api.reporting import progress_bar
from unnoise.utils.errors import require
from unnoise.utils.tensor_files import read_tensors

_SEED = 5_000_000


class Row(NamedTuple):
    """Distances of one sampler's pictures."""

    contender: str
    sampler: str
    calls: int
    distances: list[float]
    """Fréchet and kernel distance by each judge."""


def measure(job: Job, names: Sequence[str], seen: Sequence[Judge], count: int) -> Iterator[Row]:
    """The rows of all samplers of these libraries, with their weights after the last mark."""
    for name in names:
        path = job.file(name, job.amounts.minutes)
        require(
            path.is_file(),
            f"{path} is missing. Run python -m benchmarks.time_to_quality first, which writes it.",
        )
        contender = build(job, name)
        assert isinstance(contender, OtherLibrary)
        contender.restore(read_tensors(path)[0])
        with progress_bar(f"{name}: drawing", len(contender.samplers) * count) as bar:
            for sampler in contender.samplers:
                contender.use(sampler)
                batches = []
                for batch in sample(contender, count, _SEED):
                    batches.append(batch)
                    bar.advance(len(batch))
                scores = [judge.score(judge.features(batches)) for judge in seen]
                yield Row(name, sampler, contender.calls, [n for each in scores for n in (each.fd, each.kid)])


def sampler_table(rows: Sequence[Row], seen: Sequence[Judge]) -> str:
    """A row for each sampler; the best of each library by the first judge is bold."""
    best = {row.contender: row for row in sorted(rows, key=lambda row: row.distances[0], reverse=True)}
    header = ["", "sampler", "calls", *(f"{judge.name}, {n}" for judge in seen for n in ("Fréchet", "kernel"))]
    cells = [
        [
            ENTRIES[row.contender].title,
            f"**{row.sampler}**" if row is best[row.contender] else row.sampler,
            str(row.calls),
            *map(_text, row.distances),
        ]
        for row in rows
    ]
    return table(header, cells, texts=(0, 1))


def _text(distance: float) -> str:
    return f"{distance:,.0f}" if distance >= 1000 else f"{distance:#.3g}".rstrip(".")


def main() -> None:
    """Draws, judges, and writes the table."""
    parser = option_parser(__doc__)
    parser.add_argument("--images", default="fashion-mnist", metavar="[NAME=]SOURCE")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from a folder")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--contenders", nargs="+", choices=[*ENTRIES][1:], default=[*ENTRIES][1:])
    parser.add_argument("--work", type=Path, default=Path("build/time_to_quality"))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    name, _, source = options.images.rpartition("=")
    pictures = picture_set(source, options.size, name)
    job = Job(pictures, 0, Amounts(), options.work)
    seen, count = judges(pictures, options.work), 8 if options.quick else options.samples
    rows = []
    for row in measure(job, installed(options.contenders), seen, count):
        rows.append(row)
        print(row, flush=True)
    named = options.images != "fashion-mnist"
    command = f"--images {pictures.name}=PICTURES --size {options.size}" if named else ""
    how = f"{count} pictures each, of {pictures.name}, seed 0."
    blocks = {MADE: made("peer_samplers", command, how), "distances": sampler_table(rows, seen)}
    publish("peer_samplers", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
