"""RePaint: known pixels, resampling, and the noise of its steps."""

from itertools import pairwise

import pytest
import torch

from helpers.correlated import CLEAN, SHAPE, SIZE, correlated, known_pixels
from helpers.sampling import last
from unnoise.diffusion.editing import inpaint
from unnoise.diffusion.editing.inpainting import forward_step, resampling_path, reverse_step
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ancestral, rates_at, time_grid
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.diffusion.tensors import Prediction
from unnoise.utils.errors import UnnoiseError


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def half_known(count, height=8, width=8):
    known = torch.zeros(count, 1, height, width, dtype=torch.bool)
    known[..., : width // 2] = True
    return known


@pytest.mark.parametrize("schedule", [CLEAN, OffsetCosine(), LinearBeta(40)], ids=["clean", "book", "discrete"])
def test_known_pixels_are_unchanged_bit_for_bit(schedule):
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


def test_the_values_of_unknown_pixels_are_not_used():
    known, noises = half_known(2), random(2, 1, 8, 8, seed=1)
    images = random(2, 1, 8, 8)
    drawn = []
    for filling in (0.0, 7.0):
        torch.manual_seed(5)
        drawn.append(last(inpaint(Gaussian(), images.where(known, filling), known, noises, 10, CLEAN)).images)
    assert torch.equal(drawn[0], drawn[1])


def test_all_known_gives_the_image_and_nothing_known_is_ancestral_sampling():
    images, noises = random(2, 1, 4, 4), random(2, 1, 4, 4, seed=1)
    all_known = torch.ones(2, 1, 4, 4, dtype=torch.bool)
    assert torch.equal(last(inpaint(Gaussian(), images, all_known, noises, 5, CLEAN)).images, images)
    draws = [random(2, 1, 4, 4, seed=n) for n in range(20)]
    for_paint, for_chain = iter(draws), iter(draws[::2])  # inpainting draws noise for the known part, too
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


def test_resampling_moves_the_unknown_pixels_towards_their_posterior_mean():
    """For Gaussian data their mean given the known pixels is in closed form."""
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


def test_mean_and_standard_deviation_of_a_forward_and_a_reverse_step():
    grid, images = time_grid(4, CLEAN), random(20000, 1, 1, 1).double()
    noise, signal = rates_at(grid, 3, images)
    noisy = signal * 1.5 + noise * images
    up = forward_step(noisy, grid, 3, 1, random(20000, 1, 1, 1, seed=1).double())
    next_noise, next_signal = (rate[0].item() for rate in rates_at(grid, 1, images))
    assert up.mean().item() == pytest.approx(1.5 * next_signal, abs=0.02)
    assert up.std().item() == pytest.approx(next_noise, abs=0.02)
    exact = Prediction(images, torch.full_like(images, 1.5))
    down = reverse_step(exact, up, grid, 1, random(20000, 1, 1, 1, seed=2).double())
    noise, signal = (rate[0].item() for rate in rates_at(grid, 2, images))
    assert down.mean().item() == pytest.approx(1.5 * signal, abs=0.02)
    assert down.std().item() == pytest.approx(noise, abs=0.02)


@pytest.mark.parametrize(
    ("steps", "length", "repeats"), [(10, 5, 3), (7, 3, 2), (4, 1, 1), (5, 9, 4), (1, 1, 2)]
)
def test_the_resampling_path_takes_each_step_as_often_as_repeats(steps, length, repeats):
    path = resampling_path(steps, length, repeats)
    down = [(here, there) for here, there in pairwise(path) if there > here]
    assert sorted(down) == sorted([(k, k + 1) for k in range(steps)] * repeats)
    assert (path[0], path[-1]) == (0, steps)
    assert all(here - there <= length for here, there in pairwise(path))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (
            lambda x: list(inpaint(Gaussian(), x, half_known(2, 8, 7), x)),
            "but got 2 of 8x7",
        ),
        (lambda x: list(inpaint(Gaussian(), x, half_known(2), x, 0)), "at least 1 step"),
        (lambda x: list(inpaint(Gaussian(), x, half_known(2), x, 5, repeats=0)), "repeats is at least 1"),
        (lambda x: list(inpaint(Gaussian(), x, half_known(2), x, 5, jump_length=0)), "jump length"),
    ],
)
def test_bad_arguments_raise(call, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        call(random(2, 1, 8, 8))
