"""Consistency sampler: mean and variance in closed form for Gaussian data, where every step is linear."""

import math

import pytest
import torch

from helpers.sampling import last
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import consistency, time_grid
from unnoise.diffusion.schedules import Cosine, OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.utils.errors import UnnoiseError

MEAN, STD = 0.3, 0.5


def affine(denoise, num_steps, schedule, first=1.0):
    """The image as a constant plus a factor times each noise, the initial ones and all that are drawn."""
    names = torch.eye(num_steps + 1, num_steps, dtype=torch.float64).T.reshape(
        num_steps, num_steps + 1, 1, 1, 1
    )
    draws = iter(names[1:])
    walk = consistency(denoise, first * names[0], num_steps, schedule, draw_noises=lambda: next(draws))
    images = last(walk).images.flatten()
    assert next(draws, None) is None
    return images[-1].item(), images[:-1] - images[-1]


def levels(num_steps, schedule):
    return list(zip(*(r.flatten().tolist()[:-1] for r in time_grid(num_steps, schedule)), strict=True))


@pytest.mark.parametrize("num_steps", [1, 2, 3, 7])
@pytest.mark.parametrize("schedule", [OffsetCosine(), Cosine()], ids=str)
def test_mean_and_variance_with_the_exact_denoiser_are_in_closed_form(num_steps, schedule):
    """With the gain g = a s^2 / (a^2 s^2 + n^2) of each level, from the last back to the first.

    mean = mu - mu prod g_k a_k,      variance = sum_k g_k^2 n_k^2 prod_{j > k} (g_j a_j)^2,

    with n_0 = 1, as the initial x is pure noise.
    """
    mean, factors = affine(Gaussian(MEAN, STD), num_steps, schedule)
    kept, variance = 1.0, 0.0
    for place, (noise, signal) in reversed(list(enumerate(levels(num_steps, schedule)))):
        gain = signal * STD**2 / (signal**2 * STD**2 + noise**2)
        variance += (gain * kept * (noise if place else 1)) ** 2
        kept *= gain * signal
    assert mean == pytest.approx(MEAN - MEAN * kept, rel=1e-12)
    assert factors.square().sum().item() == pytest.approx(variance, rel=1e-12)


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_a_consistency_function_gives_the_variance_of_the_data_in_every_number_of_steps(num_steps):
    """A consistency function: f(x, t) = mu + s (x - a mu) / sqrt(a^2 s^2 + n^2)."""

    def jump(noisy_images, noise_rates, signal_rates):
        spread = ((signal_rates * STD).square() + noise_rates.square()).sqrt()
        images = MEAN + STD * (noisy_images - signal_rates * MEAN) / spread
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    noise, signal = levels(num_steps, OffsetCosine())[0]
    _, factors = affine(jump, num_steps, OffsetCosine(), first=math.hypot(signal * STD, noise))
    assert factors.square().sum().item() == pytest.approx(STD**2, rel=1e-12)
    mean, _ = affine(jump, num_steps, Cosine())
    assert mean == pytest.approx(MEAN, rel=1e-12)


def test_the_exact_denoiser_gives_less_variance_than_the_data():
    """In one step from an x_t of the right variance, by the factor a^2 s^2 / (a^2 s^2 + n^2)."""
    schedule = OffsetCosine(0.6, 0.99)
    noise, signal = levels(1, schedule)[0]
    total = (signal * STD) ** 2 + noise**2
    _, factors = affine(Gaussian(MEAN, STD), 1, schedule, first=math.sqrt(total))
    assert factors.square().sum().item() == pytest.approx(STD**2 * (signal * STD) ** 2 / total, rel=1e-12)


def test_one_step_is_the_prediction_of_the_denoiser_without_drawing_noise():
    start = torch.randn(2, 1, 2, 2)
    seen = []

    def denoise(*arguments):
        seen.append(Gaussian(MEAN, STD)(*arguments))
        return seen[-1]

    (only,) = consistency(denoise, start, draw_noises=lambda: pytest.fail("noise was drawn"))
    assert torch.equal(only.images, seen[0].images)
    torch.manual_seed(3)
    one = last(consistency(Gaussian(), start, 4)).images
    torch.manual_seed(3)
    assert torch.equal(one, last(consistency(Gaussian(), start, 4)).images)


def test_no_gradients_and_bad_arguments_raise():
    for prediction in consistency(Gaussian(), torch.zeros(1, 1, 2, 2, requires_grad=True), 3):
        assert not prediction.images.requires_grad
        assert torch.is_grad_enabled()
    with pytest.raises(UnnoiseError, match="at least 1 step"):
        last(consistency(Gaussian(), torch.zeros(1, 1, 2, 2), 0))
