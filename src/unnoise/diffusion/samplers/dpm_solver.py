r"""DPM-Solver++ samplers, multistep, deterministic and SDE (Lu et al., 2211.01095).

With lambda = log(signal / noise), h = lambda' - lambda over the step, and x_0(lambda) the predicted images (eq.
9; with added noise, eta > 0, as in k-diffusion):

    x' = alpha' D + sigma' (e^{-eta h} eps + sqrt(1 - e^{-2 eta h}) z),       eps = (x - alpha D) / sigma
    D = the mean of x_0 over the step, weighted by e^{(1 + eta) lambda}

x_0 is approximated by the polynomial in lambda through the last predictions: m_0 of this step, m_1 and m_2 of
the one and two steps before.
"""

import math
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch

from unnoise.diffusion.samplers.ddim import require_eta
from unnoise.diffusion.samplers.grid import Times, gaussian, rates_at, time_grid
from unnoise.diffusion.samplers.polynomials import weighted_sum
from unnoise.diffusion.schedules import OffsetCosine, RatePair, Schedule
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require


def dpm_solver(
    denoise: Denoise,
    noises: Images,
    num_steps: int = 20,
    schedule: Schedule = OffsetCosine(),  # noqa: B008 (frozen)
    *,
    order: int = 2,
    eta: float = 0.0,
    published: bool = False,
    times: Times | None = None,
    draw_noises: Callable[[], Images] | None = None,
) -> Iterator[Prediction]:
    r"""DPM-Solver++ sampler: 2M with order = 2, 3M with order = 3, and with eta = 1 their SDE variants.

    One call of `denoise` a step. Order 1 is DDIM, order 2 the paper's algorithm 2. The first steps have fewer
    predictions and are of lower order; order 3 is reached only if they are at almost pure noise. A last step
    that ends without noise, where h is infinite, is of order 1.

    Args:
        denoise, noises, num_steps, schedule, times, draw_noises: as for `ddim`.
        order: 1, 2 or 3.
        eta: 0 draws no noise (the probability flow); 1 draws as much as ancestral sampling.
        published: takes half of the second derivative, as the code of the authors, diffusers and k-diffusion
            does at order 3: their D_2 is the second divided difference, and the derivative is twice that. This
            converges at second order only, but is more stable with few steps.

    Yields:
        `Prediction(noises, images)`, each (B, C, H, W), num_steps times: D, and the noises that mix with it to
        x_t. The images of the last are the result. No noise is drawn after the last step.

    Raises:
        UnnoiseError: for num_steps < 1, another order, eta outside [0, 1], or a step without change of the
            noise.
    """
    require(1 <= order <= 3, f"DPM-Solver++ has the orders 1, 2 and 3, but got {order}: try 2.")
    require_eta(eta)
    grid = time_grid(num_steps, schedule, times)
    lambdas = _lambdas(grid)
    draw = draw_noises or gaussian(noises)
    noisy_images, last_images = noises, deque[Images](maxlen=order)  # the newest first
    for step in range(num_steps):
        with torch.no_grad():
            noise_rates, signal_rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, noise_rates, signal_rates)
            last_images.appendleft(prediction.images)
            if len(last_images) > 1 and lambdas[step + 1] < math.inf:
                nodes = lambdas[step + 1 :: -1][: len(last_images) + 1]
                weights = _weights(nodes, eta, published=published, midpoint=order == 2)
                images = weighted_sum(weights, last_images)
                eps = (noisy_images - signal_rates * images) / noise_rates
                prediction = prediction._replace(noises=eps, images=images)
        yield prediction
        if step + 1 < num_steps:
            kept = math.exp(-eta * (lambdas[step + 1] - lambdas[step])) if eta else 1.0
            eps = kept * prediction.noises
            if eta:
                eps = eps + math.sqrt(1 - kept**2) * draw()
            noisy_images = mix(prediction.images, eps, *rates_at(grid, step + 1, noises))


def _lambdas(grid: RatePair) -> list[float]:
    """The lambda of each time of the grid, rising; -inf without signal, inf without noise."""
    lambdas: list[float] = (grid.signal_rates.log() - grid.noise_rates.log()).flatten().tolist()
    require(
        all(before < after for before, after in pairwise(lambdas)),
        "Each step of DPM-Solver++ must reduce the noise, but some of these stay on one timestep of the "
        "discrete schedule: take fewer steps, or the times of samplers.spaced_times.",
    )
    return lambdas


def _weights(nodes: list[float], eta: float, *, published: bool, midpoint: bool) -> tuple[float, ...]:
    r"""The weights of m_0, m_1 (and m_2) in D, from lambda', lambda, and the one or two lambdas before.

    With u = (1 + eta) h, the slope m' and curvature m'' of the polynomial at lambda, and

        phi_1 = 1 - e^{-u},    phi_2 = 1 - phi_1 / u,    phi_3 = 1/2 - phi_2 / u
        D = m_0 + (phi_2 h m' + phi_3 h^2 m'') / phi_1

    Algorithm 2 has h m' / 2, the value at the middle of the step, in place of the second term.
    """
    h, before, *earlier = (after - node for after, node in pairwise(nodes))
    u = (1 + eta) * h
    phi_1 = -math.expm1(-u)
    phi_2 = 1 - phi_1 / u
    phi_3 = 1 / 2 - phi_2 / u
    slope = h / 2 if midpoint else h * phi_2 / phi_1
    if not earlier:
        return 1 + slope / before, -slope / before
    curvature = h**2 * phi_3 / phi_1 * (1 if published else 2)
    # ((m_0 - m_1) / before - (m_1 - m_2) / earlier) / (before + earlier), the second divided difference, is
    # half the curvature; it also moves the slope from the middle of the step before to its end.
    second = (slope * before + curvature) / (before + earlier[0])
    newest, oldest = (slope + second) / before, second / earlier[0]
    return 1 + newest, -newest - oldest, oldest
