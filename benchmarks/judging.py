"""Runs that learn different things are judged by the same noisy pictures, and by the same classifier.

Their losses can't be compared, so held-out pictures get the same noises, scaled so that every run sees the same
noisy pixels whatever it was normalised by; and what is generated is looked at by a small classifier of digits.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from unnoise.data import ImageSet
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.schedules import rates_of_log_snr
from unnoise.diffusion.tensors import mix
from unnoise.evaluation.features.views import Views
from unnoise.utils.tensor_files import read_tensors, write_tensors

NOISE_LEVELS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Standard deviations of the noise beside a picture of its whole signal, in units of the data set's own."""

CONFIDENT = 0.9
SAMPLES = 200
_CLASSIFIER_STEPS = 400
_BATCH = 128
_RATE = 2e-3
_UNSEEN = 300
_HANDFUL = 20


class Errors(NamedTuple):
    """Mean squared errors over `NOISE_LEVELS`: of the noises (variance 1), and of the images in [0, 1]."""

    noises: float
    images: float


class Score(NamedTuple):
    """Of some pictures: Frechet distance to the real ones, and how many the classifier is sure of."""

    frechet: float
    confident: float


@torch.no_grad()
def held_out_errors(diffusion: Diffusion, pictures: Tensor, data_std: float) -> Errors:
    r"""The averaged network's errors on pictures, uint8 (N, 1, H, W), with the same noises for every run.

    In pixels a noisy image is x + (sigma / alpha) std eps, with std the normalizer's: so sigma / alpha is
    level * data_std / std.
    """
    model, normalizer = diffusion.ema, diffusion.normalizer
    images = normalizer.normalize(pictures.to(model.device))
    truth = normalizer.denormalize(images)
    noises = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    noise_errors, image_errors = [], []
    for level in NOISE_LEVELS:
        ratio = torch.tensor(level * data_std / normalizer.std[0])
        rates = rates_of_log_snr(-2 * ratio.log().expand(len(images), 1, 1, 1))
        noise_rates, signal_rates = (rate.to(model.device) for rate in rates)
        prediction = model.denoise(mix(images, noises, noise_rates, signal_rates), noise_rates, signal_rates)
        noise_errors.append(functional.mse_loss(prediction.noises, noises))
        image_errors.append(functional.mse_loss(normalizer.denormalize(prediction.images), truth))
    return Errors(float(torch.stack(noise_errors).mean()), float(torch.stack(image_errors).mean()))


def frechet_distance(left: NDArray[np.float64], right: NDArray[np.float64]) -> float:
    r"""Between the Gaussians with the means and covariances of two sets of features, each (N, d).

    |m - n|^2 + tr(C + D - 2 (C^{1/2} D C^{1/2})^{1/2})                                 (FID, 1706.08500, eq. 6)
    """
    return gaussian_distance(
        left.mean(0), np.cov(left, rowvar=False), right.mean(0), np.cov(right, rowvar=False)
    )


def gaussian_distance(
    mean: NDArray[np.float64],
    covariance: NDArray[np.float64],
    other_mean: NDArray[np.float64],
    other_covariance: NDArray[np.float64],
) -> float:
    """The same from means, (d,), and covariances, (d, d)."""
    values, vectors = np.linalg.eigh(covariance)
    root = (vectors * np.sqrt(values.clip(min=0))) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ other_covariance @ root).clip(min=0)).sum()
    trace = np.trace(covariance) + np.trace(other_covariance) - 2 * cross
    return float(np.square(mean - other_mean).sum() + trace)


class Classifier(nn.Module):
    """Pictures of side x side in [0, 1] -> logits; its last hidden layer are the features, (N, hidden)."""

    def __init__(
        self, side: int = 16, channels: int = 1, width: int = 16, hidden: int = 32, classes: int = 10
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(2 * width * math.ceil(side / 4) ** 2, hidden),
            nn.SiLU(),
        )
        self.logits = nn.Linear(hidden, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, channels, side, side) -> (N, classes)."""
        logits: Tensor = self.logits(self.features(images))
        return logits


class Judge:
    """A classifier of the digits, and what the real ones look like to it. This is no standard FID."""

    def __init__(self, images: ImageSet, classifier: Classifier) -> None:
        self.classifier = classifier.eval()
        seen, unseen = _parts(len(images))
        self.real = features_of(classifier, _pixels(images, seen))
        unseen_pixels = _pixels(images, unseen)
        self.accuracy = accuracy(classifier, images, unseen)
        self.of_real = self.score(unseen_pixels[:SAMPLES])
        noise = torch.rand(SAMPLES, *unseen_pixels.shape[1:], generator=torch.Generator().manual_seed(0))
        self.of_noise = self.score(noise)

    @classmethod
    def load_or_train(cls, images: ImageSet, path: Path) -> "Judge":
        """The classifier in this file, or a new one, which is put there: all runs meet the same judge."""
        return cls(images, load_or_train(images, _parts(len(images))[0], path))

    @torch.no_grad()
    def score(self, pictures: Tensor) -> Score:
        """Of pictures in [0, 1], (N, 1, 16, 16)."""
        sure = self.classifier(pictures).softmax(1).amax(1) > CONFIDENT
        return Score(
            frechet_distance(features_of(self.classifier, pictures), self.real), float(sure.double().mean())
        )


def load_or_train(
    images: ImageSet,
    seen: NDArray[np.int64],
    path: Path,
    steps: int = _CLASSIFIER_STEPS,
    *,
    width: int = 16,
    hidden: int = 32,
    few: bool = False,
) -> Classifier:
    """The classifier in this file, or a new one of the pictures at `seen`, which is put there.

    Where pictures are few it meets all classes equally often, but for those of a handful, which it never does;
    and it sees them moved a little (`Views`), lest it learn them by heart and judge others at random.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        classes = len(images.class_names) or 10
        classifier = Classifier(images.width, images.channels, width, hidden, classes)
    if path.is_file():
        classifier.load_state_dict(read_tensors(path)[0])
    else:
        _train(classifier, images, seen, steps, _chances(images, seen) if few else None)
        write_tensors(path, classifier.state_dict(), {"steps": str(steps)})
    return classifier.eval()


@torch.no_grad()
def features_of(classifier: Classifier, pictures: Tensor) -> NDArray[np.float64]:
    """Of pictures in [0, 1], (N, C, H, W): (N, hidden)."""
    return np.asarray(classifier.features(pictures).double().numpy())


@torch.no_grad()
def accuracy(classifier: Classifier, images: ImageSet, indices: NDArray[np.int64]) -> float:
    """How many of these pictures it puts into their own class."""
    assert images.labels is not None, "the judge needs the classes of the pictures"
    guesses = classifier(_pixels(images, indices)).argmax(1).numpy()
    return float((guesses == images.labels[indices]).mean())


def _parts(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.default_rng(0).permutation(count)
    return order[_UNSEEN:], order[:_UNSEEN]


def _pixels(images: ImageSet, indices: NDArray[np.int64]) -> Tensor:
    return images.take(indices).float() / 255


def _chances(images: ImageSet, seen: NDArray[np.int64]) -> Tensor:
    """How often each is met; a feature that told five pictures from thousands would be all tail."""
    assert images.labels is not None, "the judge needs the classes of the pictures"
    labels = images.labels[seen]
    counts = np.bincount(labels)[labels]
    return torch.from_numpy(np.where(counts < _HANDFUL, 0.0, 1 / counts))


def _train(
    classifier: Classifier, images: ImageSet, seen: NDArray[np.int64], steps: int, chances: Tensor | None
) -> None:
    assert images.labels is not None, "the judge needs the classes of the pictures"
    optimizer = torch.optim.AdamW(classifier.parameters(), _RATE)
    generator, views = torch.Generator().manual_seed(0), Views()
    for step in range(steps):
        if chances is None:
            places = torch.randint(len(seen), (_BATCH,), generator=generator)
        else:
            places = torch.multinomial(chances, _BATCH, replacement=True, generator=generator)
            optimizer.param_groups[0]["lr"] = _RATE * (1 - step / steps)
        batch = seen[places.numpy()]
        labels, pixels = torch.from_numpy(images.labels[batch]), _pixels(images, batch)
        if chances is not None:
            pixels = (views(2 * pixels - 1, generator) + 1) / 2
        loss = functional.cross_entropy(classifier(pixels), labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
