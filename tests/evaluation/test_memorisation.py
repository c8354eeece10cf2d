"""Memorisation reports of samples that are copies, and of samples that are not."""

import itertools

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from helpers.runs import digits
from unnoise import Diffusion, Normalizer, pictures
from unnoise.data.batches import Split
from unnoise.diffusion.noise_levels import LogNormal
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.evaluation import ReferencePictures, TimeBudget, check_memorisation, nearest_pairs
from unnoise.evaluation.memorisation import pixel_vectors, verdict
from unnoise.evaluation.metrics import detect_copies
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig

ORDER = np.random.default_rng(0).permutation(1797)


def looked_at(samples: torch.Tensor, split: Split, budget: TimeBudget | None = None):
    """The report on samples, (N, 1, 8, 8), with their pixels in place of features."""
    images, references = digits(), ReferencePictures("held-out", *split)
    real = images.take(references.all_indices).flatten(1).float()
    return check_memorisation(samples, samples.flatten(1).float(), real, images, references, split, budget)


def split(training: int, held_out: int = 200) -> Split:
    return Split(np.sort(ORDER[:training]), np.sort(ORDER[1797 - held_out :]))


class Empirical:
    """The exact denoiser of data that is nothing but these pictures: it knows them by heart."""

    def __init__(self, data: torch.Tensor) -> None:
        self.data = data

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        scaled = noisy_images.flatten(1) / signal_rates.flatten(1)
        distances = torch.cdist(scaled, self.data.flatten(1)).square()
        weights = (-distances / (2 * (noise_rates / signal_rates).flatten(1).square())).softmax(1)
        images = (weights @ self.data.flatten(1)).view_as(noisy_images)
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)


@pytest.mark.parametrize(("seconds", "step"), [(0.001, 1), (30.0, 3)])
def test_as_many_training_pictures_are_searched_as_there_is_time_for(seconds, step):
    """By a clock that each look at moves on: with much time all are, as without a limit, else each k-th."""
    parts, looks = split(1500), itertools.count()
    samples = digits().take(ORDER[:100])
    found = looked_at(samples, parts, TimeBudget(1, lambda: seconds * next(looks)))
    for searched in found.searched:
        assert np.array_equal(searched, parts.training[::step])
    if step == 1:
        assert (found.features.distances == looked_at(samples, parts).features.distances).all()
    assert (found.features.nearest < len(found.searched[0])).all()


def test_samples_of_the_exact_denoiser_of_50_digits_are_copies():
    parts = split(50)
    data = digits().take(parts.training).float() / 127.5 - 1
    noises = torch.randn(100, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for prediction in ddim(Empirical(data), noises, 30, OffsetCosine(0.02, 0.99)):
        images = prediction.images
    found = looked_at((127.5 * (images + 1)).round().clamp(0, 255).to(torch.uint8), parts)
    assert found.verdict.startswith("It copies: 100% of 100 samples")
    assert found.pixels.index.low > 0.9


def test_unseen_digits_are_not_copies():
    parts = split(1000)
    fresh = digits().take(np.sort(ORDER[1000:1500]))
    found = looked_at(fresh, parts)
    assert found.verdict.startswith("No sign of copying: 0.")
    assert "% of 500 samples" in found.verdict
    assert found.pixels.index.low < 0.5 < found.pixels.index.high


class Dense(nn.Module):
    """Three layers that see all pixels at once: the quickest way to learn a few pictures by heart."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(64 + 16, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 64),
        )

    def forward(self, noisy_images, conditions):
        angles = conditions.flatten(1) * torch.arange(1, 9)
        seen = torch.cat([noisy_images.flatten(1), angles.sin(), angles.cos()], 1)
        return self.layers(seen).view_as(noisy_images)


def samples_of_a_training(parts: Split, steps: int) -> torch.Tensor:
    images, random = digits(), np.random.default_rng(1)
    torch.manual_seed(0)
    diffusion = Diffusion(
        Dense(256),
        (1, 8, 8),
        normalizer=Normalizer.fit(images.take(parts.training)),
        schedule=OffsetCosine(0.002, 0.9999),
        objective=Objective("velocity", "velocity", "l2"),
        noise_levels=LogNormal(-0.5, 1.2, stratified=True),
        optimizer=OptimizerConfig(
            name="muon", learning_rate=0.02, weight_decay=0.0, betas=(0.9, 0.99), max_gradient_norm=1.0
        ),
        ema=EMAConfig(decay=0.97),
    )
    for step in range(steps):
        diffusion.weights.set_learning_rate(0.02 * (1 - step / steps))
        diffusion.train_step(images.take(random.choice(parts.training, 128)))
    return torch.from_numpy(pictures.to_bytes(diffusion.ema.generate(128, 40, eta=1.0))).permute(0, 3, 1, 2)


@pytest.mark.slow
def test_a_network_trained_on_12_digits_copies_and_one_of_1500_does_not():
    few, many = split(12), split(1500)
    found = looked_at(samples_of_a_training(few, 200), few)
    assert found.verdict.startswith("It copies: ")
    assert found.pixels.copied.low > 0.1
    found = looked_at(samples_of_a_training(many, 60), many)
    assert found.verdict.startswith("No sign of copying: ")


def test_the_verdict_is_the_worse_of_features_and_pixels():
    random = torch.Generator().manual_seed(0)
    training, held_out, fresh = (torch.randn(n, 8, generator=random) for n in (300, 100, 200))
    half = torch.cat([training[:100] + 1e-4, fresh[:100]])
    healthy, copies = detect_copies(fresh, training, held_out), detect_copies(half, training, held_out)
    assert verdict(healthy, copies) == (
        "It copies: 50% of 200 samples are far nearer to a training picture than unseen pictures are "
        "(by their pixels)."
    )
    assert "(by their features)" in verdict(copies, healthy)
    assert verdict(healthy, healthy).startswith("No sign of copying: 0.")
    # Half way to a training picture, but no nearer to it than to its neighbours.
    near = detect_copies(0.75 * training[:200] + 0.25 * training[100:], training, held_out)
    assert near.copied.low < 0.02
    assert verdict(healthy, near).startswith("It leans on its training pictures without copying them: ")


def test_nearest_pairs_are_sorted_and_show_each_training_picture_once(monkeypatch):
    parts = split(50)
    images = digits()
    copied = images.take(parts.training[[7, 7, 3]])
    copied[1:, :, 0, 0] += 1  # the two others are copies nearly, and farther off
    copied[2, :, 4, 4] = 255 - copied[2, :, 4, 4]
    samples = torch.cat([images.take(parts.held_out), copied])
    found = looked_at(samples, parts)
    drawn = {}
    sheet = Image.new("RGB", (1, 1))
    monkeypatch.setattr(pictures, "pairs", lambda *given, **named: drawn.update(given=given) or sheet)
    assert nearest_pairs(found, samples, images) is sheet
    upper, lower, captions = drawn["given"]
    assert len(captions) == len(upper) == len(lower) == 12
    assert captions == sorted(captions, key=float)
    assert captions[0] == "0.00"
    assert torch.equal(upper[0], lower[0])
    assert torch.equal(upper[0] * 255, images.take(parts.training[[7]])[0].float())
    shown = {tuple(one.flatten().tolist()) for one in lower}
    assert len(shown) == 12


def test_large_pictures_are_averaged_before_their_pixels_are_compared():
    """Of 64 x 32 the means of 2 x 2 pixels, so that noise counts a fourth."""
    pixels = torch.randint(0, 256, (3, 1, 64, 32), dtype=torch.uint8)
    small = pixel_vectors(pixels)
    blocks = pixels.float().view(3, 32, 2, 16, 2).mean((2, 4)).flatten(1) / 255
    torch.testing.assert_close(small, blocks)


def test_pairs_show_both_pictures_of_each():
    upper, lower = torch.zeros(8, 3, 8, 8), torch.ones(8, 3, 8, 8)
    drawn = np.asarray(pictures.pairs(upper, lower, ["0.5"] * 8, rows=("sample", "training"), title="Title"))
    black, white = (drawn.sum(2) == value for value in (0, 765))
    assert black.mean() > 0.15  # eight squares of about an eighth of the width
    columns = np.flatnonzero(black.any(0))
    assert columns.min() > 20
    assert drawn.shape[1] > 900
    with pytest.raises(ValueError, match="two images and a caption, but got 8, 8 and 1"):
        pictures.pairs(upper, lower, ["0.5"], rows=("a", "b"))
    assert white.any()
