"""What a small classifier sees in samples is compared with what it sees in pictures that the run held out."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.judging import Classifier, accuracy, features_of, frechet_distance, load_or_train
from benchmarks.solver_page import REAL, Row
from unnoise.cli.console import count
from unnoise.data import ImageSet, load
from unnoise.data.batches import Split, split
from unnoise.evaluation.metrics import kernel_distance
from unnoise.runs.checkpoint import Run
from unnoise.utils.errors import require

_CLASSIFIER_STEPS = 2000
_STANDARDISED_OVER = 5000


class Judge(NamedTuple):
    """What tells samples from held-out pictures."""

    classifier: Classifier
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    training: NDArray[np.float64]
    references: NDArray[np.float64]
    accuracy: float

    def features(self, pictures: Tensor) -> NDArray[np.float64]:
        """Of pictures in [0, 1]: each has mean 0 and deviation 1 over training pictures, so that all count."""
        return self.standardised(features_of(self.classifier, pictures))

    def standardised(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(x - centre) / scale."""
        return np.asarray((features - self.centre) / self.scale)

    def distances(self, features: NDArray[np.float64]) -> dict[str, float]:
        """Both, to the held-out pictures."""
        kernel = kernel_distance(torch.from_numpy(features), torch.from_numpy(self.references))
        return {"kid": float(kernel), "frechet": frechet_distance(features, self.references)}

    @property
    def words(self) -> str:
        """What the distances are, in a sentence or two."""
        return (
            f"Both distances are between the {self.references.shape[1]} features of a small classifier that "
            f"learned the run's training pictures ({self.accuracy:.1%} right on the held-out ones), "
            "each scaled to a deviation of 1, of samples and of "
            f"{count(len(self.references), 'held-out picture')}. They are no standard KID and FID, and compare "
            "with nothing outside this page."
        )

    def real(self, seeds: int, samples: int) -> list[Row]:
        """Training pictures in the place of samples: what a perfect model would reach."""
        rows = []
        for seed in range(seeds):
            chosen = np.random.default_rng(seed).permutation(len(self.training))[:samples]
            shared = {"solver": REAL, "spacing": "", "calls": 0, "taken": 0, "weights": "", "seconds": 0.0}
            rows.append(
                Row(**shared, seed=seed, samples=samples, **self.distances(self.training[chosen]))  # type: ignore[arg-type]
            )
        return rows


def judge_of(run: Run, log: Path) -> Judge:
    """A classifier of the run's training pictures, kept beside the log."""
    data = run.config.data
    images = load(
        data.source,
        size=(data.height, data.width),
        channels=data.channels,
        fit=data.fit,
        background=data.background,
        labels=True,
    )
    require(
        images.fingerprint == data.fingerprint and data.channels == 1 and data.held_out >= 2,
        f"Samplers are compared with grey held-out pictures of the run, but {data.source} has other pictures.",
    )
    parts = split(len(images), data.held_out, run.config.seed)
    return judge_for(images, parts, log.with_suffix(".judge.safetensors"))


def judge_for(images: ImageSet, parts: Split, path: Path) -> Judge:
    """A classifier of the training pictures, kept in this file, and what it makes of the held-out ones."""
    classifier = load_or_train(images, parts.training, path, _CLASSIFIER_STEPS)
    chosen = np.random.default_rng(0).permutation(parts.training)[:_STANDARDISED_OVER]
    training, references = (
        features_of(classifier, images.take(part).float() / 255) for part in (chosen, parts.held_out)
    )
    raw = Judge(
        classifier,
        training.mean(0),
        training.std(0) + 1e-6,
        training,
        references,
        accuracy(classifier, images, parts.held_out),
    )
    return raw._replace(training=raw.standardised(training), references=raw.standardised(references))
