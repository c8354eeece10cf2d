"""`unnoise solve`: which sampler draws a run's best pictures for the fewest calls of its network."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple, TypeAlias, cast, get_args

from tyro.conf import Positional, arg

from unnoise.cli.console import Bar, count, result, say
from unnoise.cli.loading import as_trained
from unnoise.utils.errors import require
from unnoise.utils.text import printable

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.sampler_names import SamplerName, Spacing
    from unnoise.evaluation.features import Extractor
    from unnoise.evaluation.sampler_search import Asked, Choice, Trial
    from unnoise.runs.checkpoint import Run

Source: TypeAlias = Annotated[
    str | None, Positional, arg(metavar="[SOURCE]", help_behavior_hint="(default: the run's)")
]
Names: TypeAlias = Annotated[tuple[str, ...], arg(metavar="NAME ...", help_behavior_hint="(default: all)")]
Samples: TypeAlias = Annotated[
    int | None, arg(metavar="N", help_behavior_hint="(default: what half of the minutes allow, 24 to 512)")
]


def solve(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    source: Source = None,
    /,
    minutes: float = 5.0,
    calls: tuple[int, ...] = (4, 6, 8, 10, 20, 50),
    samplers: Names = (),
    spacings: Names = (),
    num_samples: Samples = None,
    extractor: Annotated[str, arg(metavar="NAME|FILE")] = "auto",
    seed: int = 0,
    keep: bool = False,
    restore: bool = False,
    device: str = "auto",
) -> None:
    """Tries samplers on a run, and makes the best one its own: what unnoise generate does from then on.

    A long walk is the reference. Then samplers draw the same seeds at the same price in calls of the network;
    heun takes two a step. Prints a table, and leaves RUN/solve.json, RUN/solve/errors.png and
    RUN/solve/side_by_side.png.

    Args:
        run: The folder that unnoise train made.
        source: Its pictures, where they have moved, or others.
        minutes: How long it may take; the promising ones are tried first.
        calls: Of the network, for each picture.
        samplers: Which to try; unnoise generate --help lists them.
        spacings: Which grids to try, of uniform, log_snr and karras.
        num_samples: Pictures that each one draws.
        extractor: What compares pictures, as for unnoise evaluate.
        seed: Of the first picture.
        keep: Only look: the run stays as it is.
        restore: Try nothing; give the run back what was its own before the last solve.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.evaluation import sampler_search as solving
    from unnoise.runs.checkpoint import Run
    from unnoise.training.loop import choose_device
    from unnoise.utils.files import check_writable

    opened = Run.open(run)
    if restore:
        before = solving.restore(opened).config.recipe.sampling
        say(f"unnoise generate {run} takes {before.sampler} in {count(before.num_steps, 'step')} again.")
        return
    asked = _asked(samplers, spacings, calls)
    require(minutes > 0, f"Samplers are tried for more than 0 minutes, but got {minutes:g}: try 5.")
    require(num_samples is None or num_samples >= 2, f"At least 2 samples are compared, but got {num_samples}.")
    check_writable(run / "solve.json")
    watch = Watch(time.monotonic(), 60 * minutes)
    denoiser = opened.load(choose_device(device))
    judge = _judge(opened, source, extractor, seed, denoiser)
    number = num_samples or _affordable(opened, denoiser, asked, watch)
    trials = _try_all(opened, denoiser, judge, asked, number, seed, watch)
    _finish(opened, judge, number, seed, trials, keep=keep)


class Watch(NamedTuple):
    """When it began, and how many seconds it may take."""

    started: float
    seconds: float

    def spent(self) -> float:
        """The share of the time that is over."""
        return (time.monotonic() - self.started) / self.seconds

    def fits(self, seconds: float) -> bool:
        """Whether so many more are left."""
        return self.spent() + seconds / self.seconds <= 1


def _asked(samplers: Sequence[str], spacings: Sequence[str], calls: Sequence[int]) -> "Asked":
    from unnoise.diffusion.sampler_names import SamplerName
    from unnoise.evaluation.sampler_search import SPACINGS, Asked, all_samplers

    for what, names, allowed in (
        ("sampler", samplers, get_args(SamplerName)),
        ("spacing", spacings, SPACINGS),
    ):
        for name in names:
            require(name in allowed, f"There is no {what} {name!r}: choose from {', '.join(allowed)}.")
    return Asked(
        cast("Sequence[SamplerName]", samplers or all_samplers()),
        cast("Sequence[Spacing]", spacings or SPACINGS),
        sorted(set(calls)),
    )


class Judge(NamedTuple):
    """What compares pictures, the features of real ones, and what these are."""

    extractor: "Extractor"
    references: "Tensor"
    words: str


def _judge(run: "Run", source: str | None, name: str, seed: int, denoiser: "Denoiser") -> Judge:
    from unnoise.evaluation import sampler_search as solving
    from unnoise.evaluation.features import choose, reference_features

    images = as_trained(run, source)
    real = solving.real_pictures(run.config, images, seed)
    with Bar("Preparing", 1.0) as shown:
        extractor = choose(
            name,
            images,
            real.training,
            device=denoiser.device,
            progress=lambda done: shown.show(done / 2, "the extractor learns these pictures"),
        )
        shown.show(0.5, extractor.name)
        share = 0.5 / len(real.compared)
        features = reference_features(
            extractor, images, real.compared, progress=lambda more: shown.advance(more * share)
        )
    return Judge(extractor, features, real.words)


def _affordable(run: "Run", denoiser: "Denoiser", asked: "Asked", watch: Watch) -> int:
    """By the time of a few calls."""
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.evaluation import sampler_search as solving

    classes = run.config.classes(range(32))
    for _ in range(2):  # the first call also makes room
        started = time.monotonic()
        denoiser.generate(32, sampling=Sampling(num_steps=2), classes=classes)
        pace = (time.monotonic() - started) / 64
    own, schedule = run.config.recipe.sampling, denoiser.schedule
    looks = len(solving.candidates(own, schedule, asked.samplers, asked.spacings, [8]))
    calls = solving.LONG_CALLS + own.calls(schedule) + 8 * looks
    return solving.affordable(pace, watch.seconds * (1 - min(watch.spent(), 0.9)), calls)


def _try_all(
    run: "Run", denoiser: "Denoiser", judge: Judge, asked: "Asked", number: int, seed: int, watch: Watch
) -> "list[Trial]":
    """As many as there is time for; Ctrl-C goes on with what there is."""
    from unnoise.evaluation import sampler_search as solving

    found: list[Trial] = []
    classes, schedule = run.config.classes(range(seed, seed + number)), denoiser.schedule
    with Bar("Solving", 1.0) as shown:

        def show(_: int) -> None:
            latest = f"tried {found[-1].candidate.name}, {count(found[-1].taken, 'call')}" if found else ""
            shown.show(min(watch.spent(), 1.0), latest or "the long walk")

        draw = solving.drawing(denoiser, classes, number, seed=seed, progress=show)
        bench = solving.Bench(draw, solving.seen_by(judge.extractor), judge.references, schedule)
        try:
            for trial in solving.solve(bench, run.config.recipe.sampling, asked, watch.fits):
                found.append(trial)
                show(0)
        except KeyboardInterrupt:
            say("Stopped: choosing from what was tried.")
        shown.show(1.0, count(len(found), "way"))
    return found


def _finish(run: "Run", judge: Judge, number: int, seed: int, trials: "Sequence[Trial]", *, keep: bool) -> None:
    """The table, the pictures, the numbers, the choice."""
    from unnoise import pictures
    from unnoise.evaluation import sampler_search as solving

    name = "KID" if judge.extractor.name == "inception" else f"KID-{judge.extractor.name}"
    choice = solving.recommend(trials)
    _show(trials, choice, name)
    facts: dict[str, object] = {
        "samples": number,
        "seed": seed,
        "extractor": judge.extractor.name,
        "resize": judge.extractor.resize,
        "references": judge.words,
    }
    solving.write(run, facts, trials, choice)
    pictures.save_png(solving.errors(trials, name), run.path / "solve" / "errors.png")
    pictures.save_png(solving.side_by_side(trials, name, seed), run.path / "solve" / "side_by_side.png")
    say(f"{count(number, 'sample')} each, beside {judge.words}. The rule: {solving.RULE}.")
    say(_sentence(choice, name))
    for file in ("solve.json", "solve/errors.png", "solve/side_by_side.png"):
        result("solved", run.path / file)
    if keep:
        say("The run stays as it is.")
        return
    solving.keep(run, choice.trial.sampling)
    say(f"unnoise generate {run.path} now does so. What it did before comes back with:")
    say(f"  unnoise solve {run.path} --restore")


def _sentence(choice: "Choice", name: str) -> str:
    way, target = choice.trial, choice.target
    said = "as good as" if choice.reached else "the nearest that was found to"
    what = "the long walk" if target.role == "long" else "the present way"
    return (
        f"{way.sampling.sampler} on the grid {way.sampling.spacing}, {way.sampling.num_steps} step(s) with "
        f"{count(way.taken, 'call')}, is {said} {what} of {count(target.taken, 'call')}: "
        f"{name} {way.distance.value:.4g} beside {target.distance.value:.4g} "
        f"({target.distance.low:.4g} to {target.distance.high:.4g})."
    )


def _show(trials: "Sequence[Trial]", choice: "Choice", name: str) -> None:
    """A line for each, by calls, the best first."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    titles = ("sampler", "grid", "calls", "error", name, "95 %", "")
    for title in titles:
        left = title in ("sampler", "grid", "")
        table.add_column(Text(printable(title)), justify="left" if left else "right", no_wrap=True)
    tried = sorted(
        (trial for trial in trials if trial.role == "tried"),
        key=lambda trial: (trial.candidate.calls, trial.distance.value),
    )
    for trial in [trial for trial in trials if trial.role != "tried"] + tried:
        mark = {"long": "long walk", "own": "present way", "tried": ""}[trial.role]
        table.add_row(
            *trial.candidate.way,
            str(trial.taken),
            "" if trial.error is None else f"{trial.error:.4f}",
            f"{trial.distance.value:.4g}",
            f"{trial.distance.low:.3g} to {trial.distance.high:.3g}",
            "recommended" if trial is choice.trial else mark,
        )
    Console(highlight=False).print(table)
