"""UniPC, DEIS and Adams-Bashforth for steps of any length converge at their orders, on known data."""

import functools
import math
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from scipy.integrate import solve_ivp

from helpers.oracles import Gaussian, column, last
from unnoise.diffusion.samplers.adams import adams
from unnoise.diffusion.samplers.deis import deis
from unnoise.diffusion.samplers.unipc import unipc
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction, mix

NOISES = torch.randn(2, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
WIDE = OffsetCosine(0.3, 0.95)


@dataclass(frozen=True)
class Mixture:
    """Data from one of two Gaussians: the mean of what each would see, by how probable it is."""

    means: tuple = (-0.7, 0.8)
    stds: tuple = (1.1, 0.4)
    weights: tuple = (0.5, 0.5)

    def __call__(self, noisy_images, noise_rates, signal_rates) -> Prediction:
        logs, seen = [], []
        for mean, std, weight in zip(self.means, self.stds, self.weights, strict=True):
            variances = (signal_rates * std).square() + noise_rates.square()
            distances = (noisy_images - signal_rates * mean).square() / variances
            logs.append(math.log(weight) - (distances + variances.log()) / 2)
            seen.append(Gaussian(mean, std)(noisy_images, noise_rates, signal_rates))
        chances = torch.stack(logs).softmax(0)
        return Prediction(*((chances * torch.stack(part)).sum(0) for part in list(zip(*seen, strict=True))[:2]))


GAUSSIANS = Gaussian(0.3, column(0.2, 0.5, 1.5, dtype=torch.float64))
"""One for each image: an error constant that happens to be near 0 for one of them is not for all."""
MIXTURE = Mixture()
STARTS = NOISES[:1].repeat(4, 1, 1, 1)


def gaussians_and_mixture(noisy_images, noise_rates, signal_rates) -> Prediction:
    """Three images from a Gaussian each, and one from the mixture: a walk measures both."""
    gaussian = GAUSSIANS(noisy_images[:3], noise_rates[:3], signal_rates[:3])
    mixed = MIXTURE(noisy_images[3:], noise_rates[3:], signal_rates[3:])
    return Prediction(torch.cat([gaussian.noises, mixed.noises]), torch.cat([gaussian.images, mixed.images]))


@functools.cache
def exact_ends():
    """X at t = 0: along a Gaussian's flow (x - a mean) / sqrt(a^2 std^2 + n^2) stays; a mixture's, by scipy."""
    (noise, last_noise), (signal, end) = (r.flatten().tolist() for r in WIDE(column(1, 0, dtype=torch.float64)))
    spreads = [(a * GAUSSIANS.std).square().add(n**2).sqrt() for a, n in ((signal, noise), (end, last_noise))]
    gaussian = 0.3 * end + (STARTS[:3] - 0.3 * signal) * spreads[1] / spreads[0]

    def slope(ratio, state):  # d(x / signal) / dr = eps
        signal = 1 / math.hypot(1, ratio)
        rates = [column(rate, dtype=torch.float64) for rate in (ratio * signal, signal)]
        return MIXTURE(signal * torch.from_numpy(state).view(1, 1, 2, 2), *rates).noises.flatten().numpy()

    span, start = (noise / signal, last_noise / end), (STARTS[3] / signal).flatten().numpy()
    states = solve_ivp(slope, span, start, method="DOP853", rtol=1e-13, atol=1e-14).y
    return torch.cat([gaussian, end * torch.from_numpy(states[:, -1]).view(1, 1, 2, 2)])


def arrived(sampler, denoise, schedule, times, start=NOISES):
    prediction = last(sampler(denoise, start, len(times) - 1, schedule, times=times))
    return mix(prediction.images, prediction.noises, *schedule(times[-1].expand(len(start), 1, 1, 1)))


def orders_of_convergence(sampler, *, fine_ends=True):
    """The slopes of log error against log step, of Gaussians and mixture, for 40 and 80 steps.

    With fine ends, t = 1 - s^2 (3 - 2 s) for even s. Then the first step has length O(1 / K^2), so that what it
    costs to be of first order is O(1 / K^4).
    """
    errors = []
    for steps in (40, 80):
        even = torch.arange(steps + 1, dtype=torch.float64) / steps
        times = 1 - (even.square() * (3 - 2 * even) if fine_ends else even)
        off = (arrived(sampler, gaussians_and_mixture, WIDE, times, STARTS) - exact_ends()).square()
        errors.append([off[:3].mean().sqrt().item(), off[3:].mean().sqrt().item()])
    return [math.log2(coarse / fine) for coarse, fine in zip(*errors, strict=True)]


CLAIMS = [
    *((partial(adams, order=order), order) for order in (1, 2, 3, 4)),
    *(
        (partial(deis, order=order, variable=variable), order)
        for order in (1, 2, 3)
        for variable in ("time", "log_snr")
    ),
    *(
        (partial(unipc, order=order, variant=variant, corrector=corrector), order + corrector)
        for order in (1, 2, 3)
        for variant in ("bh1", "bh2")
        for corrector in (False, True)
    ),
]


@pytest.mark.parametrize(("sampler", "order"), CLAIMS)
def test_order_of_convergence(sampler, order):
    assert orders_of_convergence(sampler) == pytest.approx([order, order], abs=0.2)


@pytest.mark.parametrize(
    ("sampler", "order"),
    [
        (adams, 2),
        (deis, 2),
        (partial(unipc, corrector=False, lower_order_final=False), 2),
        (partial(unipc, order=2, lower_order_final=False), 3),
        (unipc, 2),  # its last step is of first order, too
    ],
)
def test_on_even_steps_the_first_step_counts(sampler, order):
    """A first step of first order leaves an error of second order, and a corrected one of third."""
    assert orders_of_convergence(sampler, fine_ends=False)[0] == pytest.approx(order, abs=0.25)
