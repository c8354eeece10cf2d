"""The steps of `unnoise evaluate`: progress bars, tables, and RUN/evaluation.json."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unnoise.api.amounts import check_memory, check_seeds
from unnoise.api.bits_per_dim import BitsOptions, measure_bits, run_pictures
from unnoise.api.drawing_options import chosen_sampling
from unnoise.api.evaluation_tables import print_colours, print_memorisation, print_scores
from unnoise.api.loading import DenoiserOptions, load_run_pictures
from unnoise.api.reporting import count, progress_bar, tell, tell_result
from unnoise.api.stopping import StopSignals
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.api.opening import OpenRun
    from unnoise.data import ImageSet
    from unnoise.data.batches import Split
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.diffusion.tensors import Pixels
    from unnoise.evaluation import ReferencePictures, ReferenceSplit, TimeBudget
    from unnoise.evaluation.features import Extractor
    from unnoise.runs.checkpoint import Run


_SCORES = 6


@dataclass(frozen=True)
class EvaluationOptions:
    """The options of `unnoise evaluate`; its help explains them."""

    minutes: float
    num_samples: int | None
    split: "ReferenceSplit"
    extractor: str
    weights: Path | None
    sampling: Mapping[str, object]
    guidance: Mapping[str, object]
    denoiser: DenoiserOptions
    seed: int
    batch_size: int
    bits: BitsOptions

    @property
    def timed(self) -> bool:
        """Whether the time decides how much is measured, rather than a number of samples."""
        return self.num_samples is None


class RealPictures(NamedTuple):
    """The real pictures that samples are compared with, and their features."""

    images: "ImageSet"
    parts: "Split"
    references: "ReferencePictures"
    extractor: "Extractor"
    features: "Tensor"


class Samples(NamedTuple):
    """Samples, (N, C, H, W), their features, (N, d), and the seconds that one took."""

    pixels: "Pixels"
    features: "Tensor"
    seconds: float


def evaluate_all(
    opened: "OpenRun",
    source: str | None,
    options: EvaluationOptions,
    clock: Callable[[], float] = time.monotonic,
) -> None:
    """Measures scores, copies, colours and bits/dim of a run; what was measured is kept when it is stopped.

    `clock` returns seconds.
    """
    from unnoise import evaluation
    from unnoise.evaluation.reference_pictures import MAX_PICTURES
    from unnoise.utils.files import check_writable

    run, path = opened.folder, opened.path
    autoguided = options.denoiser.scale(opened) != 1
    sampling = chosen_sampling(run.config, options.sampling, options.guidance, autoguided=autoguided)
    check_seeds(options.seed, options.num_samples or MAX_PICTURES)
    check_memory(run.config, options.num_samples or 1)
    budget = evaluation.TimeBudget(options.minutes, clock)
    check_writable(path / "evaluation.json")
    evaluation.read_evaluation(run)  # refuses a damaged one now
    denoiser = options.denoiser.load(opened, sampling, options.batch_size)
    images = _with_classes(run, run_pictures(run, source))
    real = _real_pictures(run, images, options, budget, denoiser)
    with StopSignals("Scoring the samples drawn so far") as stop:
        drawn = _draw(run, denoiser, sampling, real, options, budget, stop)
        _sheet(run, drawn)
        _score(run, denoiser, sampling, real, drawn, options, budget, stop)
        _memorisation(run, real, drawn, budget if options.timed else None)
        _colours(run, real, drawn)
        each = drawn.seconds / sampling.calls(denoiser.schedule) / (1 + autoguided)
        _bits(run, denoiser, real, options, budget, stop, each)
    tell_result("evaluation", path / "evaluation.json")


def _with_classes(run: "Run", images: "ImageSet") -> "ImageSet":
    """The same pictures with their classes, if the run has classes and they can still be read."""
    data = run.config.data
    if data.labels is None or images.fingerprint != data.fingerprint:
        return images
    try:
        return load_run_pictures(run.config, images.source, labels=True)
    except UnnoiseError as error:
        tell(
            f"The classes of the pictures cannot be read, so samples are drawn of all classes equally: {error}"
        )
        return images


def _real_pictures(
    run: "Run", images: "ImageSet", options: EvaluationOptions, budget: "TimeBudget", denoiser: "Denoiser"
) -> RealPictures:
    """Chooses the extractor and the real pictures, and computes their features."""
    from unnoise import evaluation
    from unnoise.evaluation.features import cached_features, choose_extractor

    parts = run.config.split(images)
    known = parts.training if len(parts.training) > 0 else parts.held_out
    with progress_bar("Preparing", 1.0) as bar:
        extractor = choose_extractor(
            options.extractor,
            images,
            known,
            weights=options.weights,
            device=denoiser.device,
            progress=lambda done: bar.update(done, "training the extractor on these pictures"),
        )
        bar.update(1.0, extractor.name)
    sizes = [len(part) for part in parts]
    limit = evaluation.affordable_pictures(extractor, images, budget, parts=sizes)
    references = evaluation.choose_references(run.config, images, options.split, limit=limit, seed=options.seed)
    with progress_bar("Features", len(references.all_indices)) as bar:
        everything = references.all_indices
        size = options.batch_size
        features = cached_features(extractor, images, everything, batch_size=size, progress=bar.advance)
    return RealPictures(images, parts, references, extractor, features)


def _draw(
    run: "Run",
    denoiser: "Denoiser",
    sampling: "Sampling",
    real: RealPictures,
    options: EvaluationOptions,
    budget: "TimeBudget",
    stop: StopSignals,
) -> Samples:
    """Draws samples and computes their features, batch by batch, so that the time limit includes both."""
    import torch

    from unnoise import evaluation

    drawing = evaluation.draw_samples(
        denoiser,
        sampling,
        budget,
        classes=evaluation.classes_as_in(run.config, real.images, real.references.training, options.seed),
        num_samples=options.num_samples,
        seed=options.seed,
        batch_size=options.batch_size,
    )
    pixels, features, started = list["Pixels"](), list["Tensor"](), budget.clock()
    with progress_bar("Sampling", 1.0) as bar:
        for batch in drawing:
            pixels.append(batch)
            features.append(real.extractor(batch))
            drawn = sum(map(len, pixels))
            bar.update(evaluation.draw_progress(drawn, options.num_samples, budget), count(drawn, "sample"))
            if stop.received and drawn >= evaluation.MIN_PICTURES:
                break
    return Samples(torch.cat(pixels), torch.cat(features), (budget.clock() - started) / drawn)


def _sheet(run: "Run", drawn: Samples) -> None:
    from unnoise import pictures

    shown = drawn.pixels[:64].float() / 255
    path = run.path / "evaluation" / "samples.png"
    pictures.save_png(pictures.grid(shown if shown.shape[1] <= 4 else shown[:, :3]), path)
    tell_result("samples", path)


def _score(
    run: "Run",
    denoiser: "Denoiser",
    sampling: "Sampling",
    real: RealPictures,
    drawn: Samples,
    options: EvaluationOptions,
    budget: "TimeBudget",
    stop: StopSignals,
) -> None:
    """Computes the scores, KID first, and writes each as soon as it is known, while there is time."""
    from unnoise import evaluation

    guided = denoiser.autoguidance
    conditions = evaluation.ScoringConditions(
        evaluation.evaluated_weights(run, best=options.denoiser.best),
        real.references,
        real.images,
        real.extractor,
        sampling,
        bool(run.config.data.classes),
        options.seed,
        {} if guided is None else {"autoguidance": guided.guidance.scale, "weaker": guided.name},
        denoiser.precision,
    )
    sets = evaluation.feature_sets(drawn.features, real.features, real.references, options.seed)
    facts = conditions.facts(len(drawn.pixels), sets.baseline)
    warnings = [*real.references.notes, *evaluation.score_warnings(real.extractor, *drawn.features.shape)]
    found = list["evaluation.Score"]()
    with progress_bar("Scoring", _SCORES) as bar:
        for score in evaluation.compute_scores(sets, real.extractor.name, seed=options.seed):
            found.append(score)
            bar.update(len(found), score.name)
            quality = evaluation.scores_record(conditions.weights.step, facts, found, warnings)
            evaluation.write_evaluation(run, {"quality": quality})
            if stop.received or (options.timed and budget.spent() >= evaluation.SCORES_SHARE):
                break
    print_scores(facts, found, warnings)
    if len(found) < _SCORES and not stop.received:
        tell(f"There was no time for more scores than {found[-1].name}: allow more --minutes.")


def _memorisation(run: "Run", real: RealPictures, drawn: Samples, budget: "TimeBudget | None") -> None:
    """Finds copies of training pictures, and draws the samples that are nearest to one."""
    from unnoise import evaluation, pictures

    if len(real.references.training) == 0:
        tell("These are not the pictures that the run was trained on, so copies are not looked for.")
        return
    samples, features, _ = drawn
    found = evaluation.check_memorisation(
        samples, features, real.features, real.images, real.references, real.parts, budget
    )
    picture = "evaluation/nearest.png"
    pictures.save_png(evaluation.nearest_pairs(found, drawn.pixels, real.images), run.path / picture)
    evaluation.write_evaluation(run, {"memorisation": found.record(picture)})
    print_memorisation(found)
    tell_result("nearest", run.path / picture)


def _colours(run: "Run", real: RealPictures, drawn: Samples) -> None:
    from unnoise import evaluation

    found = evaluation.check_colours(drawn.pixels, evaluation.reference_pixels(real.images, real.references))
    evaluation.write_evaluation(run, {"colours": found.record()})
    print_colours(found)


def _bits(
    run: "Run",
    denoiser: "Denoiser",
    real: RealPictures,
    options: EvaluationOptions,
    budget: "TimeBudget",
    stop: StopSignals,
    seconds_per_call: float,
) -> None:
    """Measures bits/dim in the time that is left; with --num-samples, of one batch even where none is left."""
    from unnoise.evaluation import Pace
    from unnoise.runs.drawing_precision import exact

    if stop.received:
        return
    if len(real.parts.held_out) == 0:
        tell("The run held out no pictures, so bits/dim are not measured.")
        return
    if run.config.jumps:
        tell(f"The run draws in jumps, so bits/dim are not measured: use {run.config.in_small_steps}.")
        return
    bits, pace = options.bits, Pace(budget.clock, seconds_per_call * options.bits.num_terms)

    def next_batch() -> int:
        return pace.next_batch(budget.seconds_left(), bits.batch_size)

    spent = partial(_spent, budget, stop)
    measure_bits(run, exact(denoiser), real.images, bits, spent, next_batch if options.timed else None)


def _spent(budget: "TimeBudget", stop: StopSignals) -> float:
    return 1.0 if stop.received else budget.spent()
