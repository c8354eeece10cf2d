"""SDEdit: strength from the picture itself to a new one."""

import math

import pytest
import torch

from helpers.sampling import column, last
from helpers.two_peaks import TwoPeaks, normal
from unnoise.diffusion.editing import redraw
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers import ddim
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.utils.errors import UnnoiseError

CLEAN = OffsetCosine(0.002, 0.9999)
CHAIN = LinearBeta(200)


def times(schedule, num_steps):
    return schedule.times(num_steps) if schedule is CHAIN else None


@pytest.mark.parametrize("schedule", [CLEAN, CHAIN], ids=["continuous", "discrete"])
def test_strength_0_is_the_image_and_1_ddim_and_more_of_it_changes_more(schedule):
    images, noises, grid = normal(seed=1), normal(seed=2), {"times": times(schedule, 10)}
    (untouched,) = redraw(TwoPeaks(), images, noises, 0.0, 10, schedule, **grid)
    assert torch.equal(untouched.images, images)
    whole = last(redraw(TwoPeaks(), images, noises, 1.0, 10, schedule, **grid)).images
    assert torch.equal(whole, last(ddim(TwoPeaks(), noises, 10, schedule, **grid)).images)
    distances = [
        (last(redraw(TwoPeaks(), images, noises, strength, 10, schedule, **grid)).images - images)
        .square()
        .mean()
        .item()
        for strength in (0.0, 0.2, 0.4, 0.6, 0.8)
    ]
    assert distances == sorted(distances)
    calls = TwoPeaks()
    assert len(list(redraw(calls, images, noises, 0.3, 10, schedule, **grid))) == calls.calls == 3


def test_strength_one_half_for_normal_data_equals_its_closed_form():
    """For N(0, 1) each DDIM step multiplies by a cosine."""
    images, noises, steps = normal(seed=1), normal(seed=2), 8
    angles = [
        math.atan2(*(float(rate) for rate in CLEAN(column(k / steps, dtype=torch.float64)))) for k in range(9)
    ]
    start = math.cos(angles[4]) * images + math.sin(angles[4]) * noises
    scale = math.cos(angles[1]) * math.prod(math.cos(angles[k] - angles[k - 1]) for k in (2, 3, 4))
    drawn = last(redraw(Gaussian(), images, noises, 0.5, steps, CLEAN)).images
    torch.testing.assert_close(drawn, scale * start)


@pytest.mark.parametrize(
    ("strength", "num_steps", "sentence"),
    [
        (1.5, 20, "strength goes from 0"),
        (float("nan"), 20, "strength goes from 0"),
        (0.5, 0, "at least 1 step"),
    ],
)
def test_bad_arguments_raise(strength, num_steps, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        list(redraw(TwoPeaks(), normal(), normal(), strength, num_steps))
