"""What is known stays as it is, bit for bit, and what is drawn beside it follows from it."""

from itertools import pairwise

import pytest
import torch

from diffusion.editing.test_inverse_problems import CLEAN, SHAPE, SIZE, correlated, known_pixels
from helpers.oracles import Gaussian, last
from unnoise.diffusion.editing import inpaint, on_canvas, outpaint, windowed
from unnoise.diffusion.editing.inpainting import _less_noise, _more_noise, resampling_path
from unnoise.diffusion.editing.outpainting import corners
from unnoise.diffusion.samplers import ancestral, ddim, rates_at, time_grid
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.utils.errors import UnnoiseError


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def half_known(count, height=8, width=8):
    known = torch.zeros(count, 1, height, width, dtype=torch.bool)
    known[..., : width // 2] = True
    return known


# --- inpainting ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", [CLEAN, OffsetCosine(), LinearBeta(40)], ids=["clean", "book", "chain"])
def test_known_pixels_are_bit_for_bit_those_of_the_picture(schedule):
    images, known = random(3, 2, 8, 8), torch.rand(3, 1, 8, 8) < 0.5
    times = schedule.times(12) if isinstance(schedule, LinearBeta) else None
    count = 0
    for prediction in inpaint(
        Gaussian(), images, known, random(3, 2, 8, 8, seed=1), 12, schedule, repeats=2, times=times
    ):
        everywhere = known.expand_as(images)
        assert torch.equal(prediction.images[everywhere], images[everywhere])
        count += 1
    assert count == 24
    assert not torch.equal(prediction.images, images)


def test_unknown_pixels_play_no_part():
    known, noises = half_known(2), random(2, 1, 8, 8, seed=1)
    images = random(2, 1, 8, 8)
    drawn = []
    for filling in (0.0, 7.0):
        torch.manual_seed(5)
        drawn.append(last(inpaint(Gaussian(), images.where(known, filling), known, noises, 10, CLEAN)).images)
    assert torch.equal(drawn[0], drawn[1])


def test_everything_known_and_nothing_known():
    images, noises = random(2, 1, 4, 4), random(2, 1, 4, 4, seed=1)
    all_known = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    assert torch.equal(last(inpaint(Gaussian(), images, all_known, noises, 5, CLEAN)).images, images)
    draws = [random(2, 1, 4, 4, seed=n) for n in range(20)]
    for_paint, for_chain = iter(draws), iter(draws[::2])  # inpainting draws for the known part as well
    free = last(
        inpaint(
            Gaussian(0.2, 0.6),
            images,
            ~all_known,
            noises,
            5,
            CLEAN,
            repeats=1,
            draw_noises=lambda: next(for_paint),
        )
    ).images
    chain = last(ancestral(Gaussian(0.2, 0.6), noises, 5, CLEAN, draw_noises=lambda: next(for_chain))).images
    torch.testing.assert_close(free, chain)


def test_resampling_brings_the_rest_nearer_to_the_posterior():
    """Of a Gaussian the rest given the known pixels has a mean in closed form; resampling gets closer to it."""
    data, known = correlated(), known_pixels()
    flat = known.expand(1, *SHAPE).flatten()
    truth = (data.mean + random(1, SIZE, seed=7).double() @ torch.linalg.cholesky(data.covariance).mT)[0]
    inside = data.covariance[flat][:, flat]
    gain = data.covariance[~flat][:, flat] @ torch.linalg.inv(inside)
    expected = data.mean[~flat] + gain @ (truth[flat] - data.mean[flat])
    count = 200
    images = truth.view(1, *SHAPE).expand(count, -1, -1, -1)
    errors = []
    for repeats in (1, 5):
        generator = torch.Generator().manual_seed(1)

        def draw(generator=generator):
            return torch.randn(count, *SHAPE, generator=generator, dtype=torch.float64)

        drawn = last(
            inpaint(
                data,
                images,
                known.expand(count, -1, -1, -1),
                draw(),
                20,
                CLEAN,
                jump_length=2,
                repeats=repeats,
                draw_noises=draw,
            )
        ).images
        errors.append((drawn.flatten(1)[:, ~flat].mean(0) - expected).square().mean().sqrt().item())
    prior = (data.mean[~flat] - expected).square().mean().sqrt().item()
    assert errors[1] < errors[0] < prior
    assert errors[1] < 0.15 * prior


def test_noise_goes_up_and_down_by_the_right_amount():
    """Down from N(0, 1) and up again, what has variance 1 keeps it at every place of the grid."""
    grid, images = time_grid(4, CLEAN), random(20000, 1, 1, 1).double()
    noise, signal = rates_at(grid, 3, images)
    noisy = signal * 1.5 + noise * images
    up = _more_noise(noisy, grid, 3, 1, random(20000, 1, 1, 1, seed=1).double())
    next_noise, next_signal = (rate[0].item() for rate in rates_at(grid, 1, images))
    assert up.mean().item() == pytest.approx(1.5 * next_signal, abs=0.02)
    assert up.std().item() == pytest.approx(next_noise, abs=0.02)
    exact = Prediction(images, torch.full_like(images, 1.5))
    down = _less_noise(exact, up, grid, 1, random(20000, 1, 1, 1, seed=2).double())
    noise, signal = (rate[0].item() for rate in rates_at(grid, 2, images))
    assert down.mean().item() == pytest.approx(1.5 * signal, abs=0.02)
    assert down.std().item() == pytest.approx(noise, abs=0.02)


@pytest.mark.parametrize(
    ("steps", "length", "repeats"), [(10, 5, 3), (7, 3, 2), (4, 1, 1), (5, 9, 4), (1, 1, 2)]
)
def test_each_step_is_taken_as_often_as_asked(steps, length, repeats):
    path = resampling_path(steps, length, repeats)
    down = [(here, there) for here, there in pairwise(path) if there > here]
    assert sorted(down) == sorted([(k, k + 1) for k in range(steps)] * repeats)
    assert (path[0], path[-1]) == (0, steps)
    assert all(here - there <= length for here, there in pairwise(path))


# --- outpainting ---------------------------------------------------------------------------------------------


def test_windows_of_a_denoiser_of_pixels_are_the_denoiser_itself():
    """Where each pixel is seen for itself, all windows agree, and averaging them changes nothing."""
    images = random(2, 3, 13, 9)
    rates = rates_at(time_grid(4, CLEAN), 1, images)
    for overlap in (0.0, 0.5, 0.8):
        found = windowed(Gaussian(0.2, 0.6), (6, 5), overlap)(images, *rates)
        for ours, exact in zip(found[:2], Gaussian(0.2, 0.6)(images, *rates)[:2], strict=True):
            torch.testing.assert_close(ours, exact)


def test_windows_are_averaged_and_stay_consistent():
    """A denoiser that sees the mean of its window: each canvas pixel is a weighted mean of those."""

    def mean_of_window(noisy_images, noise_rates, signal_rates):
        images = noisy_images.mean(dim=(2, 3), keepdim=True).expand_as(noisy_images)
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    canvas = torch.cat([torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 2)], dim=3).double()
    noise, signal = rates_at(time_grid(4, CLEAN), 1, canvas)
    found = windowed(mean_of_window, (4, 4))(canvas, noise, signal)
    # windows at columns 0 and 2, of means 0 and 1/2; weights 1 2 2 1 from left to right
    expected = torch.tensor([0, 0, 1 / 3 * 0.5, 2 / 3 * 0.5, 0.5, 0.5]).double().expand(4, 6)
    torch.testing.assert_close(found.images[0, 0], expected)
    torch.testing.assert_close(signal * found.images + noise * found.noises, canvas)


def test_windows_cover_the_canvas():
    assert corners(28, 28, 14) == [0]
    assert corners(56, 28, 14) == [0, 14, 28]
    assert corners(40, 28, 14) == [0, 12]
    assert corners(60, 28, 14) == [0, 14, 28, 32]


def test_one_window_is_the_denoiser():
    images, rates = random(2, 1, 6, 6), rates_at(time_grid(4, CLEAN), 1, random(2, 1, 6, 6))
    found = windowed(Gaussian(0.3, 0.5), (6, 6))
    torch.testing.assert_close(
        last(ddim(found, images, 5, CLEAN)), last(ddim(Gaussian(0.3, 0.5), images, 5, CLEAN))
    )
    assert found(images, *rates).images.shape == images.shape


def test_outpainting_keeps_the_picture_in_the_middle():
    images = random(2, 1, 4, 6)
    for prediction in outpaint(Gaussian(), images, random(2, 1, 9, 10, seed=1), 4, CLEAN, repeats=2):
        assert torch.equal(prediction.images[..., 2:6, 2:8], images)
    assert prediction.images.shape == (2, 1, 9, 10)
    placed, known = on_canvas(images, (9, 10))
    assert known.sum() == 2 * 24
    assert torch.equal(placed[known].view(2, 1, 4, 6), images)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda x: list(inpaint(Gaussian(), x, half_known(2, 8, 7), x)), "2 of 8x7 came with 2 of 8x8"),
        (lambda x: list(inpaint(Gaussian(), x, half_known(2), x, 0)), "at least 1 step"),
        (lambda x: list(inpaint(Gaussian(), x, half_known(2), x, 5, repeats=0)), "repeats is at least 1"),
        (lambda x: list(inpaint(Gaussian(), x, half_known(2), x, 5, jump_length=0)), "jump length"),
        (lambda x: list(outpaint(Gaussian(), x, x[..., :6, :], 5)), "at least as large"),
        (lambda x: windowed(Gaussian(), (4, 4), 1.0), "overlap"),
    ],
)
def test_bad_arguments(call, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        call(random(2, 1, 8, 8))
