"""A step of DDIM is undone exactly, so that noises and pictures are two names of one thing."""

import math

import pytest
import torch

from helpers.oracles import Gaussian, column, last
from unnoise.diffusion.editing import invert, inverted_noises, noises_between, redraw, vary
from unnoise.diffusion.editing.inversion import _Extrapolation
from unnoise.diffusion.interpolation import slerp
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.schedules import LinearBeta, LogSNRLinear, OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.utils.errors import UnnoiseError

CLEAN = OffsetCosine(0.002, 0.9999)
BOOK = OffsetCosine()
CHAIN = LinearBeta(200)


def normal(count=6, seed=0):
    return torch.randn(count, 2, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Mixture:
    """The exact denoiser of equal parts of N(m, std^2), m = -1 and 1, pixel by pixel: far from linear.

    x_0 = (alpha std^2 x + sigma^2 tanh(alpha x / v)) / v for v = alpha^2 std^2 + sigma^2.
    """

    def __init__(self, std=0.4):
        self.std, self.calls = std, 0

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        self.calls += 1
        variance = signal_rates.square() * self.std**2 + noise_rates.square()
        side = torch.tanh(signal_rates * noisy_images / variance)
        images = (signal_rates * self.std**2 * noisy_images + noise_rates.square() * side) / variance
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)


def times(schedule, num_steps):
    return schedule.times(num_steps) if schedule is CHAIN else None


@pytest.mark.parametrize("schedule", [CLEAN, BOOK, LogSNRLinear(), CHAIN], ids=repr)
@pytest.mark.parametrize("denoise", [Gaussian(0.3, 0.7), Mixture()], ids=["gaussian", "mixture"])
@pytest.mark.parametrize("num_steps", [1, 10, 50])
def test_there_and_back_again(schedule, denoise, num_steps):
    """Pictures that the denoiser can see come back to the tolerance, at any number of steps."""
    grid = {"times": times(schedule, num_steps)}
    images = last(ddim(denoise, normal(), num_steps, schedule, **grid)).images
    steps = list(invert(denoise, images, num_steps, schedule, tolerance=1e-6, max_iterations=60, **grid))
    assert len(steps) == num_steps
    assert all(step.misfits.max() <= 1e-6 for step in steps)
    back = last(ddim(denoise, steps[-1].noisy_images, num_steps, schedule, **grid)).images
    torch.testing.assert_close(back, images, atol=1e-4, rtol=0)
    if isinstance(denoise, Gaussian):  # one to one, so the noises are the same as well
        torch.testing.assert_close(steps[-1].noisy_images, normal(), atol=0.02, rtol=0)


def test_the_usual_inversion_drifts_and_this_one_does_not():
    """Eps at the wrong end of each step is wrong to first order (the error of Dhariwal and Nichol's form)."""
    denoise, images = Mixture(), last(ddim(Mixture(), normal(), 50, CLEAN)).images
    usual = last(invert(denoise, images, 50, CLEAN, max_iterations=2, tolerance=0.0)).noisy_images
    exact = last(invert(denoise, images, 50, CLEAN, tolerance=1e-4)).noisy_images
    errors = [
        (last(ddim(denoise, noises, 50, CLEAN)).images - images).abs().mean().item()
        for noises in (usual, exact)
    ]
    assert errors[1] < 1e-3 < errors[0] / 2


def test_calls_are_counted():
    denoise = Mixture()
    images = last(ddim(denoise, normal(), 20, CLEAN)).images
    denoise.calls = 0
    counts = [step.calls for step in invert(denoise, images, 20, CLEAN)]
    assert counts == sorted(set(counts))
    assert counts[-1] == denoise.calls <= 4 * 20
    denoise.calls = 0
    assert last(invert(denoise, images, 20, CLEAN, max_iterations=1)).calls == denoise.calls == 20


def test_the_closed_form_of_the_first_step_back():
    """For N(0, 1) a step is a rotation, so the inverse divides by its cosine; the last one ends in x_0."""
    images = normal()
    _, signals = (rates.flatten().tolist() for rates in CLEAN(column(0.5, 1, dtype=torch.float64)))
    noises = [math.sqrt(1 - signal**2) for signal in signals]
    first, second = invert(Gaussian(), images, 2, CLEAN, tolerance=1e-9)
    torch.testing.assert_close(first.noisy_images, images / signals[0])
    cosine = noises[0] * noises[1] + signals[0] * signals[1]
    torch.testing.assert_close(second.noisy_images, images / signals[0] / cosine)
    assert second.calls <= 4  # exact after one move each


def test_details_that_the_denoiser_never_sees_are_left_out():
    """The book's schedule ends in noise: where the data has no spread, no noisy image shows this image."""
    image = normal(1)
    inverted = last(invert(Gaussian(0.0, 1e-3), image, 10, BOOK))
    assert torch.isfinite(inverted.noisy_images).all()
    assert all(step.misfits.isfinite().all() for step in invert(Gaussian(0.0, 1e-3), image, 10, BOOK))


def test_anderson_solves_a_linear_map_of_two_eigenvalues_in_three_moves():
    matrix = torch.diag(torch.tensor([0.9, 0.9, -3.0, -3.0], dtype=torch.float64))
    target = torch.arange(1.0, 5.0, dtype=torch.float64)
    extrapolation, place = _Extrapolation(), torch.zeros(1, 1, 2, 2, dtype=torch.float64)
    for _ in range(4):
        place = extrapolation(place, (target - matrix @ place.flatten()).view_as(place))
    torch.testing.assert_close(matrix @ place.flatten(), target, atol=1e-3, rtol=0)


def test_every_picture_is_inverted_for_itself():
    images = last(ddim(Mixture(), normal(), 10, CLEAN)).images
    together = inverted_noises(Mixture(), images, 10, CLEAN)
    alone = inverted_noises(Mixture(), images[2:3], 10, CLEAN)
    torch.testing.assert_close(alone[0], together[2], atol=5e-3, rtol=0)


# --- strength ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [CLEAN, CHAIN], ids=["continuous", "chain"])
def test_strength_from_the_picture_itself_to_a_new_one(schedule):
    images, noises, grid = normal(seed=1), normal(seed=2), {"times": times(schedule, 10)}
    (untouched,) = redraw(Mixture(), images, noises, 0.0, 10, schedule, **grid)
    assert torch.equal(untouched.images, images)
    whole = last(redraw(Mixture(), images, noises, 1.0, 10, schedule, **grid)).images
    assert torch.equal(whole, last(ddim(Mixture(), noises, 10, schedule, **grid)).images)
    distances = [
        (last(redraw(Mixture(), images, noises, strength, 10, schedule, **grid)).images - images)
        .square()
        .mean()
        .item()
        for strength in (0.0, 0.2, 0.4, 0.6, 0.8)
    ]
    assert distances == sorted(distances)
    calls = Mixture()
    assert len(list(redraw(calls, images, noises, 0.3, 10, schedule, **grid))) == calls.calls == 3


def test_strength_in_closed_form():
    """From the picture's own mixture the ODE of N(0, 1) rotates; half of the way is the product over half."""
    images, noises, steps = normal(seed=1), normal(seed=2), 8
    angles = [
        math.atan2(*(float(rate) for rate in CLEAN(column(k / steps, dtype=torch.float64)))) for k in range(9)
    ]
    start = math.cos(angles[4]) * images + math.sin(angles[4]) * noises
    scale = math.cos(angles[1]) * math.prod(math.cos(angles[k] - angles[k - 1]) for k in (2, 3, 4))
    drawn = last(redraw(Gaussian(), images, noises, 0.5, steps, CLEAN)).images
    torch.testing.assert_close(drawn, scale * start)


# --- variations ----------------------------------------------------------------------------------------------


def test_variations_go_from_the_picture_to_another():
    images = last(ddim(Mixture(), normal(3), 20, CLEAN)).images
    others = normal(6, seed=5)
    same = last(vary(Mixture(), images, others, 0.0, 20, CLEAN)).images
    torch.testing.assert_close(same, images.repeat(2, 1, 1, 1), atol=0.02, rtol=0)
    new = last(vary(Mixture(), images, others, 1.0, 20, CLEAN)).images
    torch.testing.assert_close(new, last(ddim(Mixture(), others, 20, CLEAN)).images)
    some = last(vary(Mixture(), images, others, 0.3, 20, CLEAN)).images
    own = inverted_noises(Mixture(), images, 20, CLEAN).repeat(2, 1, 1, 1)
    between = slerp(own, others, torch.full((6, 1, 1, 1), 0.3, dtype=torch.float64))
    torch.testing.assert_close(some, last(ddim(Mixture(), between, 20, CLEAN)).images)


def test_a_way_between_pictures_meets_them():
    images = last(ddim(Mixture(), normal(3), 20, CLEAN)).images
    way = noises_between(Mixture(), images, 5, 20, CLEAN)
    drawn = last(ddim(Mixture(), way, 20, CLEAN)).images
    torch.testing.assert_close(drawn[::2], images, atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: list(invert(Mixture(), x, 0)), "at least 1 step"),
        (lambda x: list(invert(Mixture(), x, 5, max_iterations=0)), "at least 1 iteration"),
        (lambda x: list(redraw(Mixture(), x, x, 1.5)), "strength goes from 0"),
        (lambda x: list(redraw(Mixture(), x, x, float("nan"))), "strength goes from 0"),
        (lambda x: list(redraw(Mixture(), x, x, 0.5, 0)), "at least 1 step"),
        (lambda x: list(vary(Mixture(), x, x, -0.1)), "amount of variation"),
        (lambda x: list(vary(Mixture(), x, x[:4], 0.1)), "as many noises"),
        (lambda x: CHAIN.times(201), "1 to 200 steps, but got 201"),
    ],
)
def test_bad_arguments(call, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        call(normal())
