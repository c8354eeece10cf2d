"""DDIM: closed forms for Gaussian data, first order, eta, and seeds."""

import math

import numpy as np
import pytest
import torch

from helpers.sampling import column, last
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ddim, time_grid
from unnoise.diffusion.schedules import LogSNRLinear, OffsetCosine
from unnoise.diffusion.seeds import SeededNoises
from unnoise.diffusion.tensors import Prediction
from unnoise.utils.errors import UnnoiseError

NOISES = torch.randn(8, 3, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


class Counting:
    """Records the rates of each call."""

    def __init__(self, denoise):
        self.denoise = denoise
        self.rates = []

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        self.rates.append((noise_rates.flatten()[0].item(), signal_rates.flatten()[0].item()))
        return self.denoise(noisy_images, noise_rates, signal_rates)


@pytest.mark.row("X1", "X3")
@pytest.mark.parametrize(
    ("num_steps", "scale"),
    [(1, 0.02), (2, 0.485), (5, 0.7472713), (20, 0.8959768), (100, 0.9389813), (1000, 0.9488931)],
)
def test_scale_for_standard_normal_data_at_1_to_1000_steps(num_steps, scale):
    denoise = Counting(Gaussian())
    images = last(ddim(denoise, NOISES, num_steps, OffsetCosine())).images
    torch.testing.assert_close(images / NOISES, torch.full_like(NOISES, scale), atol=1e-6, rtol=0)
    assert len(denoise.rates) == num_steps


@pytest.mark.row("X3")
def test_scale_for_standard_normal_data_is_a_product_of_cosines():
    start, end = math.acos(0.95), math.acos(0.02)
    for num_steps in (3, 17, 64):
        step = (end - start) / num_steps
        scale = math.cos(start + step) * math.cos(step) ** (num_steps - 1)
        images = last(ddim(Gaussian(), NOISES, num_steps, OffsetCosine())).images
        torch.testing.assert_close(images, scale * NOISES, atol=1e-9, rtol=1e-9)


@pytest.mark.row("X3")
@pytest.mark.parametrize(("mean", "std"), [(0.3, 0.5), (-1.0, 2.0)])
def test_error_for_gaussian_data_falls_at_first_order(mean, std):
    """(x - a mean) / sqrt(a^2 s^2 + n^2) is constant along the flow; the last call returns a posterior mean."""
    schedule = OffsetCosine()
    (first_noise, last_noise), (first_signal, last_signal) = (
        rates.flatten().tolist() for rates in schedule(column(1, 0, dtype=torch.float64))
    )
    start = torch.hypot(torch.tensor(first_signal * std), torch.tensor(first_noise))
    final = math.hypot(last_signal * std, last_noise)
    centred = (NOISES - first_signal * mean) / start * final
    exact = mean + last_signal * std**2 / final**2 * centred
    errors = [
        (last(ddim(Gaussian(mean, std), NOISES, steps, schedule)).images - exact).abs().max().item()
        for steps in (40, 80, 160, 320)
    ]
    slope = np.polyfit(np.log([40, 80, 160, 320]), np.log(errors), 1)[0]
    assert slope == pytest.approx(-1, abs=0.15)
    assert errors[-1] < 0.03


@pytest.mark.row("X3", "S5")
def test_a_schedule_that_ends_near_full_signal_gives_the_whole_standard_deviation():
    schedule = OffsetCosine(0.002, 0.9999)
    images = last(ddim(Gaussian(0.3, 0.5), torch.randn(4000, 1, 2, 2).double(), 400, schedule)).images
    assert images.mean().item() == pytest.approx(0.3, abs=0.02)
    assert images.std().item() == pytest.approx(0.5, abs=0.01)
    book = last(ddim(Gaussian(0.3, 0.5), torch.randn(4000, 1, 2, 2).double(), 400)).images
    assert book.std().item() == pytest.approx(0.418, abs=0.01)  # the book's schedule ends with noise


@pytest.mark.row("X1")
def test_times_are_1_to_1_over_k():
    denoise = Counting(Gaussian())
    last(ddim(denoise, NOISES, 4))
    expected = [
        tuple(rate.item() for rate in OffsetCosine()(column(t, dtype=torch.float64)))
        for t in (1, 0.75, 0.5, 0.25)
    ]
    np.testing.assert_allclose(denoise.rates, expected, atol=1e-7)
    grid = time_grid(4, OffsetCosine())
    assert grid.noise_rates.shape == (5, 1, 1, 1)
    assert grid.noise_rates.dtype == torch.float64


@pytest.mark.row("X2")
def test_the_first_call_gets_the_initial_noises_unchanged():
    seen = []

    def denoise(noisy_images, noise_rates, signal_rates):
        seen.append(noisy_images)
        return Gaussian()(noisy_images, noise_rates, signal_rates)

    last(ddim(denoise, NOISES, 2))
    assert torch.equal(seen[0], NOISES)


@pytest.mark.row("X4", "X5", "J4")
def test_deterministic_and_similar_for_every_number_of_steps():
    """More steps give images nearer to those of 100 steps."""
    images = {steps: last(ddim(Gaussian(0.3, 0.5), NOISES, steps)).images for steps in (1, 2, 3, 4, 5, 20, 100)}
    again = last(ddim(Gaussian(0.3, 0.5), NOISES, 20)).images
    assert torch.equal(images[20], again)
    errors = [(images[steps] - images[100]).abs().max().item() for steps in (1, 2, 3, 4, 5, 20)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.25 * images[100].std()


@pytest.mark.row("X9")
def test_eta_keeps_the_variance_and_changes_the_image():
    noises = torch.randn(4000, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    for eta in (0.5, 1.0):
        images = last(ddim(Gaussian(), noises, 200, OffsetCosine(0.002, 0.9999), eta=eta)).images
        assert images.std().item() == pytest.approx(1, abs=0.02)
        assert abs(torch.corrcoef(torch.stack([images.flatten(), noises.flatten()]))[0, 1]) < 0.9


@pytest.mark.row("X9")
@pytest.mark.parametrize("eta", [0.3, 1.0])
def test_a_step_with_eta_equals_its_formula(eta):
    steps, z = 2, torch.full_like(NOISES, 0.7)
    grid = time_grid(steps, OffsetCosine())
    noise, signal = (rates.flatten().tolist() for rates in grid)
    spread = eta * math.sqrt(1 - (signal[0] / signal[1]) ** 2) * noise[1] / noise[0]
    seen = []

    def denoise(noisy_images, noise_rates, signal_rates):
        seen.append(noisy_images)
        return Gaussian(0.3, 0.5)(noisy_images, noise_rates, signal_rates)

    for large in (False, True):
        seen.clear()
        first, _ = ddim(denoise, NOISES, steps, eta=eta, large_variance=large, draw_noises=lambda: z)
        added = spread * noise[0] / noise[1] if large else spread
        by_hand = signal[1] * first.images + math.sqrt(noise[1] ** 2 - spread**2) * first.noises + added * z
        torch.testing.assert_close(seen[1], by_hand, atol=1e-9, rtol=1e-9)
        # DDIM, eq. 16
        a, b = signal[0] ** 2, signal[1] ** 2
        assert spread == pytest.approx(eta * math.sqrt((1 - b) / (1 - a)) * math.sqrt(1 - a / b), rel=1e-9)


@pytest.mark.row("X9")
def test_eta_zero_draws_nothing():
    def forbidden():
        raise AssertionError("noise was drawn")

    plain = last(ddim(Gaussian(), NOISES, 5)).images
    assert torch.equal(last(ddim(Gaussian(), NOISES, 5, eta=0.0, draw_noises=forbidden)).images, plain)


@pytest.mark.row("X4", "X9")
@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_a_seed_is_the_same_picture_in_any_batch(eta):
    def sample(seeds):
        draw = SeededNoises(seeds, (1, 4, 4))
        return last(ddim(Gaussian(0.2, 0.7), draw(), 6, LogSNRLinear(), eta=eta, draw_noises=draw)).images

    together = sample(range(10))
    for seed in (0, 7):
        torch.testing.assert_close(sample([seed])[0], together[seed], atol=1e-6, rtol=1e-6)
    assert not torch.allclose(together[0], together[1])


def test_no_gradients_and_the_callers_gradient_mode_is_unchanged():
    start = torch.zeros(1, 1, 2, 2, requires_grad=True)
    for prediction in ddim(Gaussian(), start, 3):
        assert not prediction.images.requires_grad
        assert torch.is_grad_enabled()


@pytest.mark.parametrize(
    ("arguments", "sentence"), [({"num_steps": 0}, "at least 1 step"), ({"eta": 1.5}, "eta")]
)
def test_bad_arguments_raise(arguments, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        last(ddim(Gaussian(), NOISES, **arguments))
