"""Judges of samples: networks whose features are compared with those of real pictures.

One is a small classifier that was trained on the classes of the data set, if it has any; the other is
EfficientNet-lite0, trained on ImageNet. Distances in the features of the first depend on its training here, and
compare only within one table; those of the second can be measured again elsewhere.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from benchmarks.classifier import Classifier, accuracy, features_of, load_or_train
from unnoise.data import ImageSet, load
from unnoise.data.batches import held_out_count, split
from unnoise.data.cache import default_cache
from unnoise.data.sources.named import FASHION, find_fashion_mnist_test
from unnoise.evaluation.features import cached_features, lite0
from unnoise.evaluation.metrics import frechet_interval, kernel_interval
from unnoise.utils.errors import UnnoiseError, require

CLASSES, LITE0 = "classes", "lite0"
"""Names of the features of the two networks."""

CLASSIFIER_STEPS = 2500
_LARGE = 20_000
_MOST_REFERENCES = 5000
_IN_KERNEL = 2000
"""Time and memory of the interval of a kernel distance grow with the square of this."""


@dataclass(frozen=True, eq=False)
class PictureSet:
    """Pictures to train on, and references for samples: other pictures, unless there are too few."""

    name: str
    training: ImageSet
    references: ImageSet

    @property
    def held_out(self) -> bool:
        """Whether the references are not trained on."""
        return self.references is not self.training


def picture_set(source: str, size: int | None, name: str = "", *, large: int = _LARGE) -> PictureSet:
    """Pictures of a folder at this size, or a named data set at its own size.

    The references of Fashion-MNIST are its test pictures, and those of a folder with `train` and `test` are in
    `test`. Of other sets of `large` or more pictures some are held out; smaller sets are trained on as a whole.

    Raises:
        UnnoiseError: for pictures that are not square, or whose side is no multiple of 4, and where the test
            pictures of Fashion-MNIST cannot be found.
    """
    named = not Path(source).exists()
    learned, held_out = (Path(source) / part for part in ("train", "test"))
    parted = learned.is_dir() and held_out.is_dir()
    sides = None if named or size is None else (size, size)
    images = _load_with_classes(str(learned) if parted else source, sides)
    require(
        images.height == images.width and images.height % 4 == 0,
        f"All contenders need square pictures with a side that is a multiple of 4, but {source} has "
        f"{images.height} x {images.width}. Choose another --size.",
    )
    name = name or (source if named else Path(source).resolve().name)
    if source == FASHION:
        test = find_fashion_mnist_test(default_cache() / FASHION, progress=True)
        return PictureSet(name, images, load(test, labels=True))
    if parted:
        return PictureSet(name, images, _load_with_classes(str(held_out), sides))
    if len(images) < large:
        return PictureSet(name, images, images)
    parts = split(len(images), held_out_count(len(images)), 0)
    return PictureSet(name, subset(images, parts.training), subset(images, parts.held_out))


def _load_with_classes(source: str, size: tuple[int, int] | None) -> ImageSet:
    try:
        return load(source, size=size, labels=True, progress=True)
    except UnnoiseError:  # it has no classes
        return load(source, size=size, progress=True)


def subset(images: ImageSet, indices: np.ndarray) -> ImageSet:
    """The pictures at these places."""
    labels = None if images.labels is None else images.labels[indices]
    fingerprint = f"{images.fingerprint}-{len(indices)}"
    return replace(
        images, pixels=images.pixels[indices], labels=labels, fingerprint=fingerprint, kept_moments=None
    )


class Score(NamedTuple):
    """Fréchet and kernel distance, each with its 95 % interval over the choice of pictures."""

    fd: float
    fd_low: float
    fd_high: float
    kid: float
    kid_low: float
    kid_high: float

    @classmethod
    def of(cls, features: Tensor, references: Tensor) -> "Score":
        """Distances between two sets of features, (N, d) and (M, d)."""
        kernel = kernel_interval(features[:_IN_KERNEL], references[:_IN_KERNEL], resamples=200)
        return cls(*frechet_interval(features, references), *kernel)


class Judge(NamedTuple):
    """A network's features of bytes, (B, C, H, W), and those of the references, (M, d)."""

    name: str
    words: str
    see: Callable[[Tensor], Tensor]
    references: Tensor

    def features(self, batches: Sequence[Tensor]) -> Tensor:
        """Features of pictures in batches, (N, d)."""
        return torch.cat([self.see(batch) for batch in batches])

    def score(self, features: Tensor) -> Score:
        """Distances to the references."""
        return Score.of(features, self.references)

    def score_of_real(self, training: Tensor, seed: int, *, held_out: bool) -> Score:
        """Score of real pictures in place of samples, the best that can be expected.

        Args:
            training: features of training pictures.
            seed: of the choice of pictures.
            held_out: whether the references are not trained on; otherwise some of them are compared with the
                others.
        """
        if held_out:
            return self.score(training)
        chosen = torch.randperm(len(self.references), generator=torch.Generator().manual_seed(seed))
        count = min(len(training), len(chosen) // 2)
        return Score.of(self.references[chosen[:count]], self.references[chosen[count:]])


def classifier_file(pictures: PictureSet, folder: Path, kind: str = "classifier") -> Path:
    """File of the weights of a set's classifier, which depends on the side of the pictures."""
    return folder / f"{pictures.name}-{pictures.training.height}.{kind}.safetensors"


def judges(pictures: PictureSet, folder: Path, *, quick: bool = False) -> list[Judge]:
    """The classifier, kept in the folder, if there are classes; and lite0, if it is installed."""
    images, found = pictures.training, []
    if images.labels is not None and len(images.class_names) > 1:
        path, steps = classifier_file(pictures, folder), 50 if quick else CLASSIFIER_STEPS
        everything, balanced = np.arange(len(images)), not pictures.held_out
        classifier = load_or_train(images, everything, path, steps, width=32, balanced=balanced)
        found.append(classifier_judge(classifier, pictures))
    if lite0.is_installed():
        found.append(_lite0_judge(pictures, 200 if quick else _MOST_REFERENCES))
    return found


def _some(images: ImageSet, count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).permutation(len(images))[:count]


def real_pictures(pictures: PictureSet, count: int, seed: int) -> Tensor:
    """Training pictures, as bytes."""
    return pictures.training.take(_some(pictures.training, count, seed + 1))


def noise_pictures(pictures: PictureSet, count: int) -> Tensor:
    """Pictures of noise, as bytes: the worst samples."""
    images = pictures.training
    shape = (count, images.channels, images.height, images.width)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier_judge(classifier: Classifier, pictures: PictureSet) -> Judge:
    """The judge with the features of this classifier."""
    training, references = pictures.training, pictures.references

    def raw(images: Tensor) -> Tensor:
        return features_of(classifier, images.float() / 255)

    found = raw(training.take(_some(training, _MOST_REFERENCES)))
    # Scaled to a deviation of 1 over training pictures, so that all features count; but a feature that is
    # nearly constant there must not count a thousand times where a sample moves it.
    deviations = found.std(0)
    centre, scale = found.mean(0), deviations.clamp(min=0.1 * float(deviations.median()))

    def standardised(images: Tensor) -> Tensor:
        return (raw(images) - centre) / scale

    everything = np.arange(len(references))
    if not pictures.held_out:  # they may be sorted by class, and a kernel distance takes the first of them
        everything = _some(references, len(references))
    right = accuracy(classifier, references, everything)
    how = "" if pictures.held_out else ", each as often and from pictures moved a little"
    words = (
        f"{found.shape[1]} features of a small classifier that learned the training pictures' classes{how} "
        f"({right:.1%} right on the {len(references):,} references), each scaled to a deviation of 1"
    )
    pieces = [references.take(everything[first : first + 1000]) for first in range(0, len(references), 1000)]
    return Judge(CLASSES, words, standardised, torch.cat([standardised(piece) for piece in pieces]))


def _lite0_judge(pictures: PictureSet, most: int) -> Judge:
    extractor = lite0.lite0_extractor(side=lite0.SMALL)
    chosen = _some(pictures.references, most)
    references = cached_features(extractor, pictures.references, chosen)
    words = f"{references.shape[1]:,} features of EfficientNet-lite0, {len(references):,} references"
    return Judge(LITE0, words, extractor, references)
