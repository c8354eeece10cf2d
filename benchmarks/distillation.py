"""Drawing in few calls: runs distilled for some minutes, beside the runs that they came from.

    python -m benchmarks.distillation --images fashion-mnist --images emoji=FOLDER --size 32 --seeds 0 1 2

A run of ten minutes is distilled as by `unnoise distill`, for each of the --minutes, and draws 1,000 pictures
in 1, 2 and 4 calls. The run draws as many as `unnoise generate` does, guided by an earlier average, and without
that guidance; that of the first seed by every sampler in 1, 2, 4 and 8 calls. The judges are those of
time_to_quality. Rows are kept in --work, so that a stopped command goes on.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import NamedTuple, get_args

import torch

from benchmarks.json_rows import read_rows, write_rows
from benchmarks.judges import Judge, PictureSet, judges, picture_set
from benchmarks.quality_report import draw_samples
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from unnoise.diffusion.sampler_names import SamplerName
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.runs.autoguidance import load_as_it_draws, own_sampling, own_scale
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.distillation import JUMPS, distilled_config
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer.loop import train
from unnoise.trainer.precision_choice import choose_precision
from unnoise.utils import malloc
from unnoise.utils.tensor_files import write_tensors

OLD, NEW, GUIDED = "run", "distilled", ", guided"
FEW, OTHERS = (1, 2, 4), (1, 2, 4, 8)
_AT_ONCE, _SHOWN = 100, 16


@dataclass(frozen=True, kw_only=True)
class Row:
    """The pictures of one network, drawn in one way."""

    dataset: str
    seed: int
    minutes: float
    """Of training, or of distillation."""
    who: str
    sampler: str
    calls: int
    judge: str
    fd: float
    kid: float
    rate: float
    """Pictures a second."""


@dataclass(frozen=True)
class Job:
    """A data set with one seed, and where its runs lie."""

    pictures: PictureSet
    seed: int
    minutes: float
    """Of the run."""
    samples: int
    work: Path

    @property
    def folder(self) -> Path:
        """Folder of the run and of what is distilled from it."""
        return self.work / f"{self.pictures.name}-{self.minutes:g}" / str(self.seed)

    def old(self) -> Run:
        """The run; it goes on where it was stopped."""
        path = self.folder / OLD
        if not (path / "config.json").is_file():
            budget = Budget(unit="minutes", amount=self.minutes)
            options = TrainOptions(seed=self.seed, held_out=0, budget=budget, preset="nano")
            config = plan(self.pictures.training, options)
            Run.create(path, replace(config, precision=choose_precision(config).precision))
        return trained(Run.open(path), self.pictures)

    def new(self, old: Run, minutes: float) -> Run:
        """The run that was distilled for so long; it goes on where it was stopped."""
        path = self.folder / f"{NEW}-{minutes:g}"
        if not (path / "config.json").is_file():
            Run.create(path, distilled_config(old, Budget(unit="minutes", amount=minutes)))
        return trained(Run.open(path), self.pictures)


def trained(run: Run, pictures: PictureSet) -> Run:
    """The run at the end of its budget."""
    for _ in train(run, pictures.training):
        pass
    return run


class Way(NamedTuple):
    """A way to draw."""

    sampling: Sampling
    guided: bool = False
    """By the run's own autoguidance."""

    @property
    def name(self) -> str:
        """Its sampler, and whether it is guided."""
        return self.sampling.sampler + (GUIDED if self.guided else "")


def ways(run: Run, who: str) -> Iterator[Way]:
    """How a run draws: its own way, and in few calls."""
    own = run.config.recipe.sampling
    if who == NEW:
        yield from (Way(replace(own, num_steps=calls)) for calls in FEW)
        yield Way(replace(own, sampler="ddim"))
        return
    if own_scale(run) != 1:
        yield Way(own_sampling(run), guided=True)
    yield Way(own)
    yield Way(replace(own, sampler="dpmpp_2m"))  # without fresh noises: a seed gives the same picture
    for name in get_args(SamplerName):
        for steps in OTHERS:
            sampling = replace(own, sampler=name, num_steps=steps)
            if sampling.calls(run.config.schedule) in OTHERS:
                yield Way(sampling)


def drawn(run: Run, way: Way, count: int, seed: int) -> tuple[list[torch.Tensor], float]:
    """So many pictures as bytes, and pictures a second."""
    denoiser, sampling, batches = load_as_it_draws(run) if way.guided else run.load(), way.sampling, []
    denoiser.generate(2, sampling=sampling)  # once for what is made only once
    began = time.perf_counter()
    for first in range(0, count, _AT_ONCE):
        images = denoiser.generate(min(_AT_ONCE, count - first), seed=seed + first, sampling=sampling)
        batches.append((images * 255).round().clamp(0, 255).to(torch.uint8))
    return batches, count / (time.perf_counter() - began)


def measure(job: Job, run: Run, who: str, seen: Sequence[Judge], found: list[Row]) -> Iterator[Row]:
    """What is missing of a run."""
    minutes = run.config.budget.amount
    for way in ways(run, who):
        steps = way.sampling.calls(run.config.schedule)
        shown = who == NEW or way.guided or steps == run.config.recipe.sampling.calls(run.config.schedule)
        calls = steps * (2 if way.guided else 1)
        key = (job.pictures.name, minutes, who, way.name, calls)
        there = [r.seed for r in found if (r.dataset, r.minutes, r.who, r.sampler, r.calls) == key]
        if job.seed in there or (there and not shown):
            continue
        batches, rate = drawn(run, way, job.samples, 1_000_000 * (job.seed + 1))
        if shown:
            place = job.folder / f"sheet-{minutes:g}" / f"{who}-{way.name}-{calls}" / "pictures.safetensors"
            write_tensors(place, {"pictures": torch.cat(batches)[:_SHOWN]}, {})
        # Of the many samplers one seed and the first judge are enough: they are compared with one another.
        for judge in seen if shown else seen[:1]:
            score = judge.score(judge.features(batches))
            yield Row(
                dataset=job.pictures.name,
                seed=job.seed,
                minutes=minutes,
                who=who,
                sampler=way.name,
                calls=calls,
                judge=judge.name,
                fd=score.fd,
                kid=score.kid,
                rate=rate,
            )


def spread(values: Sequence[float]) -> str:
    """Median, and in brackets the lowest and the highest of several."""
    around = f" ({min(values):.3g} to {max(values):.3g})" if len(values) > 1 else ""
    return f"{median(values):.3g}{around}"


def tables(rows: Sequence[Row], dataset: str, judge: str) -> str:
    """The distances of one data set by one judge, the run's own sampling first."""
    some = [row for row in rows if (row.dataset, row.judge) == (dataset, judge)]
    many = [row for row in some if row.who == OLD and row.calls > max(OTHERS)]
    own = min(many, key=lambda row: not row.sampler.endswith(GUIDED))
    base = {
        row.seed: row.fd for row in some if (row.who, row.sampler, row.calls) == (OLD, own.sampler, own.calls)
    }
    ways = dict.fromkeys((row.who, row.minutes, row.sampler, row.calls) for row in some)
    lines = []
    for way in sorted(ways, key=lambda way: (way[0] == NEW, way[1], way[3] <= max(OTHERS), way[3], way[2])):
        who, minutes, sampler, calls = way
        these = [row for row in some if (row.who, row.minutes, row.sampler, row.calls) == way]
        ratios = [row.fd / base[row.seed] for row in these if row.seed in base]
        lines.append(
            [
                f"{who}, {minutes:g} min" if who == NEW else who,
                sampler,
                str(calls),
                spread([row.fd for row in these]),
                spread(ratios),
                spread([row.kid for row in these]),
                f"{median(row.rate for row in these):.3g}",
            ]
        )
    header = [
        "of",
        "sampler",
        "calls",
        "Fréchet distance",
        "ratio to the run's own",
        "kernel distance",
        "pictures/s",
    ]
    return table(header, lines, (0, 1))


def row_title(folder: str) -> str:
    """Name of a row of the sheet: `distilled, 2 calls`."""
    who, sampler, calls = folder.split("-")
    shown = "" if sampler == JUMPS.sampler else f", {sampler}"
    return f"{who}{shown}, {calls} call{'' if calls == '1' else 's'}"


def options_of() -> argparse.Namespace:
    """The options of the command line."""
    parser = option_parser(__doc__, threads=2)
    parser.add_argument("--images", action="append", metavar="[NAME=]SOURCE", help="may be repeated")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from folders")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[10.0], help="of distillation")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--judges", type=Path, default=Path("build/time_to_quality"), help="of that benchmark")
    parser.add_argument("--work", type=Path, default=Path("build/distillation"))
    return parser.parse_args()


def command_of(options: argparse.Namespace, minutes: Sequence[float]) -> str:
    """The options that a page of these minutes was made with, without the places of files."""
    words = []
    for source in options.images or ["fashion-mnist"]:
        name, _, path = source.rpartition("=")
        words += ["--images", f"{name or Path(path).name}=PICTURES" if Path(path).exists() else path]
    words += ["--size", str(options.size)] if options.size else []
    return " ".join(
        [*words, "--minutes", *(f"{each:g}" for each in minutes), "--seeds", *map(str, options.seeds)]
    )


def main() -> None:
    """Measures what is missing, and writes the page."""
    options = options_of()
    torch.set_num_threads(options.threads)
    malloc.keep_freed_memory()
    if options.quick:
        options.minutes, options.samples, options.work = [0.05], 8, options.work / "quick"
    log, docs = options.work / "rows.json", folder_for(options)
    found = read_rows(log, Row)
    blocks = {}
    for source in options.images or ["fashion-mnist"]:
        name, _, path = source.rpartition("=")
        pictures = picture_set(path, options.size, name)
        # The classifier of the other benchmark, if it is there: distances then compare with those of its page.
        seen = judges(pictures, options.work if options.quick else options.judges, quick=options.quick)
        for seed in options.seeds:
            job = Job(pictures, seed, 0.05 if options.quick else 10.0, options.samples, options.work)
            old = job.old()
            new = [(NEW, job.new(old, minutes)) for minutes in options.minutes]
            for who, run in (*new, (OLD, old)):
                for row in measure(job, run, who, seen, found):
                    found.append(row)
                    write_rows(log, found)
        for judge in seen:
            blocks[f"{pictures.name}-{judge.name}"] = tables(found, pictures.name, judge.name)
        if docs is not None:
            folder = job.folder / f"sheet-{job.minutes:g}"
            names = sorted(place.name for place in folder.iterdir())
            draw_samples(
                folder,
                names,
                {each: row_title(each) for each in names},
                docs / f"distillation-{pictures.name}.png",
            )
    minutes = sorted({row.minutes for row in found if row.who == NEW})
    told = " and ".join(f"{each:g}" for each in minutes)
    how = f"{told} minutes of distillation, {options.samples:,} pictures each."
    blocks = {MADE: made("distillation", command_of(options, minutes), how), **blocks}
    publish("distillation", __doc__, blocks, docs)


if __name__ == "__main__":
    main()
