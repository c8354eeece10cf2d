"""Measures of the ablations: held-out errors, Fréchet distance, and the share of confident pictures.

The losses of runs with different objectives cannot be compared. So all runs denoise the same held-out pictures
with the same noises, scaled so that every run sees the same noisy pixels whatever it is normalised by; and a
small classifier of the digits judges what they generate.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from benchmarks.classifier import Classifier, accuracy, features_of, load_or_train, pixels
from unnoise.data import ImageSet
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.schedules import rates_of_log_snr
from unnoise.diffusion.tensors import mix
from unnoise.evaluation.metrics import frechet_distance

NOISE_LEVELS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Standard deviations of the noise relative to the signal, in units of the data set's own deviation."""

CONFIDENT = 0.9
SAMPLES = 200
_CLASSIFIER_STEPS = 400
_UNSEEN = 300


class Errors(NamedTuple):
    """Mean squared errors over `NOISE_LEVELS`: of the noises (variance 1), and of the images in [0, 1]."""

    noises: float
    images: float


class Score(NamedTuple):
    """Fréchet distance of pictures to real ones, and the share that the classifier is confident of."""

    frechet: float
    confident: float


@torch.no_grad()
def held_out_errors(model: Denoiser, pictures: Tensor, data_std: float) -> Errors:
    r"""A network's errors on pictures, uint8 (N, 1, H, W), with the same noises for every run.

    In pixels a noisy image is x + (sigma / alpha) std eps, with std the normaliser's: so sigma / alpha is
    level * data_std / std.
    """
    normalizer = model.normalizer
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


class DigitJudge:
    """A classifier of the digits, and the features of real ones. Its distance is not a standard FID."""

    def __init__(self, images: ImageSet, classifier: Classifier) -> None:
        self.classifier = classifier.eval()
        seen, unseen = _parts(len(images))
        self.real = features_of(classifier, pixels(images, seen))
        unseen_pixels = pixels(images, unseen)
        self.accuracy = accuracy(classifier, images, unseen)
        self.of_real = self.score(unseen_pixels[:SAMPLES])
        noise = torch.rand(SAMPLES, *unseen_pixels.shape[1:], generator=torch.Generator().manual_seed(0))
        self.of_noise = self.score(noise)

    @classmethod
    def load_or_train(cls, images: ImageSet, path: Path) -> "DigitJudge":
        """The judge with the classifier in this file, or with a new one, which is written there."""
        return cls(images, load_or_train(images, _parts(len(images))[0], path, _CLASSIFIER_STEPS))

    @torch.no_grad()
    def score(self, pictures: Tensor) -> Score:
        """The score of pictures in [0, 1], (N, 1, 16, 16)."""
        confident = self.classifier(pictures).softmax(1).amax(1) > CONFIDENT
        distance = frechet_distance(features_of(self.classifier, pictures), self.real)
        return Score(float(distance), float(confident.double().mean()))


def _parts(count: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    order = np.random.default_rng(0).permutation(count)
    return order[_UNSEEN:], order[:_UNSEEN]
