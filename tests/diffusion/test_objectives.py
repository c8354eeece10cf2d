"""Objectives: conversions between noise, image, velocity and flow, and losses in closed form."""

import itertools
import math
import subprocess
import sys

import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.objectives import Objective, distance, velocity
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction, mix

TARGETS = ("noise", "image", "velocity", "flow")


def batch(count: int = 64, dtype=torch.float32):
    rates = OffsetCosine()(torch.rand(count, 1, 1, 1, dtype=dtype))
    truth = Prediction(torch.randn(count, 3, 5, 4, dtype=dtype), torch.randn(count, 3, 5, 4, dtype=dtype))
    return truth, mix(truth.images, truth.noises, *rates), rates


@pytest.mark.row("C1", "T3")
@pytest.mark.parametrize("predicts", TARGETS)
def test_a_perfect_output_separates_into_the_true_noises_and_images(predicts):
    truth, noisy_images, rates = batch()
    objective = Objective(predicts)
    prediction = objective.separate(objective.target(truth, *rates), noisy_images, *rates)
    scale = 50 if predicts == "noise" else 1  # errors grow by 1 / signal_rate, which is at most 50 here
    torch.testing.assert_close(prediction.noises, truth.noises, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(prediction.images, truth.images, atol=1e-6 * scale, rtol=1e-5)


@pytest.mark.row("T3", "C1")
@pytest.mark.parametrize("predicts", TARGETS)
def test_any_output_mixes_back_to_the_noisy_image(predicts):
    _, noisy_images, rates = batch()
    output = torch.randn_like(noisy_images)
    prediction = Objective(predicts).separate(output, noisy_images, *rates)
    torch.testing.assert_close(
        mix(prediction.images, prediction.noises, *rates), noisy_images, atol=1e-5, rtol=1e-5
    )


@pytest.mark.row("C1")
def test_each_target_converts_into_every_other():
    truth, noisy_images, rates = batch(dtype=torch.float64)
    for first, second in itertools.permutations(TARGETS, 2):
        through = Objective(first).separate(Objective(first).target(truth, *rates), noisy_images, *rates)
        output = Objective(second).target(through, *rates)
        back = Objective(second).separate(output, noisy_images, *rates)
        torch.testing.assert_close(back.noises, truth.noises, atol=1e-9, rtol=1e-9)
        torch.testing.assert_close(back.images, truth.images, atol=1e-9, rtol=1e-9)


@pytest.mark.row("C1")
def test_velocity_is_the_derivative_along_the_angle():
    truth, _, _ = batch(4)
    angle, step = torch.tensor(0.7, dtype=torch.float64), 1e-5
    images, noises = truth.images.double(), truth.noises.double()

    def at(value):
        return mix(images, noises, value.sin().expand(4, 1, 1, 1), value.cos().expand(4, 1, 1, 1))

    slope = (at(angle + step) - at(angle - step)) / (2 * step)
    rates = angle.sin().expand(4, 1, 1, 1), angle.cos().expand(4, 1, 1, 1)
    torch.testing.assert_close(slope, velocity(Prediction(noises, images), *rates), atol=1e-8, rtol=1e-8)


@pytest.mark.row("C2")
@pytest.mark.parametrize(("predicts", "compares"), list(itertools.product(TARGETS, TARGETS)))
def test_every_predicted_target_with_every_compared_one(predicts, compares):
    """The squared errors differ only by the weights n^2 / s^2 between noise, velocity and image."""
    truth, noisy_images, (noise_rates, signal_rates) = batch(256)
    objective = Objective(predicts, compares, "l2")
    prediction = objective.separate(torch.randn_like(noisy_images), noisy_images, noise_rates, signal_rates)
    loss = objective.compare(prediction, truth, noise_rates, signal_rates)
    noise_errors = (prediction.noises - truth.noises).square()
    # a wrong noise of e makes the image wrong by -n e / s and the velocity by e / s
    factor = {
        "noise": torch.ones_like(noise_rates),
        "image": (noise_rates / signal_rates) ** 2,
        "velocity": signal_rates**-2,
        "flow": ((signal_rates + noise_rates) / signal_rates) ** 2,
    }[compares]
    torch.testing.assert_close(loss.mean(), (noise_errors * factor).mean(), rtol=2e-3, atol=1e-4)
    perfect = objective.separate(
        objective.target(truth, noise_rates, signal_rates), noisy_images, noise_rates, signal_rates
    )
    assert objective.compare(perfect, truth, noise_rates, signal_rates).max() < 1e-7


@pytest.mark.row("U6", "T6", "H5")
@pytest.mark.parametrize(
    ("loss", "expected"),
    [("l1", math.sqrt(2 / math.pi)), ("l2", 1.0), ("huber", 0.424660)],
)
def test_losses_of_a_zero_output_on_a_normal_target(loss, expected):
    normal = torch.distributions.Normal(0.0, 1.0)
    quantiles = normal.icdf((torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000)
    target = quantiles.float().view(1, 1, 400, 500)
    assert distance(loss, torch.zeros_like(target), target).item() == pytest.approx(expected, abs=1e-3)


@pytest.mark.row("C2")
def test_predictions_are_finite_without_noise_and_without_signal():
    noisy_images = torch.randn(2, 1, 4, 4)
    for predicts in TARGETS:
        prediction = Objective(predicts).separate(noisy_images, noisy_images, column(0, 1), column(1, 0))
        assert torch.isfinite(torch.cat(prediction[:2])).all()


UNKNOWN_NAMES = """
from unnoise.diffusion.objectives import Objective
from unnoise.utils.errors import UnnoiseError

for names in ("score",), ("noise", "x0"), ("noise", "noise", "l3"):
    try:
        Objective(*names)
    except UnnoiseError as error:
        print(error)
"""


@pytest.mark.row("C2", "H5")
def test_unknown_names_raise():
    # In another process, since the run-time type check of the tests would raise first.
    done = subprocess.run([sys.executable, "-c", UNKNOWN_NAMES], capture_output=True, text=True, check=False)
    sentences = done.stdout.splitlines()
    assert len(sentences) == 3, done.stderr
    for sentence, name in zip(sentences, ("predicts", "compares", "loss"), strict=True):
        assert sentence.startswith(f"Objective's {name} is one of")
