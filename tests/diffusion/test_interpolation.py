"""Spherical interpolation: variance, ends, angular speed, and paths through several noises."""

import itertools
import math

import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.interpolation import path, slerp
from unnoise.utils.errors import UnnoiseError

GENERATOR = torch.Generator().manual_seed(3)
START, END = torch.randn(2, 1, 3, 64, 64, generator=GENERATOR)


def sin_cos(start, end, fractions):
    """The formula of Generative Deep Learning, for noises at right angles; the book swaps the ends."""
    angles = fractions * (math.pi / 2)
    return angles.cos() * start + angles.sin() * end


def between(way, fraction):
    return way(START, END, column(fraction))


@pytest.mark.row("X7", "L7")
@pytest.mark.parametrize("way", [slerp, sin_cos])
def test_both_ends_and_the_standard_deviation_between(way):
    torch.testing.assert_close(between(way, 0.0), START, atol=1e-6, rtol=0)
    torch.testing.assert_close(between(way, 1.0), END, atol=1e-6, rtol=0)
    for fraction in (0.1, 0.25, 0.5, 0.75, 0.9):
        assert between(way, fraction).std().item() == pytest.approx(1, abs=0.02)
    straight = (START + END) / 2
    assert straight.std().item() == pytest.approx(math.sqrt(0.5), abs=0.02)


@pytest.mark.row("X7")
def test_slerp_of_random_noises_agrees_with_the_formula_of_the_book():
    """In 12,288 dimensions the angle is 90 degrees to within about half a degree."""
    for fraction in torch.linspace(0, 1, 11).tolist():
        torch.testing.assert_close(between(slerp, fraction), between(sin_cos, fraction), atol=0.05, rtol=0)


@pytest.mark.row("X7")
def test_slerp_keeps_the_norm_also_for_noises_that_are_not_orthogonal():
    start = START / START.norm()
    end = END / END.norm() + 0.5 * start  # far from a right angle
    end = end / end.norm()
    middle = slerp(start, end, column(0.3))
    assert middle.norm().item() == pytest.approx(1, abs=1e-5)
    assert sin_cos(start, end, column(0.3)).norm().item() > 1.1


@pytest.mark.row("X7")
def test_slerp_moves_at_constant_angular_speed():
    start, end = START.double() / START.double().norm(), END.double() / END.double().norm()
    points = [slerp(start, end, column(f / 8, dtype=torch.float64)).flatten() for f in range(9)]
    angles = [torch.cosine_similarity(a, b, dim=0).acos() for a, b in itertools.pairwise(points)]
    torch.testing.assert_close(torch.stack(angles), angles[0].expand(8), rtol=1e-3, atol=0)


def test_between_parallel_noises_the_interpolation_is_linear():
    for end in (START, -START):
        middle = slerp(START, end, column(0.25))
        torch.testing.assert_close(middle, 0.75 * START + 0.25 * end)


def test_each_image_of_a_batch_has_its_own_fraction():
    pair = torch.cat([START, END])
    both = slerp(pair, pair.flip(0), column(0.2, 0.7))
    torch.testing.assert_close(both[:1], between(slerp, 0.2), atol=1e-6, rtol=0)
    torch.testing.assert_close(both[1:], slerp(END, START, column(0.7)), atol=1e-6, rtol=0)


def test_a_path_passes_through_each_noise():
    noises = torch.randn(3, 1, 8, 8)
    walk = path(noises, 9)
    torch.testing.assert_close(walk[[0, 4, 8]], noises, atol=1e-6, rtol=1e-6)
    loop = path(noises, 9, closed=True)
    torch.testing.assert_close(loop[[0, 3, 6]], noises, atol=1e-6, rtol=1e-6)
    assert len(walk) == len(loop) == 9
    torch.testing.assert_close(loop[7], slerp(noises[2:], noises[:1], column(1 / 3))[0], atol=1e-5, rtol=1e-5)


def test_a_long_path_is_as_even_as_a_short_one():
    """It is made in chunks of frames."""
    noises = torch.randn(2, 1, 8, 8)
    walk = path(noises, 201)
    for frame in (1, 63, 64, 65, 128, 199):
        torch.testing.assert_close(
            walk[frame], slerp(*noises[:, None], column(frame / 200))[0], atol=1e-5, rtol=1e-5
        )


def test_a_path_needs_two_noises_and_a_frame_for_each():
    with pytest.raises(UnnoiseError, match="at least 2 seeds"):
        path(torch.randn(1, 1, 2, 2), 5)
    with pytest.raises(UnnoiseError, match="at least 3 frames, but got 2"):
        path(torch.randn(3, 1, 2, 2), 2)
