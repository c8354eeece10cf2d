r"""Power-function EMA of the weights (Karras et al., 2312.02696, section 3 and algorithms 2 and 3).

    average_t = (gamma + 1) / t^(gamma + 1)  *  integral from 0 to t of  tau^gamma network(tau) dtau

It averages over the same part of a run however long the run is. Its width is sigma_rel, the standard deviation
of the profile (gamma + 1) tau^gamma / t^(gamma + 1) over [0, t], as a part of t: 0.10 averages over about the
last tenth. From averages that are stored during training, nearly any other one can be synthesised afterwards.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from unnoise.utils.errors import require

MAX_SIGMA_REL = 12**-0.5
"""The sigma_rel of gamma = 0: all steps have the same weight; above it, early steps would weigh more."""

DEFAULT_SIGMA_RELS = (0.05, 0.10)
"""Widths to store: from eight snapshots of these, 0.04 to 0.15 can be synthesised to 4 %."""


def require_sigma_rel(sigma_rel: float) -> None:
    """Raises `UnnoiseError` unless 0 < sigma_rel <= 12^(-1/2)."""
    require(
        0 < sigma_rel <= MAX_SIGMA_REL,
        f"sigma_rel is above 0 and at most {MAX_SIGMA_REL:.4f}, where all steps weigh the same, but got "
        f"{sigma_rel:g}. Try 0.10.",
    )


def gamma_of(sigma_rel: float) -> float:
    """The exponent gamma of the profile with this width (algorithm 2).

    The largest real root of  g^3 + 7 g^2 + (16 - s^-2) g + 12 - s^-2 = 0.

    Raises:
        UnnoiseError: unless 0 < sigma_rel <= 12^(-1/2).
    """
    require_sigma_rel(sigma_rel)
    inverse = sigma_rel**-2
    # All three roots are real here; where rounding makes a pair complex, its real part is far below.
    return max(0.0, float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max()))


def decay(step: int, previous_step: int, gamma: float) -> float:
    """Decay of an average between two updates: (previous_step / step)^(gamma + 1).

    It is the product, over the steps between, of the paper's one-step decay (1 - 1/t)^(gamma + 1), so the
    profile does not depend on how often the average is updated. The first update, from step 0, copies.
    """
    return float((previous_step / step) ** (gamma + 1))


class Profile(NamedTuple):
    """Profile of an average: its step and its width."""

    step: int
    sigma_rel: float


class Mixture(NamedTuple):
    """Weights with which stored profiles make up another one."""

    weights: tuple[float, ...]
    misfit: float
    """Distance of the mixture from the wanted profile p, in L2 over all steps: |mixture - p| / |p|."""


def inner_products(left: Sequence[Profile], right: Sequence[Profile]) -> np.ndarray:
    """Inner products of profiles, A_ij = integral of p_i p_j: (left, right), in float64 (algorithm 3).

    A_ij = (g_i + 1) (g_j + 1) r^e / ((g_i + g_j + 1) max(t_i, t_j)), where r = min / max of the two steps, and
    e = the exponent of the later one.
    """
    (steps, gammas), (their_steps, their_gammas) = (_columns(profiles) for profiles in (left, right))
    steps, gammas = steps[:, None], gammas[:, None]
    latest = np.maximum(steps, their_steps)
    exponents = np.where(steps < their_steps, their_gammas, gammas)
    ratios = (np.minimum(steps, their_steps) / latest) ** exponents
    products: np.ndarray = (gammas + 1) * (their_gammas + 1) * ratios / ((gammas + their_gammas + 1) * latest)
    return products


def _columns(profiles: Sequence[Profile]) -> tuple[np.ndarray, np.ndarray]:
    steps = np.array([profile.step for profile in profiles], dtype=np.float64)
    return steps, np.array([gamma_of(profile.sigma_rel) for profile in profiles])


def mixture(stored: Sequence[Profile], wanted: Profile) -> Mixture:
    """The mixture of stored profiles nearest to the wanted one in L2, with weights that sum to 1.

    The paper solves A w = b, with A_ij = <p_i, p_j> and b_i = <p_i, wanted>. Where the fit is good its weights
    sum to 1 by themselves; where it is poor they don't, and would shrink the network. So this solves

        A w + m = b,  sum w = 1        (m: the multiplier of the constraint)

    Weights may be negative, and multiply the rounding errors of the stored averages: store float32.

    Args:
        stored: distinct profiles, none of a later step than the wanted one.

    Raises:
        UnnoiseError: for a sigma_rel that is out of range.
    """
    norms = np.sqrt(np.diagonal(inner_products(stored, stored)))
    matrix = inner_products(stored, stored) / np.outer(norms, norms)  # in units of their norms: well scaled
    overlaps = inner_products(stored, [wanted])[:, 0] / norms
    square = float(inner_products([wanted], [wanted])[0, 0])
    ones = norms.min() / norms
    system = np.block([[matrix, ones[:, None]], [ones[None, :], np.zeros((1, 1))]])
    # Snapshots a few steps apart are nearly the same; the cut-off bounds their weights.
    scaled = np.linalg.lstsq(system, np.append(overlaps, norms.min()), rcond=1e-9)[0][:-1]
    misfit = max(0.0, float(scaled @ matrix @ scaled - 2 * scaled @ overlaps + square) / square) ** 0.5
    return Mixture(tuple((scaled / norms).tolist()), misfit)


class PowerAverages:
    """Power-function averages of a network: `update()` after each training step, `networks` to read them.

    Weights and batch statistics are averaged; integer buffers are copied. Without `sigma_rels` there are none.

    Args:
        network: what is averaged, bare of what a distributed run wraps around it.
        sigma_rels: one average for each.
        every: number of steps between updates; the profiles are exact for any.
    """

    def __init__(self, network: nn.Module, sigma_rels: Sequence[float], every: int = 1) -> None:
        self.source = network
        self.sigma_rels = tuple(sigma_rels)
        self.every = every
        self.steps = 0
        self.networks = nn.ModuleList(copy.deepcopy(network) for _ in self.sigma_rels)
        self.networks.requires_grad_(False).eval()
        self._gammas = [gamma_of(sigma_rel) for sigma_rel in self.sigma_rels]

    @property
    def profiles(self) -> list[Profile]:
        """The profiles of the averages, at the step of their last update; 0 before the first."""
        return [Profile(self.steps - self.steps % self.every, sigma_rel) for sigma_rel in self.sigma_rels]

    @torch.no_grad()
    def update(self) -> None:
        """Counts a step, and updates the averages at every `every`-th."""
        self.steps += 1
        if not self.sigma_rels or self.steps % self.every:
            return
        current, counters = _tensors(self.source)
        for gamma, network in zip(self._gammas, self.networks, strict=True):
            averaged, copied = _tensors(network)
            torch._foreach_lerp_(averaged, current, 1 - decay(self.steps, self.steps - self.every, gamma))
            for target, counter in zip(copied, counters, strict=True):
                target.copy_(counter)


def _tensors(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The floating-point tensors of a network, and the others."""
    both = [*network.parameters(), *network.buffers()]
    return [t for t in both if t.is_floating_point()], [t for t in both if not t.is_floating_point()]
