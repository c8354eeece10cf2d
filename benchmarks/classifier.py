"""Small picture classifier; distances between its features compare samples with real pictures."""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unnoise.data import ImageSet
from unnoise.evaluation.features.contrastive import Views
from unnoise.utils.tensor_files import read_tensors, write_tensors

_BATCH = 128
_LEARNING_RATE = 2e-3
_TOO_FEW = 20
"""A class of fewer pictures is left out of balanced training."""


class Classifier(nn.Module):
    """Pictures of side x side in [0, 1] -> logits; the last hidden layer gives the features, (N, hidden).

    Each of the `halvings` convolutions halves the pictures; all after the first have twice its channels.
    """

    def __init__(
        self,
        side: int = 16,
        channels: int = 1,
        width: int = 16,
        hidden: int = 32,
        classes: int = 10,
        halvings: int = 2,
    ) -> None:
        super().__init__()
        widths, layers = (channels, width, *[2 * width] * (halvings - 1)), []
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.SiLU()]
        positions = math.ceil(side / 2**halvings) ** 2
        self.features = nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(widths[-1] * positions, hidden), nn.SiLU()
        )
        self.logits = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, side, side) -> (N, classes)."""
        logits: Tensor = self.logits(self.features(images))
        return logits


def load_or_train(
    images: ImageSet,
    seen: NDArray[np.int64],
    path: Path,
    steps: int,
    *,
    width: int = 16,
    hidden: int = 32,
    halvings: int = 2,
    balanced: bool = False,
) -> Classifier:
    """The classifier in this file, or a new one of the pictures at `seen`, which is written there.

    Args:
        images: with classes.
        seen: places of the pictures to train on.
        path: a file of safetensors.
        steps: of training.
        width, hidden, halvings: channels of the first layer, features, and convolutions.
        balanced: for few pictures: all classes are seen equally often, except for those of a handful of
            pictures, which are left out; and pictures are moved a little (`Views`), so that the classifier does
            not learn them by heart.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classes = len(images.class_names) or 10
        classifier = Classifier(images.width, images.channels, width, hidden, classes, halvings)
    if path.is_file():
        classifier.load_state_dict(read_tensors(path)[0])
    else:
        _train(classifier, images, seen, steps, sampling_weights(_labels(images)[seen]) if balanced else None)
        write_tensors(path, classifier.state_dict(), {"steps": str(steps)})
    return classifier.eval()


@torch.no_grad()
def features_of(classifier: Classifier, pictures: Tensor) -> Tensor:
    """Features of pictures in [0, 1], (N, C, H, W): (N, hidden), float64."""
    features: Tensor = classifier.features(pictures)
    return features.double()


@torch.no_grad()
def accuracy(classifier: Classifier, images: ImageSet, indices: NDArray[np.int64]) -> float:
    """Fraction of these pictures that it puts into their own class."""
    guesses = classifier(pixels(images, indices)).argmax(1).numpy()
    return float((guesses == _labels(images)[indices]).mean())


def pixels(images: ImageSet, indices: NDArray[np.int64]) -> Tensor:
    """The pictures at these places, (N, C, H, W) in [0, 1]."""
    return images.take(indices).float() / 255


def sampling_weights(labels: NDArray[np.int64]) -> Tensor:
    """Weights by which all classes are drawn equally often, but those of a handful of pictures never.

    A feature that tells five pictures from thousands would be nearly always zero.
    """
    counts = np.bincount(labels)[labels]
    return torch.from_numpy(np.where(counts < _TOO_FEW, 0.0, 1 / counts))


def _labels(images: ImageSet) -> NDArray[np.int64]:
    assert images.labels is not None, "a classifier needs the classes of the pictures"
    return images.labels


def _train(
    classifier: Classifier, images: ImageSet, seen: NDArray[np.int64], steps: int, weights: Tensor | None
) -> None:
    optimizer = torch.optim.AdamW(classifier.parameters(), _LEARNING_RATE)
    generator, views = torch.Generator().manual_seed(0), Views()
    for step in range(steps):
        if weights is None:
            places = torch.randint(len(seen), (_BATCH,), generator=generator)
        else:
            places = torch.multinomial(weights, _BATCH, replacement=True, generator=generator)
            optimizer.param_groups[0]["lr"] = _LEARNING_RATE * (1 - step / steps)
        batch = seen[places.numpy()]
        labels, batch_pixels = torch.from_numpy(_labels(images)[batch]), pixels(images, batch)
        if weights is not None:
            batch_pixels = (views(2 * batch_pixels - 1, generator) + 1) / 2
        loss = functional.cross_entropy(classifier(batch_pixels), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
