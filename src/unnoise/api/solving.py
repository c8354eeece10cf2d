"""Choice of a sampler: the one that draws the best pictures of a run in the fewest steps."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

from unnoise.api.amounts import check_memory, check_seeds
from unnoise.api.editing import require_every_step
from unnoise.api.effects import refuse_without_effect
from unnoise.api.loading import load_run_pictures
from unnoise.api.reporting import (
    Progress,
    collecting,
    count,
    progress_bar,
    reporting,
    tell,
    tell_output,
    tell_result,
)
from unnoise.api.shown import Findings
from unnoise.api.tables import table
from unnoise.api.time_limit import TimeLimit
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.api.opening import OpenRun
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.sampler_names import SamplerName, Spacing
    from unnoise.evaluation.features import Extractor
    from unnoise.evaluation.sampler_search import Recommendation, SearchSpace, Trial
    from unnoise.runs.checkpoint import Run

_MINUTES = 5.0
_MOST_SAMPLES = 512
"""Drawn of each sampler where --num-samples is left out, at most."""


def solve(
    run: "OpenRun",
    source: str | None = None,
    *,
    minutes: float | None = None,
    calls: Sequence[int] | None = None,
    samplers: Sequence[str] = (),
    spacings: Sequence[str] = (),
    num_samples: int | None = None,
    extractor: str | None = None,
    seed: int | None = None,
    keep: bool = False,
    progress: Progress | None = None,
) -> Findings:
    """Finds the sampler that draws the best pictures in the fewest steps, and makes it the run's own.

    Samplers draw the same seeds for as many calls, and are compared with real pictures and a reference of many
    steps. Open the run again to draw with the chosen one.

    Args:
        run: the run.
        source: The run's pictures, if they have moved, or others.
        minutes: How long it may take, in minutes. The most promising samplers are tried first.
        calls: Calls per picture to try. heun takes two for each step; autoguidance asks two networks in each.
        samplers: Samplers to try, of those that unnoise generate --help lists.
        spacings: Spacings of steps to try: uniform, log_snr or karras.
        num_samples: Pictures of each sampler. More are surer, and slower; below 256 the run keeps its sampler.
        extractor: Network whose features are compared: lite0 (works offline), learned (trained on your
            pictures), inception (of published FID and KID), dinov2, or a TorchScript or ONNX file. auto is
            lite0.
        seed: Seed of the first picture.
        keep: Keep the run's present sampler: only look.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        A table of the samplers that were tried.

    Raises:
        UnnoiseError: for values out of range, and pictures that can't be read.
    """
    from unnoise.evaluation import sampler_search
    from unnoise.runs.autoguidance import load_as_it_draws
    from unnoise.utils.files import check_writable

    opened = run.folder
    require_every_step(run, "A comparison of samplers")
    space = _search_space(samplers, spacings, sampler_search.CALLS if calls is None else calls)
    minutes, seed = _MINUTES if minutes is None else minutes, seed or 0
    require(minutes > 0, f"Samplers are tried for more than 0 minutes, but got {minutes:g}: try 5.")
    require(num_samples is None or num_samples >= 2, f"At least 2 samples are compared, but got {num_samples}.")
    check_seeds(seed, num_samples or _MOST_SAMPLES)
    check_memory(opened.config, num_samples or 1)
    check_writable(run.path / "solve.json")
    with reporting(progress), collecting() as parts:
        limit = TimeLimit(time.monotonic(), 60 * minutes)
        denoiser = load_as_it_draws(opened, run.torch_device)
        references = _references(opened, source, extractor or "auto", seed, denoiser)
        number = num_samples or _affordable(opened, denoiser, space, limit)
        trials = _try_all(opened, denoiser, references, space, number, seed, limit)
        _finish(opened, references, number, seed, trials, keep=keep)
    return Findings(parts)


def restore_sampler(run: "OpenRun", source: str | None = None, **tried: object) -> None:
    """Gives the run back the sampler that it had before `solve` last changed it; refuses all other options."""
    from unnoise.evaluation import sampler_search
    from unnoise.runs.autoguidance import own_sampling

    refuse_without_effect(tried, "with --restore, which tries nothing")
    if source is not None:
        raise UnnoiseError(f"--restore compares nothing with pictures: leave {source!r} out.")
    before = own_sampling(sampler_search.restore_sampling(run.folder))
    tell(f"Restored: unnoise generate {run.path} uses {before.sampler} with {count(before.num_steps, 'step')}.")


def _search_space(samplers: Sequence[str], spacings: Sequence[str], calls: Sequence[int]) -> "SearchSpace":
    from unnoise.evaluation.sampler_search import SAMPLERS, SPACINGS, SearchSpace

    for what, names, allowed in (
        ("sampler", samplers, SAMPLERS),
        ("spacing", spacings, SPACINGS),
    ):
        for name in names:
            require(name in allowed, f"There is no {what} {name!r}: choose from {', '.join(allowed)}.")
    return SearchSpace(
        cast("Sequence[SamplerName]", samplers or SAMPLERS),
        cast("Sequence[Spacing]", spacings or SPACINGS),
        sorted(set(calls)),
    )


class References(NamedTuple):
    """The feature extractor, the features of real pictures, and a description of these."""

    extractor: "Extractor"
    features: "Tensor"
    words: str


def _references(run: "Run", source: str | None, name: str, seed: int, denoiser: "Denoiser") -> References:
    from unnoise.evaluation import sampler_search
    from unnoise.evaluation.features import cached_features, choose_extractor

    images = load_run_pictures(run.config, source)
    real = sampler_search.search_references(run.config, images, seed)
    with progress_bar("Preparing", 1.0) as bar:
        extractor = choose_extractor(
            name,
            images,
            real.training,
            device=denoiser.device,
            progress=lambda done: bar.update(done / 2, "training the extractor on these pictures"),
        )
        bar.update(0.5, extractor.name)
        share = 0.5 / len(real.indices)
        features = cached_features(
            extractor, images, real.indices, progress=lambda more: bar.advance(more * share)
        )
    return References(extractor, features, real.words)


def _affordable(run: "Run", denoiser: "Denoiser", space: "SearchSpace", limit: TimeLimit) -> int:
    """How many samples there is time for, by the time of a few calls."""
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.evaluation import sampler_search
    from unnoise.runs.autoguidance import own_sampling

    classes = run.config.classes(range(32))
    for _ in range(2):  # the first call also makes room
        started = time.monotonic()
        denoiser.generate(32, sampling=Sampling(num_steps=2), classes=classes).cpu()  # waits for a GPU
        seconds_per_call = (time.monotonic() - started) / 64
    own, schedule = own_sampling(run), denoiser.schedule
    trials = len(sampler_search.candidates(own, schedule, space.samplers, space.spacings, [8]))
    calls = sampler_search.REFERENCE_CALLS + own.calls(schedule) + 8 * trials
    return sampler_search.affordable_samples(
        seconds_per_call, limit.seconds * (1 - min(limit.spent(), 0.9)), calls
    )


def _try_all(
    run: "Run",
    denoiser: "Denoiser",
    references: References,
    space: "SearchSpace",
    number: int,
    seed: int,
    limit: TimeLimit,
) -> "list[Trial]":
    """Tries samplers while there is time; after Ctrl-C the best of those tried is chosen."""
    from unnoise.evaluation import sampler_search
    from unnoise.runs.autoguidance import own_sampling

    found: list[Trial] = []
    classes, schedule = run.config.classes(range(seed, seed + number)), denoiser.schedule
    with progress_bar("Trying samplers", 1.0) as bar:

        def show(_: int) -> None:
            latest = f"{found[-1].candidate.name}, {count(found[-1].taken, 'call')}" if found else ""
            bar.update(min(limit.spent(), 1.0), latest or "the reference")

        draw = sampler_search.seeded_sampling(denoiser, classes, number, seed=seed, progress=show)
        runner = sampler_search.TrialRunner(
            draw, sampler_search.pixel_features(references.extractor), references.features, schedule
        )
        try:
            for trial in sampler_search.search_samplers(runner, own_sampling(run), space, limit.fits):
                found.append(trial)
                show(0)
        except KeyboardInterrupt:
            tell("Stopped: choosing from the samplers tried so far.")
        bar.update(1.0, f"{len(found)} tried")
    return found


def _finish(
    run: "Run",
    references: References,
    number: int,
    seed: int,
    trials: "Sequence[Trial]",
    *,
    keep: bool,
) -> None:
    """Prints the table, writes numbers and pictures, and keeps the choice unless asked not to."""
    from unnoise import pictures
    from unnoise.evaluation import sampler_search

    name = "KID" if references.extractor.name == "inception" else f"KID-{references.extractor.name}"
    choice = sampler_search.recommend(trials)
    _print_trials(trials, choice, name)
    facts: dict[str, object] = {
        "samples": number,
        "seed": seed,
        "extractor": references.extractor.name,
        "resize": references.extractor.resize,
        "references": references.words,
    }
    enough = number >= sampler_search.ENOUGH_SAMPLES
    sampler_search.write_result(run, facts, trials, choice, kept=keep or not enough)
    pictures.save_png(sampler_search.comparison_charts(trials, name), run.path / "solve" / "errors.png")
    pictures.save_png(sampler_search.sample_sheet(trials, name, seed), run.path / "solve" / "side_by_side.png")
    tell(
        f"{count(number, 'sample')} of each, compared with {references.words}. "
        f"The rule of choice: {sampler_search.RULE}."
    )
    tell(_choice_text(choice, name))
    for file in ("solve.json", "solve/errors.png", "solve/side_by_side.png"):
        tell_result("solved", run.path / file)
    if keep or not enough:
        tell("The run keeps its present sampler." if keep else _doubt_text(run, choice, number))
        return
    sampler_search.keep_sampling(run, choice.trial.sampling)
    tell(f"unnoise generate {run.path} uses it from now on. To undo that:")
    tell(f"  unnoise solve {run.path} --restore")


def _doubt_text(run: "Run", choice: "Recommendation", number: int) -> str:
    """Why the run keeps its sampler, and how to use the chosen one nevertheless."""
    from unnoise.evaluation.sampler_search import ENOUGH_SAMPLES

    best = choice.trial.sampling
    return (
        f"The run keeps its present sampler: {count(number, 'sample')} of each cannot tell samplers apart, "
        f"{ENOUGH_SAMPLES} can (--num-samples {ENOUGH_SAMPLES}, or more --minutes). To try the one that would "
        f"have been chosen: unnoise generate {run.path} --sampler {best.sampler} --spacing {best.spacing} "
        f"--num-steps {best.num_steps}."
    )


def _choice_text(choice: "Recommendation", name: str) -> str:
    best, target = choice.trial, choice.target
    what = "the reference" if target.role == "long" else "the present sampler"
    good = f"is as good as {what}" if choice.reached else f"comes closest to {what}"
    return (
        f"Best: {best.sampling.sampler} with {best.sampling.spacing} spacing and "
        f"{count(best.sampling.num_steps, 'step')} ({count(best.taken, 'call')}). It {good} of "
        f"{count(target.taken, 'call')}: {name} {best.distance.value:.4g} beside {target.distance.value:.4g} "
        f"({target.distance.low:.4g} to {target.distance.high:.4g})."
    )


def _print_trials(trials: "Sequence[Trial]", choice: "Recommendation", name: str) -> None:
    """Prints a line for each sampler, by calls, the best first."""
    rows = table("sampler", "spacing", "calls", "error", name, "95% interval", "", left=("spacing", ""))
    tried = sorted(
        (trial for trial in trials if trial.role == "tried"),
        key=lambda trial: (trial.candidate.calls, trial.distance.value),
    )
    for trial in [trial for trial in trials if trial.role != "tried"] + tried:
        mark = {"long": "reference", "own": "present", "tried": ""}[trial.role]
        rows.add_row(
            *trial.candidate.sampler_and_spacing,
            str(trial.taken),
            "" if trial.error is None else f"{trial.error:.4f}",
            f"{trial.distance.value:.4g}",
            f"{trial.distance.low:.3g} to {trial.distance.high:.3g}",
            "recommended" if trial is choice.trial else mark,
        )
    tell_output(rows)
