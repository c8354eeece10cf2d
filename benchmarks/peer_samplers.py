"""Which of each library's own samplers draws best with what ten minutes taught it.

    python -m benchmarks.peer_samplers --images fashion-mnist

Draws with the weights that `python -m benchmarks.time_to_quality` kept of the others, with each sampler that
`peers` names, and has the same two networks judge. The best one is the one that the comparison uses.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.contenders import ENTRIES, installed, sample
from benchmarks.peers import Peer
from benchmarks.picture_judge import Judge, exam, judges
from benchmarks.reports import asking, folder_for, made, table, tell
from benchmarks.time_to_quality import Amounts, Job, build
from unnoise.cli.console import Bar
from unnoise.utils.errors import require
from unnoise.utils.tensor_files import read_tensors

_SEED = 5_000_000


class Found(NamedTuple):
    """One sampler's pictures, judged."""

    contender: str
    sampler: str
    calls: int
    distances: list[float]
    """Frechet and kernel distances by each judge."""


def measure(job: Job, names: Sequence[str], seen: Sequence[Judge], count: int) -> Iterator[Found]:
    """All samplers of these, with their weights at the end."""
    for name in names:
        path = job.file(name, job.amounts.minutes)
        require(
            path.is_file(),
            f"{path} is missing: run python -m benchmarks.time_to_quality first, which keeps it.",
        )
        contender = build(job, name)
        assert isinstance(contender, Peer)
        contender.restore(read_tensors(path)[0])
        with Bar(f"{name}: drawing", len(contender.samplers) * count) as shown:
            for sampler in contender.samplers:
                contender.use(sampler)
                batches = []
                for batch in sample(contender, count, _SEED):
                    batches.append(batch)
                    shown.advance(len(batch))
                scores = [judge.score(judge.features(batches)) for judge in seen]
                yield Found(name, sampler, contender.calls, [n for each in scores for n in (each.fd, each.kid)])


def best(found: Sequence[Found]) -> dict[str, Found]:
    """Of each contender the sampler whose pictures the first judge takes for the most real."""
    ranked = sorted(found, key=lambda each: each.distances[0], reverse=True)
    return {each.contender: each for each in ranked}


def page(found: Sequence[Found], seen: Sequence[Judge], set_name: str, count: int) -> list[str]:
    """A row a sampler."""
    header = ["", "sampler", "calls", *(f"{judge.name}, {n}" for judge in seen for n in ("Fréchet", "kernel"))]
    rows = [
        [
            ENTRIES[each.contender].title,
            each.sampler,
            str(each.calls),
            *map(_text, each.distances),
        ]
        for each in found
    ]
    lines = [
        f"- {ENTRIES[name].title}: {one.sampler} ({_text(one.distances[0])})."
        for name, one in sorted(best(found).items())
    ]
    return [
        "# Samplers of other libraries",
        f"Which of a library's own samplers draws best with what it learned of {set_name} in 10 minutes?",
        "\n".join(lines),
        f"Of seed 0, {count} pictures by each, judged as in [time to quality](time_to_quality.md), which draws "
        "with the best of each, or with one of fewer calls that is as good; lower is better. The best is that "
        "of the first column of distances.",
        table(header, rows, texts=(0, 1)),
    ]


def _text(distance: float) -> str:
    return f"{distance:,.0f}" if distance >= 1000 else f"{distance:#.3g}".rstrip(".")


def main() -> None:
    """Draws, judges, and writes the page."""
    parser = asking(__doc__)
    parser.add_argument("--images", default="fashion-mnist", metavar="[NAME=]SOURCE")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from a folder")
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--contenders", nargs="+", choices=[*ENTRIES][1:], default=[*ENTRIES][1:])
    parser.add_argument("--work", type=Path, default=Path("build/time_to_quality"))
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    name, _, source = asked.images.rpartition("=")
    questions = exam(source, asked.size, name)
    job = Job(questions, 0, Amounts(), asked.work)
    seen, count = judges(questions, asked.work), 8 if asked.quick else asked.samples
    found = []
    for one in measure(job, installed(asked.contenders), seen, count):
        found.append(one)
        print(one, flush=True)
    texts = page(found, seen, questions.name, count)
    options = (
        "" if asked.images == "fashion-mnist" else f"--images {questions.name}=PICTURES --size {asked.size}"
    )
    texts += made("peer_samplers", options, f"{count} pictures each.")
    tell("peer_samplers", texts, folder_for(asked))


if __name__ == "__main__":
    main()
