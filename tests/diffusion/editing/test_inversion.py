"""DDIM inversion: exact to its tolerance, its calls, and Anderson acceleration."""

import math

import pytest
import torch

from helpers.sampling import column, last
from helpers.two_peaks import TwoPeaks, normal
from unnoise.diffusion.editing import invert, inverted_noises
from unnoise.diffusion.editing.inversion import AndersonAcceleration
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.schedules import LinearBeta, LogSNRLinear, OffsetCosine
from unnoise.utils.errors import UnnoiseError

CLEAN = OffsetCosine(0.002, 0.9999)
BOOK = OffsetCosine()
CHAIN = LinearBeta(200)


def times(schedule, num_steps):
    return schedule.times(num_steps) if schedule is CHAIN else None


@pytest.mark.parametrize("schedule", [CLEAN, BOOK, LogSNRLinear(), CHAIN], ids=repr)
@pytest.mark.parametrize("denoise", [Gaussian(0.3, 0.7), TwoPeaks()], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("num_steps", [1, 10, 50])
def test_ddim_from_the_inverted_noises_gives_the_images_back(schedule, denoise, num_steps):
    """For images that DDIM can sample, to the tolerance, for every number of steps."""
    grid = {"times": times(schedule, num_steps)}
    images = last(ddim(denoise, normal(), num_steps, schedule, **grid)).images
    steps = list(invert(denoise, images, num_steps, schedule, tolerance=1e-6, max_iterations=60, **grid))
    assert len(steps) == num_steps
    assert all(step.misfits.max() <= 1e-6 for step in steps)
    back = last(ddim(denoise, steps[-1].noisy_images, num_steps, schedule, **grid)).images
    torch.testing.assert_close(back, images, atol=1e-4, rtol=0)
    if isinstance(denoise, Gaussian):  # DDIM is one to one here, so the noises are the same
        torch.testing.assert_close(steps[-1].noisy_images, normal(), atol=0.02, rtol=0)


def test_it_is_more_exact_than_the_usual_inversion():
    """Which evaluates eps at the other end of each step (Dhariwal and Nichol), with an error of first order."""
    denoise, images = TwoPeaks(), last(ddim(TwoPeaks(), normal(), 50, CLEAN)).images
    usual = last(invert(denoise, images, 50, CLEAN, max_iterations=2, tolerance=0.0)).noisy_images
    exact = last(invert(denoise, images, 50, CLEAN, tolerance=1e-4)).noisy_images
    errors = [
        (last(ddim(denoise, noises, 50, CLEAN)).images - images).abs().mean().item()
        for noises in (usual, exact)
    ]
    assert errors[1] < 1e-3 < errors[0] / 2


def test_calls_of_the_denoiser_are_counted():
    denoise = TwoPeaks()
    images = last(ddim(denoise, normal(), 20, CLEAN)).images
    denoise.calls = 0
    counts = [step.calls for step in invert(denoise, images, 20, CLEAN)]
    assert counts == sorted(set(counts))
    assert counts[-1] == denoise.calls <= 4 * 20
    denoise.calls = 0
    assert last(invert(denoise, images, 20, CLEAN, max_iterations=1)).calls == denoise.calls == 20


def test_inverted_steps_for_normal_data_equal_their_closed_form():
    """For N(0, 1) a step multiplies by a cosine, and the inverse divides by it; the last step ends in x_0."""
    images = normal()
    _, signals = (rates.flatten().tolist() for rates in CLEAN(column(0.5, 1, dtype=torch.float64)))
    noises = [math.sqrt(1 - signal**2) for signal in signals]
    first, second = invert(Gaussian(), images, 2, CLEAN, tolerance=1e-9)
    torch.testing.assert_close(first.noisy_images, images / signals[0])
    cosine = noises[0] * noises[1] + signals[0] * signals[1]
    torch.testing.assert_close(second.noisy_images, images / signals[0] / cosine)
    assert second.calls <= 4  # exact after one iteration each


def test_images_that_the_denoiser_never_predicts_give_finite_noises():
    """With almost constant data and a schedule that ends with noise, as the book's."""
    image = normal(1)
    inverted = last(invert(Gaussian(0.0, 1e-3), image, 10, BOOK))
    assert torch.isfinite(inverted.noisy_images).all()
    assert all(step.misfits.isfinite().all() for step in invert(Gaussian(0.0, 1e-3), image, 10, BOOK))


def test_anderson_acceleration_solves_a_linear_map_of_two_eigenvalues_in_three_iterations():
    matrix = torch.diag(torch.tensor([0.9, 0.9, -3.0, -3.0], dtype=torch.float64))
    target = torch.arange(1.0, 5.0, dtype=torch.float64)
    extrapolation, place = AndersonAcceleration(), torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    for _ in range(4):
        place = extrapolation(place, (target - matrix @ place.flatten()).view_as(place))
    torch.testing.assert_close(matrix @ place.flatten(), target, atol=1e-3, rtol=0)


def test_each_image_is_inverted_separately():
    images = last(ddim(TwoPeaks(), normal(), 10, CLEAN)).images
    together = inverted_noises(TwoPeaks(), images, 10, CLEAN)
    alone = inverted_noises(TwoPeaks(), images[2:3], 10, CLEAN)
    torch.testing.assert_close(alone[0], together[2], atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: list(invert(TwoPeaks(), x, 0)), "at least 1 step"),
        (lambda x: list(invert(TwoPeaks(), x, 5, max_iterations=0)), "max_iterations must be at least 1"),
    ],
)
def test_bad_arguments_raise(call, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        call(normal())
