"""All contenders' pictures are seen by the same two networks, and compared with pictures that none trained on.

One network is a small classifier that learned the data set's own classes, where there are any; the other knows
ImageNet (EfficientNet-lite0). Distances in the first depend on what it learned here, and compare with nothing
outside this page; those in the second can be measured again elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.judging import Classifier, accuracy, load_or_train
from unnoise.data import ImageSet, load
from unnoise.data.batches import held_out_count, split
from unnoise.data.sources.named import FASHION, FASHION_FOLDERS
from unnoise.evaluation.features import lite0, reference_features
from unnoise.evaluation.metrics import frechet_interval, kernel_interval
from unnoise.utils.errors import UnnoiseError, require

CLASSES, LITE0 = "classes", "lite0"
"""The names of the two networks' features."""

CLASSIFIER_STEPS = 2500
_TEST_FILE = "t10k-images-idx3-ubyte.gz"
_LARGE = 20_000
_MOST_REFERENCES = 5000
_IN_KERNEL = 2000
"""The interval of a kernel distance takes time and memory by the square of this."""


@dataclass(frozen=True, eq=False)
class Exam:
    """What is trained on, and what samples are compared with: others, unless there are too few."""

    name: str
    training: ImageSet
    references: ImageSet

    @property
    def kept_apart(self) -> bool:
        """Whether nobody trains on the references."""
        return self.references is not self.training


def exam(source: str, size: int | None, name: str = "") -> Exam:
    """Pictures from a folder at this size, or a named set at its own.

    Fashion-MNIST has test pictures; of other large sets some are held out, and small ones are learned whole.
    """
    named = not Path(source).exists()
    images = _loaded(source, None if named or size is None else (size, size))
    require(
        images.height == images.width and images.height % 4 == 0,
        f"All contenders take square pictures of sides that 4 divides, but {source} has {images.height} x "
        f"{images.width}: choose another --size.",
    )
    name = name or (source if named else Path(source).resolve().name)
    test = next((folder / _TEST_FILE for folder in FASHION_FOLDERS if (folder / _TEST_FILE).is_file()), None)
    if source == FASHION and test is not None:
        return Exam(name, images, load(test, labels=True))
    if len(images) < _LARGE:
        return Exam(name, images, images)
    parts = split(len(images), held_out_count(len(images)), 0)
    return Exam(name, _part(images, parts.training), _part(images, parts.held_out))


def _loaded(source: str, size: tuple[int, int] | None) -> ImageSet:
    try:
        return load(source, size=size, labels=True, progress=True)
    except UnnoiseError:  # it has no classes
        return load(source, size=size, progress=True)


def _part(images: ImageSet, indices: np.ndarray) -> ImageSet:
    """Only the pictures at these places."""
    labels = None if images.labels is None else images.labels[indices]
    fingerprint = f"{images.fingerprint}-{len(indices)}"
    return replace(
        images, pixels=images.pixels[indices], labels=labels, fingerprint=fingerprint, kept_moments=None
    )


class Score(NamedTuple):
    """Both distances with their 95 % intervals over the choice of pictures."""

    fd: float
    fd_low: float
    fd_high: float
    kid: float
    kid_low: float
    kid_high: float


class Judge(NamedTuple):
    """One network's view: features of bytes, (B, C, H, W), and those of the references, (M, d)."""

    name: str
    words: str
    see: Callable[[Tensor], Tensor]
    references: Tensor

    def features(self, batches: Sequence[Tensor]) -> Tensor:
        """Of pictures in batches, (N, d)."""
        return torch.cat([self.see(batch) for batch in batches])

    def score(self, features: Tensor) -> Score:
        """How far they are from the references; never nothing, as few pictures are never quite like others."""
        return _score(features, self.references)

    def score_of_real(self, training: Tensor, seed: int, *, apart: bool) -> Score:
        """Of real pictures in the samples' place: training ones, or references against the other references."""
        if apart:
            return self.score(training)
        chosen = torch.randperm(len(self.references), generator=torch.Generator().manual_seed(seed))
        count = min(len(training), len(chosen) // 2)
        return _score(self.references[chosen[:count]], self.references[chosen[count:]])


def _score(features: Tensor, references: Tensor) -> Score:
    some = references[:_IN_KERNEL]
    return Score(
        *frechet_interval(features, references), *kernel_interval(features[:_IN_KERNEL], some, resamples=200)
    )


def judges(questions: Exam, folder: Path, *, quick: bool = False) -> list[Judge]:
    """The classifier, kept in the folder, where there are classes; and lite0, where it is installed."""
    images, found = questions.training, []
    if images.labels is not None and len(images.class_names) > 1:
        path, steps = folder / f"{questions.name}.classifier.safetensors", 50 if quick else CLASSIFIER_STEPS
        everything, few = np.arange(len(images)), not questions.kept_apart
        classifier = load_or_train(images, everything, path, steps, width=32, few=few)
        found.append(of_classifier(classifier, questions))
    if lite0.is_installed():
        found.append(_of_lite0(questions, 200 if quick else _MOST_REFERENCES))
    return found


def _some(images: ImageSet, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(images))[:count]


def real_pictures(questions: Exam, count: int, seed: int) -> Tensor:
    """Training pictures, as bytes."""
    return questions.training.take(_some(questions.training, count, seed + 1))


def of_classifier(classifier: Classifier, questions: Exam) -> Judge:
    """How it sees, and what it makes of the references."""
    training, references = questions.training, questions.references

    @torch.no_grad()
    def see(pictures: Tensor) -> Tensor:
        seen: Tensor = classifier.features(pictures.float() / 255)
        return seen.double()

    raw = see(training.take(_some(training, _MOST_REFERENCES)))
    # A deviation of 1 over training pictures, so that all features count; but one that hardly ever moves must
    # not count for a thousand where a sample moves it.
    deviations = raw.std(0)
    centre, scale = raw.mean(0), deviations.clamp(min=0.1 * float(deviations.median()))

    def standardised(pictures: Tensor) -> Tensor:
        return (see(pictures) - centre) / scale

    everything = np.arange(len(references))
    if not questions.kept_apart:  # sorted by classes, maybe; a kernel distance takes the first of them
        everything = _some(references, len(references))
    right = accuracy(classifier, references, everything)
    how = "" if questions.kept_apart else ", each as often and from pictures moved a little"
    words = (
        f"{raw.shape[1]} features of a small classifier that learned the training pictures' classes{how} "
        f"({right:.1%} right on the {len(references):,} references), each scaled to a deviation of 1"
    )
    pieces = [references.take(everything[first : first + 1000]) for first in range(0, len(references), 1000)]
    return Judge(CLASSES, words, standardised, torch.cat([standardised(piece) for piece in pieces]))


def _of_lite0(questions: Exam, most: int) -> Judge:
    extractor = lite0.lite0(side=lite0.SMALL)
    chosen = _some(questions.references, most)
    references = reference_features(extractor, questions.references, chosen)
    words = f"{references.shape[1]:,} features of EfficientNet-lite0, {len(references):,} references"
    return Judge(LITE0, words, extractor, references)


def noise_pictures(questions: Exam, count: int) -> Tensor:
    """What no training at all could draw."""
    images = questions.training
    shape = (count, images.channels, images.height, images.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
