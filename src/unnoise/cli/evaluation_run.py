"""All measures of a run on the screen: bars while they are taken, tables of them, and RUN/evaluation.json."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from unnoise.cli.commands.generate import chosen_sampling
from unnoise.cli.console import Bar, count, result, say
from unnoise.cli.evaluation_tables import show_colours, show_memorisation, show_scores
from unnoise.cli.likelihoods import Bits, measure_bits, run_pictures
from unnoise.cli.loading import load_pictures
from unnoise.cli.stopping import Stop
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.data import ImageSet
    from unnoise.data.batches import Split
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.diffusion.tensors import Pixels
    from unnoise.evaluation import Compared, Panel, Stopwatch
    from unnoise.evaluation.features import Extractor
    from unnoise.runs.checkpoint import Run


@dataclass(frozen=True)
class Wanted:
    """What was asked for; see `unnoise evaluate --help`."""

    minutes: float
    num_samples: int | None
    split: "Compared"
    extractor: str
    weights: Path | None
    changes: Mapping[str, object]
    guided: Mapping[str, object]
    seed: int
    batch_size: int
    bits: Bits


class Real(NamedTuple):
    """What samples are compared with, and what compares."""

    images: "ImageSet"
    parts: "Split"
    panel: "Panel"
    extractor: "Extractor"
    features: "Tensor"


class Drawn(NamedTuple):
    """Samples, (N, C, H, W), and their features, (N, d)."""

    pixels: "Pixels"
    features: "Tensor"


def evaluate_all(path: Path, source: str | None, wanted: Wanted, device: str) -> None:
    """Samples, scores, memorisation, colours and bits/dim; whatever was measured stays when it is stopped."""
    from unnoise import evaluation
    from unnoise.runs.checkpoint import Run
    from unnoise.training.loop import choose_device
    from unnoise.utils.files import check_writable

    run = Run.open(path)
    sampling = chosen_sampling(run.config, wanted.changes, wanted.guided)
    watch = evaluation.Stopwatch(wanted.minutes)
    check_writable(path / "evaluation.json")
    evaluation.read_evaluation(run)  # refuses a damaged one now
    denoiser = run.load(choose_device(device))
    images = _with_classes(run, run_pictures(run, source))
    real = _real(run, images, wanted, watch, denoiser)
    with Stop("Scoring what was drawn") as stop:
        drawn = _draw(run, denoiser, sampling, real, wanted, watch, stop)
        _sheet(run, drawn)
        _score(run, sampling, real, drawn, wanted, stop)
        _memory(run, real, drawn)
        _colours(run, real, drawn)
        _bits(run, denoiser, real, wanted, watch, stop)
    result("evaluation", path / "evaluation.json")


def _with_classes(run: "Run", images: "ImageSet") -> "ImageSet":
    """The same with its classes, where the run knows any and they can still be read."""
    data = run.config.data
    if data.labels is None or images.fingerprint != data.fingerprint:
        return images
    try:
        return load_pictures(images.source, run.config)
    except UnnoiseError as error:
        say(f"Samples are drawn of all classes equally, since the pictures' own can't be read: {error}")
        return images


def _real(run: "Run", images: "ImageSet", wanted: Wanted, watch: "Stopwatch", denoiser: "Denoiser") -> Real:
    """Chooses the extractor and the real pictures, and takes their features."""
    from unnoise import evaluation
    from unnoise.evaluation.features import choose, reference_features

    parts = evaluation.known_split(run.config, images)
    known = parts.training if len(parts.training) > 0 else parts.held_out
    with Bar("Preparing", 1.0) as shown:
        extractor = choose(
            wanted.extractor,
            images,
            known,
            weights=wanted.weights,
            device=denoiser.device,
            progress=lambda done: shown.show(done, "the extractor learns these pictures"),
        )
        shown.show(1.0, extractor.name)
    limit = evaluation.affordable(extractor, images, watch)
    panel = evaluation.panel(run.config, images, wanted.split, limit=limit, seed=wanted.seed)
    with Bar("Features", len(panel.everything)) as shown:
        everything = panel.everything
        size = wanted.batch_size
        features = reference_features(extractor, images, everything, batch_size=size, progress=shown.advance)
    return Real(images, parts, panel, extractor, features)


def _draw(
    run: "Run",
    denoiser: "Denoiser",
    sampling: "Sampling",
    real: Real,
    wanted: Wanted,
    watch: "Stopwatch",
    stop: Stop,
) -> Drawn:
    """Draws samples, and takes their features at once, so that their time counts."""
    import torch

    from unnoise import evaluation

    drawing = evaluation.draw(
        denoiser,
        sampling,
        watch,
        classes=evaluation.classes_like(run.config, real.images, real.panel.training, wanted.seed),
        num_samples=wanted.num_samples,
        seed=wanted.seed,
        batch_size=wanted.batch_size,
    )
    pixels, features = list["Pixels"](), list["Tensor"]()
    with Bar("Sampling", 1.0) as shown:
        for batch in drawing:
            pixels.append(batch)
            features.append(real.extractor(batch))
            drawn = sum(map(len, pixels))
            shown.show(evaluation.drawn_share(drawn, wanted.num_samples, watch), count(drawn, "sample"))
            if stop.asked and drawn >= evaluation.LEAST:
                break
    return Drawn(torch.cat(pixels), torch.cat(features))


def _sheet(run: "Run", drawn: Drawn) -> None:
    from unnoise import pictures

    shown = drawn.pixels[:64].float() / 255
    path = run.path / "evaluation" / "samples.png"
    pictures.save_png(pictures.grid(shown if shown.shape[1] <= 4 else shown[:, :3]), path)
    result("samples", path)


def _score(run: "Run", sampling: "Sampling", real: Real, drawn: Drawn, wanted: Wanted, stop: Stop) -> None:
    """KID first; each score is written as soon as it is known."""
    from unnoise import evaluation

    around = evaluation.Circumstances(
        evaluation.weights_of(run),
        real.panel,
        real.images,
        real.extractor,
        sampling,
        bool(run.config.data.classes),
        wanted.seed,
    )
    sets = evaluation.sets(drawn.features, real.features, real.panel, wanted.seed)
    facts = around.facts(len(drawn.pixels), sets.floor)
    warnings = [*real.panel.notes, *evaluation.warnings(real.extractor, *drawn.features.shape)]
    found = list["evaluation.Score"]()
    with Bar("Scoring", 6) as shown:
        for score in evaluation.scores(sets, real.extractor.name, seed=wanted.seed):
            found.append(score)
            shown.show(len(found), score.name)
            quality = evaluation.plain_quality(around.weights.step, facts, found, warnings)
            evaluation.write_evaluation(run, {"quality": quality})
            if stop.asked:
                break
    show_scores(facts, found, warnings)


def _memory(run: "Run", real: Real, drawn: Drawn) -> None:
    """Which samples are copies, and the picture of those nearest to training."""
    from unnoise import evaluation, pictures

    if len(real.panel.training) == 0:
        say("Copies are looked for among the pictures that the run was trained on, which these are not.")
        return
    found = evaluation.memorisation(*drawn, real.features, real.images, real.panel, real.parts)
    picture = "evaluation/nearest.png"
    pictures.save_png(evaluation.nearest_pairs(found, drawn.pixels, real.images), run.path / picture)
    evaluation.write_evaluation(run, {"memorisation": found.plain(picture)})
    show_memorisation(found)
    result("nearest", run.path / picture)


def _colours(run: "Run", real: Real, drawn: Drawn) -> None:
    from unnoise import evaluation

    found = evaluation.check_colours(drawn.pixels, evaluation.some_pixels(real.images, real.panel))
    evaluation.write_evaluation(run, {"colours": found.plain()})
    show_colours(found)


def _bits(
    run: "Run", denoiser: "Denoiser", real: Real, wanted: Wanted, watch: "Stopwatch", stop: Stop
) -> None:
    """With the minutes that are left; of one batch at least."""
    if stop.asked:
        return
    if len(real.parts.held_out) == 0:
        say(
            "Bits/dim are of pictures that the run was not trained on, and it held none out: they are left out."
        )
        return
    bits = wanted.bits
    measure_bits(run, denoiser, real.images, bits, lambda: 1.0 if stop.asked else watch.spent())
