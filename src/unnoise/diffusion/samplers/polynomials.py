"""What is not seen lies on the polynomial through what is: its mean over a step is a weighted sum."""

import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence

import torch

from unnoise.diffusion.samplers.flow import along
from unnoise.diffusion.samplers.grid import rates_at
from unnoise.diffusion.schedules import RatePair
from unnoise.diffusion.tensors import Denoise, Images, Prediction, mix
from unnoise.utils.errors import require

LEAST_SIGNAL = 1e-5
"""Below this signal rate a schedule counts as starting in nothing but noise; a cosine rounds its 0 to 6e-17."""


def require_order(order: int, highest: int, name: str) -> None:
    """Raises `UnnoiseError` outside 1 ... highest."""
    require(1 <= order <= highest, f"The order of {name} is from 1 to {highest}, but got {order}: try 2.")


def polynomial_weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    r"""The weights that turn values at the nodes into the mean of the polynomial through them (Lagrange).

        sum_j w_j f(u_j) = mean of f,      w_j = mean of prod_{i != j} (u - u_i) / (u_j - u_i)

    exactly for every polynomial f of lower degree than there are nodes.

    Args:
        nodes: u_j, all different.
        moments: the means of u^0, u^1, ... over whatever is averaged; the first is 1.
    """
    weights = []
    for place, node in enumerate(nodes):
        coefficients = [1.0]  # of the product so far, from u^0 on
        for other in (*nodes[:place], *nodes[place + 1 :]):
            pairs = zip([0.0, *coefficients], [*coefficients, 0.0], strict=True)
            coefficients = [(below - other * here) / (node - other) for below, here in pairs]
        weights.append(math.fsum(c * moment for c, moment in zip(coefficients, moments, strict=True)))
    return weights


def decaying_moments(length: float, count: int) -> list[float]:
    r"""The means of v^0, v^1, ... under the weight e^{-v} from 0 to `length`, which may be infinite.

        k! P(k + 1, length) / P(1, length)

    with the incomplete gamma function P. They are the functions phi_k of the exponential integrators
    (UniPC, 2302.04867, appendix A), without the digits that their recursion loses in short steps.
    """
    orders = torch.arange(1, count + 1, dtype=torch.float64)
    shares = torch.special.gammainc(orders, torch.tensor(length, dtype=torch.float64)).tolist()
    return [math.factorial(power) * share / shares[0] for power, share in enumerate(shares)]


def weighted(weights: Sequence[float], images: Sequence[Images]) -> Images:
    """The weighted sum of several batches of images or noises."""
    return torch.stack([weight * seen for weight, seen in zip(weights, images, strict=True)]).sum(0)


def with_signal(grid: RatePair, step: int) -> bool:
    """Whether there is an image to be seen at a step; there, noise / signal is a number."""
    return float(grid.signal_rates[step]) > LEAST_SIGNAL


def extrapolated(
    denoise: Denoise,
    noises: Images,
    grid: RatePair,
    order: int,
    weights: Callable[[int, Sequence[int]], list[float]],
    *,
    lower_order_final: bool = False,
) -> Iterator[Prediction]:
    """Walks along the grid with the mean of eps over each step from what was seen in this and those before.

    The first steps have seen less and are of lower order; a start without signal is not remembered.

    Args:
        denoise, noises: as for `samplers.ddim`.
        grid: K + 1 rates, falling.
        order: how many are seen at most.
        weights: of a step and the steps that were seen, the newest last: how much each eps counts.
        lower_order_final: whether the last steps are of order ..., 2, 1.

    Yields:
        as `multistep.multistep`.
    """
    num_steps = len(grid.noise_rates) - 1
    noisy_images, seen = noises, deque[tuple[int, Images]](maxlen=order)
    for step in range(num_steps):
        # Not around the yield: a mode that is set inside a generator would leak to whoever it yields to.
        with torch.no_grad():
            rates = rates_at(grid, step, noises)
            prediction = denoise(noisy_images, *rates)
            if with_signal(grid, step):
                seen.append((step, prediction.noises))
            used = list(seen)[-(num_steps - step) :] if lower_order_final else list(seen)
            if len(used) > 1:
                steps, eps = zip(*used, strict=True)
                prediction = along(weighted(weights(step, steps), eps), prediction, noisy_images, *rates)
        yield prediction
        noisy_images = mix(prediction.images, prediction.noises, *rates_at(grid, step + 1, noises))
