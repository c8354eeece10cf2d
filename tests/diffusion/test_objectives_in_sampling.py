"""Noise, image, velocity and flow prediction and EDM's network give the same samples."""

import pytest
import torch

from helpers.sampling import last
from unnoise.diffusion.objectives import Objective, velocity
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.schedules import LogSNRLinear, OffsetCosine, RectifiedFlow, log_snr
from unnoise.diffusion.tensors import Prediction, mix

ORACLE = Gaussian(0.3, 0.5)
NOISES = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def through(objective):
    """The exact denoiser, converted to the output of a network with this objective and back."""

    def denoise(noisy_images, noise_rates, signal_rates):
        output = objective.target(ORACLE(noisy_images, noise_rates, signal_rates), noise_rates, signal_rates)
        return objective.separate(output, noisy_images, noise_rates, signal_rates)

    return denoise


def edm(noisy_images, noise_rates, signal_rates):
    """EDM (2206.00364, eq. 7, sigma_data 1) in its own variables y = x + sigma n, D = c_skip y + c_out F."""
    sigma, y = noise_rates / signal_rates, noisy_images / signal_rates
    skip, out, scale = 1 / (sigma**2 + 1), sigma / (sigma**2 + 1).sqrt(), 1 / (sigma**2 + 1).sqrt()
    torch.testing.assert_close(scale * y, noisy_images)  # c_in y is our noisy image
    truth = ORACLE(noisy_images, noise_rates, signal_rates)
    network = -velocity(truth, noise_rates, signal_rates)  # F
    images = skip * y + out * network
    return Prediction((y - images) / sigma, images)


@pytest.mark.row("C1", "L1", "L10")
@pytest.mark.parametrize("schedule", [OffsetCosine(), LogSNRLinear(8.0, -8.0)], ids=repr)
@pytest.mark.parametrize("kind", ["noise", "image", "velocity", "flow", "edm"])
def test_every_objective_gives_the_same_samples(schedule, kind):
    expected = last(ddim(ORACLE, NOISES, 12, schedule)).images
    denoise = edm if kind == "edm" else through(Objective(kind))
    torch.testing.assert_close(last(ddim(denoise, NOISES, 12, schedule)).images, expected, atol=1e-9, rtol=1e-9)


def test_rectified_flow_is_a_straight_line_scaled_to_unit_variance():
    times = torch.linspace(0, 1, 11, dtype=torch.float64).view(-1, 1, 1, 1)
    noise_rates, signal_rates = RectifiedFlow()(times)
    torch.testing.assert_close(noise_rates / (noise_rates + signal_rates), times)
    torch.testing.assert_close(noise_rates**2 + signal_rates**2, torch.ones_like(times))
    assert log_snr(noise_rates, signal_rates)[5].item() == pytest.approx(0)


def test_ddim_on_rectified_flow_is_eulers_method_for_its_equation():
    """dx/dt = u = eps - x_0 on x_t = (1 - t) x_0 + t eps (2209.03003, eq. 1), in the scale of that paper."""
    steps = 8
    straight = NOISES.clone()
    for step in range(steps):
        time = torch.full((4, 1, 1, 1), 1 - step / steps, dtype=torch.float64)
        noise_rates, signal_rates = RectifiedFlow()(time)
        length = signal_rates + noise_rates  # 1 / r
        prediction = through(Objective("flow"))(straight * length, noise_rates, signal_rates)
        straight = straight - (prediction.noises - prediction.images) / steps
    ours = last(ddim(through(Objective("flow")), NOISES, steps, RectifiedFlow())).images
    torch.testing.assert_close(ours, straight, atol=1e-9, rtol=1e-9)


def test_flow_is_a_linear_function_of_velocity_and_noisy_images():
    """U = (sigma - alpha) x_t + (alpha + sigma) v."""
    rates = OffsetCosine()(torch.rand(4, 1, 1, 1, dtype=torch.float64))
    truth = Prediction(NOISES, NOISES.flip(0))
    noisy_images = mix(truth.images, truth.noises, *rates)
    noise_rates, signal_rates = rates
    expected = (noise_rates - signal_rates) * noisy_images + (signal_rates + noise_rates) * velocity(
        truth, *rates
    )
    torch.testing.assert_close(Objective("flow").target(truth, *rates), expected)
