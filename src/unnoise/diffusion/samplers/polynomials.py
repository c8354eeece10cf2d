"""Weights for integrating the polynomial through values at uneven nodes (Lagrange)."""

import math
from collections.abc import Sequence

import torch

from unnoise.diffusion.tensors import Images
from unnoise.utils.errors import require


def require_order(order: int, highest: int, name: str) -> None:
    """Raises `UnnoiseError` for an order outside 1 ... highest."""
    require(1 <= order <= highest, f"The order of {name} is from 1 to {highest}, but got {order}: try 2.")


def polynomial_weights(nodes: Sequence[float], moments: Sequence[float]) -> list[float]:
    r"""The weights w_j with which values at the nodes sum to the mean of the polynomial through them.

        sum_j w_j f(u_j) = mean of f,      w_j = mean of prod_{i != j} (u - u_i) / (u_j - u_i)

    exactly for every polynomial f whose degree is below the number of nodes.

    Args:
        nodes: u_j, all different.
        moments: the means of u^0, u^1, ... over the interval (or under the weight); the first is 1.
    """
    weights = []
    for place, node in enumerate(nodes):
        coefficients = [1.0]  # of the product so far, from u^0 on
        for other in (*nodes[:place], *nodes[place + 1 :]):
            pairs = zip([0.0, *coefficients], [*coefficients, 0.0], strict=True)
            coefficients = [(below - other * here) / (node - other) for below, here in pairs]
        weights.append(math.fsum(c * moment for c, moment in zip(coefficients, moments, strict=True)))
    return weights


def exponential_moments(length: float, count: int) -> list[float]:
    r"""The means of v^0, v^1, ... under the weight e^{-v} from 0 to `length`, which may be infinite.

        k! P(k + 1, length) / P(1, length)

    with the regularised incomplete gamma function P. These are the functions phi_k of exponential integrators
    (UniPC, 2302.04867, appendix A), without the loss of digits that their recursion has for short steps.
    """
    orders = torch.arange(1, count + 1, dtype=torch.float64)
    shares = torch.special.gammainc(orders, torch.tensor(length, dtype=torch.float64)).tolist()
    return [math.factorial(power) * share / shares[0] for power, share in enumerate(shares)]


def weighted_sum(weights: Sequence[float], images: Sequence[Images]) -> Images:
    """The weighted sum of several batches of images or noises, each (B, C, H, W)."""
    return torch.stack([weight * each for weight, each in zip(weights, images, strict=True)]).sum(0)
