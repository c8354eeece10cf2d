"""Ancestral sampling: DDPM's algorithm 2, DDIM with eta = 1, Gaussian data, and the three variances."""

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.sampling import last
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ancestral, ddim, time_grid
from unnoise.diffusion.schedules import CosineBeta, LinearBeta, OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.pictures import frames, save_animation
from unnoise.utils.errors import UnnoiseError

SHAPE = (3, 2, 4, 4)


def draws(seed, shape=SHAPE):
    generator = torch.Generator().manual_seed(seed)
    return lambda: torch.randn(shape, generator=generator, dtype=torch.float64)


def predict(noisy_images, noise_rates, signal_rates):
    """A smooth denoiser whose noises and images mix to the noisy images."""
    noises = torch.sin(3 * noisy_images + noise_rates)
    return Prediction(noises, (noisy_images - noise_rates * noises) / signal_rates)


@pytest.mark.row("H6", "H7", "L6")
@pytest.mark.parametrize("schedule", [LinearBeta(60), CosineBeta(60)], ids=repr)
def test_it_is_algorithm_2_of_ddpm(schedule):
    """X' = (x - beta eps / sqrt(1 - alpha_bar)) / sqrt(1 - beta) + sqrt(beta tilde) z, with no z at the end."""
    betas, powers = schedule.betas, schedule.alphas_cumprod
    images, draw = draws(1)(), draws(2)
    for step in range(59, -1, -1):
        beta, power = betas[step], powers[step]
        noises = predict(images, (1 - power).sqrt().view(1, 1, 1, 1), power.sqrt().view(1, 1, 1, 1)).noises
        images = (images - beta / (1 - power).sqrt() * noises) / (1 - beta).sqrt()
        if step:
            images = images + (beta * (1 - powers[step - 1]) / (1 - power)).sqrt() * draw()
    chain = list(ancestral(predict, draws(1)(), 60, schedule, draw_noises=draws(2)))
    assert len(chain) == 60
    torch.testing.assert_close(chain[-1].images, images, atol=1e-8, rtol=1e-8)


@pytest.mark.row("H22")
def test_a_gif_of_all_steps_has_a_frame_for_each(tmp_path):
    """T noisy images of 50 ms each, and the result for 1.5 s."""
    total, noisy = 100, []

    def denoise(noisy_images, noise_rates, signal_rates):
        noisy.append(noisy_images)
        return Gaussian(0.5, 0.2)(noisy_images, noise_rates, signal_rates)

    result = last(ancestral(denoise, torch.randn(4, 1, 8, 8), total, LinearBeta(total))).images
    trajectory = torch.stack([*noisy, result]).clamp(0, 1)
    assert len(trajectory) == total + 1
    pictures = frames(trajectory)
    save_animation(pictures, tmp_path / "chain.gif")
    with Image.open(tmp_path / "chain.gif") as gif:
        assert gif.n_frames == total + 1
        for index, picture in enumerate(pictures):
            gif.seek(index)
            assert gif.info["duration"] == (50 if index < total else 1500)
            assert np.array_equal(np.asarray(gif.convert("L")), np.asarray(picture.convert("L")))


@pytest.mark.row("L5", "H6")
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("schedule", [LinearBeta(40), OffsetCosine()], ids=repr)
def test_it_is_ddim_with_eta_1(schedule, large):
    """The means and variances are the same on every schedule, so the images from the same noises are too."""
    ours = ancestral(
        predict, draws(1)(), 40, schedule, variance="large" if large else "small", draw_noises=draws(2)
    )
    theirs = ddim(predict, draws(1)(), 40, schedule, eta=1, large_variance=large, draw_noises=draws(2))
    torch.testing.assert_close(last(ours).images, last(theirs).images, atol=1e-7, rtol=1e-7)


@pytest.mark.row("H8")
def test_final_variance_for_standard_normal_data():
    """Unscaled betas. With beta instead of beta tilde: 0.9999, as the step to t = 0 adds no noise.

    For other numbers of steps see test_posteriors.
    """
    total, shape = 200, (2000, 1, 4, 4)
    schedule = LinearBeta(total, rescale=False)
    for variance, expected in (("small", 0.9808452), ("large", 0.9999)):
        chain = ancestral(
            Gaussian(), draws(3, shape)(), total, schedule, variance=variance, draw_noises=draws(4, shape)
        )
        found = last(chain).images.var().item()
        assert found == pytest.approx(expected, abs=4 * expected * (2 / 32_000) ** 0.5)


@pytest.mark.row("L10")
def test_a_learned_variance_is_between_small_and_large():
    schedule = LinearBeta(30)

    def learned(value):
        def denoise(noisy_images, noise_rates, signal_rates):
            prediction = predict(noisy_images, noise_rates, signal_rates)
            return prediction._replace(variances=torch.full_like(noisy_images, value))

        return last(
            ancestral(denoise, draws(1)(), 30, schedule, variance="learned", draw_noises=draws(2))
        ).images

    for value, known in ((0.0, "small"), (1.0, "large")):
        chain = ancestral(predict, draws(1)(), 30, schedule, variance=known, draw_noises=draws(2))
        torch.testing.assert_close(learned(value), last(chain).images, atol=1e-9, rtol=1e-9)
    assert not torch.allclose(learned(0.5), learned(0.0))
    with pytest.raises(UnnoiseError, match="predicts no variance"):
        last(ancestral(predict, draws(1)(), 30, schedule, variance="learned"))


def test_a_time_grid_of_given_times():
    schedule = LinearBeta(100)
    grid = time_grid(5, schedule, schedule.times(5, "leading"))
    assert grid.signal_rates.flatten()[0] ** 2 == pytest.approx(schedule.alphas_cumprod[80].item())
    assert grid.signal_rates.flatten()[-1] == 1
    with pytest.raises(UnnoiseError, match="6 falling times"):
        time_grid(5, schedule, schedule.times(4))
    with pytest.raises(UnnoiseError, match="falling times"):
        time_grid(2, schedule, torch.tensor([0.0, 0.5, 1.0]))
