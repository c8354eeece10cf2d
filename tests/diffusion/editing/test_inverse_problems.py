"""Measurement operators, and MMPS on Gaussian data, where every posterior is known in closed form."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from helpers.correlated import CLEAN, SHAPE, SIZE, correlated, known_pixels, random
from helpers.sampling import last
from unnoise.diffusion.editing import LUMA, Blur, Downsample, Grey, Mask, conditioned, conjugate_residuals
from unnoise.diffusion.samplers import ancestral, ddim, rates_at, time_grid
from unnoise.utils.errors import UnnoiseError

OPERATORS = [Downsample(2), Grey(LUMA), Blur(0.7), Mask(known_pixels())]
NAMES = ["upscale", "colourise", "deblur", "mask"]


def matrix(operator):
    """The operator as a matrix, (measured values, image values)."""
    return operator(torch.eye(SIZE, dtype=torch.float64).view(SIZE, *SHAPE)).flatten(1).mT


# --- operators -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operator", [*OPERATORS, Downsample(1), Grey((0.2, -1.0, 3.0)), Blur(0.1), Blur(5.0)], ids=repr
)
def test_the_operator_is_linear_and_adjoint_is_its_adjoint(operator):
    images = random(5, *SHAPE)
    measured = operator(images)
    other = random(*measured.shape, seed=4)
    left, right = (measured * other).sum(), (images * operator.adjoint(other)).sum()
    assert abs(left - right) < 1e-6 * measured.norm() * other.norm()
    assert operator.adjoint(other).shape == images.shape
    torch.testing.assert_close(operator(2 * images - 3 * images.flip(0)), 2 * measured - 3 * measured.flip(0))


@pytest.mark.parametrize(("sigma", "size"), [(0.7, (9, 13)), (1.5, (9, 13)), (2.5, (6, 5))])
def test_blur_is_that_of_scipy(sigma, size):
    images = random(2, 3, *size)
    expected = gaussian_filter(
        images.numpy(), sigma, axes=(2, 3), mode="reflect", truncate=round(4 * sigma) / sigma
    )
    np.testing.assert_allclose(Blur(sigma)(images).numpy(), expected, atol=1e-10)
    assert Blur(sigma)(torch.ones(1, 1, *size)).sub(1).abs().max() < 1e-6  # the brightness is unchanged


def test_downsample_and_grey_equal_their_formulas():
    images = random(2, 3, 4, 6)
    expected = images.view(2, 3, 2, 2, 3, 2).mean(dim=(3, 5))
    torch.testing.assert_close(Downsample(2)(images), expected)
    grey = 0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2]
    torch.testing.assert_close(Grey()(images)[:, 0], grey)
    # for normalised images the weights are multiplied by the stds, up to a constant
    means, stds = torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1).double(), (0.5, 0.4, 0.2)
    normalized = (images - means) / torch.tensor(stds).view(3, 1, 1).double()
    own = Grey(tuple(weight * std for weight, std in zip(LUMA, stds, strict=True)))
    shift = sum(weight * mean for weight, mean in zip(LUMA, (0.1, 0.2, 0.3), strict=True))
    torch.testing.assert_close(own(normalized)[:, 0] + shift, grey)


# --- the posterior -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", OPERATORS, ids=NAMES)
@pytest.mark.parametrize("time", [0.1, 0.5, 0.9])
def test_the_posterior_mean_is_exact(operator, time):
    """E[x_0 | x_t, y] of a Gaussian, from its joint covariance."""
    data, images = correlated(), random(4, *SHAPE, seed=5)
    a, std = matrix(operator), 0.1
    measured = operator(random(4, *SHAPE, seed=6))
    noise, signal = (rate.double() for rate in CLEAN(torch.full((4, 1, 1, 1), time, dtype=torch.float64)))
    found = conditioned(data, operator, measured, measured_std=std, num_solves=40)(images, noise, signal)
    # (x_t, y) = (signal x_0 + noise z, A x_0 + std z')
    joint = torch.cat([signal.flatten()[0] * torch.eye(SIZE).double(), a])
    errors = torch.cat([noise.flatten()[0].square().expand(SIZE), torch.full((len(a),), std**2).double()])
    observed = torch.cat([images.flatten(1), measured.flatten(1)], 1)
    gain = (
        data.covariance @ joint.mT @ torch.linalg.inv(joint @ data.covariance @ joint.mT + torch.diag(errors))
    )
    expected = data.mean + (observed - data.mean @ joint.mT) @ gain.mT
    torch.testing.assert_close(found.images.flatten(1), expected, atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(signal * found.images + noise * found.noises, images)


@pytest.mark.parametrize("operator", OPERATORS, ids=NAMES)
def test_samples_have_the_mean_and_covariance_of_the_posterior(operator):
    """DDIM on a Gaussian is x_0 = M z + b: the mean is b, and the covariance M M^T."""
    data, a, std = correlated(), matrix(operator), 0.2
    truth = data.mean + random(1, SIZE, seed=7) @ torch.linalg.cholesky(data.covariance).mT
    measured = operator(truth.view(1, *SHAPE))
    starts = torch.cat([torch.zeros(1, SIZE), torch.eye(SIZE)]).double().view(SIZE + 1, *SHAPE)
    denoise = conditioned(
        data, operator, measured.expand(SIZE + 1, -1, -1, -1), measured_std=std, num_solves=12
    )
    drawn = last(ddim(denoise, starts, 60, CLEAN)).images.flatten(1)
    mean, map_ = drawn[0], (drawn[1:] - drawn[0]).mT
    gain = (
        data.covariance
        @ a.mT
        @ torch.linalg.inv(a @ data.covariance @ a.mT + std**2 * torch.eye(len(a)).double())
    )
    expected_mean = data.mean + (measured.flatten() - a @ data.mean) @ gain.mT
    expected_covariance = data.covariance - gain @ a @ data.covariance
    scale = data.covariance.diagonal().mean().sqrt()
    assert (mean - expected_mean).abs().max() < 0.04 * scale
    relative = (map_ @ map_.mT - expected_covariance).norm() / expected_covariance.norm()
    assert relative < 0.08
    # the covariance without the measurement is far from it
    assert (data.covariance - expected_covariance).norm() / expected_covariance.norm() > 0.3


@pytest.mark.parametrize("operator", OPERATORS, ids=NAMES)
def test_samples_agree_with_the_measurement(operator):
    data = correlated()
    truth = data.mean + random(1, SIZE, seed=7) @ torch.linalg.cholesky(data.covariance).mT
    measured = operator(truth.view(1, *SHAPE)).expand(3, -1, -1, -1)
    denoise = conditioned(data, operator, measured, measured_std=0.01, num_solves=12)
    drawn = last(ancestral(denoise, random(3, *SHAPE), 50, CLEAN)).images
    free = last(ancestral(data, random(3, *SHAPE), 50, CLEAN)).images
    misses = [(operator(images) - measured).square().mean().sqrt() for images in (drawn, free)]
    assert misses[0] < 0.02 < 0.3 < misses[1]


def test_the_denoiser_works_in_inference_mode():
    data, operator, images = correlated(), Downsample(2), random(2, *SHAPE)
    denoise = conditioned(data, operator, operator(images), num_solves=2)
    rates = rates_at(time_grid(4, CLEAN), 1, images)
    plain = denoise(images, *rates)
    with torch.inference_mode():
        inside = denoise(images + 0, *(rate + 0 for rate in rates))
    assert torch.equal(plain.images, inside.images)
    assert not plain.images.requires_grad


def test_conjugate_residuals_are_exact_after_as_many_steps_as_eigenvalues():
    values = torch.tensor([1.0, 1.0, 3.0, 10.0], dtype=torch.float64).view(1, 1, 2, 2)
    wanted = random(5, 1, 2, 2)
    torch.testing.assert_close(conjugate_residuals(lambda u: values * u, wanted, 3), wanted / values)
    # also without symmetry, where conjugate gradients diverge
    turning = torch.tensor([[1.0, 5.0], [-5.0, 1.0]], dtype=torch.float64)
    wanted_pair = random(4, 1, 1, 2)
    solved = conjugate_residuals(lambda u: u @ turning.mT, wanted_pair, 2)
    torch.testing.assert_close(solved @ turning.mT, wanted_pair)
    nothing = conjugate_residuals(lambda u: -u, wanted, 3)  # not positive definite: it is not moved
    assert torch.equal(nothing, torch.zeros_like(wanted))


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Downsample(3)(random(1, *SHAPE)), "3 does not divide 2x4: take 2"),
        (lambda: Downsample(3)(random(1, 1, 5, 7)), "take pictures of another size"),
        (lambda: Downsample(0), "at least 1"),
        (lambda: Blur(0.0), "sigma of a blur is above 0"),
        (lambda: Blur(float("nan")), "sigma of a blur is above 0"),
        (lambda: Grey((1.0, 1.0))(random(1, *SHAPE)), "has 2 for 3"),
        (lambda: Grey((0.0,)), "must differ from 0"),
        (
            lambda: conditioned(correlated(), Blur(1.0), random(1, *SHAPE), measured_std=0.0),
            "measured_std must be above 0",
        ),
        (
            lambda: conditioned(correlated(), Blur(1.0), random(1, *SHAPE), num_solves=0),
            "num_solves must be at least 1",
        ),
    ],
)
def test_bad_arguments_raise(call, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        call()
