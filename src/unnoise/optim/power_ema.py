r"""A power-function average remembers the same part of a run however long it is, and can be chosen afterwards.

    average_t = (gamma + 1) / t^(gamma + 1)  *  integral from 0 to t of  tau^gamma network(tau) dtau

Its width is told as sigma_rel, the standard deviation of the profile (gamma + 1) tau^gamma / t^(gamma + 1) over
[0, t], as a part of t: 0.10 remembers the last tenth, more or less. Profiles that were stored along the way can
be mixed into nearly any other one after training. Karras et al., 2312.02696, section 3 and algorithms 2 and 3.
"""

import copy
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from unnoise.utils.errors import require

WIDEST = 12**-0.5
"""The sigma_rel of gamma = 0, at which all steps weigh the same; beyond it, early steps would weigh more."""

USUAL = (0.05, 0.10)
"""What is worth storing: from eight snapshots of these, 0.04 to 0.15 can be had to 4 %."""


def require_sigma_rel(sigma_rel: float) -> None:
    """Raises `UnnoiseError` unless 0 < sigma_rel <= 12^(-1/2)."""
    require(
        0 < sigma_rel <= WIDEST,
        f"sigma_rel is above 0 and at most {WIDEST:.4f}, where all steps weigh the same, but got "
        f"{sigma_rel:g}: try 0.10.",
    )


def gamma_of(sigma_rel: float) -> float:
    """The exponent of the profile this wide (algorithm 2).

    The largest real root of  g^3 + 7 g^2 + (16 - s^-2) g + 12 - s^-2 = 0.

    Raises:
        UnnoiseError: unless 0 < sigma_rel <= 12^(-1/2).
    """
    require_sigma_rel(sigma_rel)
    inverse = sigma_rel**-2
    # All three roots are real here; where rounding makes a pair complex, its real part is far below.
    return max(0.0, float(np.roots([1.0, 7.0, 16.0 - inverse, 12.0 - inverse]).real.max()))


def sigma_rel_of(gamma: float) -> float:
    """The width of the profile with this exponent: sqrt((g + 1) / ((g + 2)^2 (g + 3))), for gamma > -1."""
    return float(np.sqrt((gamma + 1) / ((gamma + 2) ** 2 * (gamma + 3))))


def decay(step: int, previous_step: int, gamma: float) -> float:
    """What is left, at `step`, of an average that was last updated at `previous_step`: (t' / t)^(gamma + 1).

    The network is taken to have been, since then, what it is now. This is the product over the steps between of
    the paper's one-step decay (1 - 1/t)^(gamma + 1), so the profile does not depend on how often one updates.
    The first update of all, from step 0, copies.
    """
    return float((previous_step / step) ** (gamma + 1))


class Profile(NamedTuple):
    """Which average: taken at this step, this wide."""

    step: int
    sigma_rel: float


class Mixture(NamedTuple):
    """How stored profiles make up another one."""

    weights: tuple[float, ...]
    misfit: float
    """How far the mixture is from the wanted profile p, in L2 over all steps: |mixture - p| / |p|."""


def inner_products(left: Sequence[Profile], right: Sequence[Profile]) -> np.ndarray:
    """A_ij = integral of p_i p_j, of shape (left, right), in float64 (algorithm 3).

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
    """The mixture of stored profiles that is nearest to the wanted one in L2, its weights summing to 1.

    The paper solves A w = b, with A_ij = <p_i, p_j> and b_i = <p_i, wanted>. Where the fit is good its weights
    sum to 1 by themselves; where it is poor they don't, and would shrink the network. So ours solve

        A w + m = b,  sum w = 1        (m: the multiplier of the constraint)

    Weights may be negative. Rounding in what is stored is multiplied by them: store float32.

    Args:
        stored: distinct, none of them after the wanted step.

    Raises:
        UnnoiseError: for a sigma_rel that is out of range.
    """
    norms = np.sqrt(np.diagonal(inner_products(stored, stored)))
    matrix = inner_products(stored, stored) / np.outer(norms, norms)  # in units of their norms: well scaled
    overlaps = inner_products(stored, [wanted])[:, 0] / norms
    square = float(inner_products([wanted], [wanted])[0, 0])
    ones = norms.min() / norms
    system = np.block([[matrix, ones[:, None]], [ones[None, :], np.zeros((1, 1))]])
    # Snapshots a few steps apart are nearly the same; the cut-off keeps their weights from growing without end.
    scaled = np.linalg.lstsq(system, np.append(overlaps, norms.min()), rcond=1e-9)[0][:-1]
    misfit = max(0.0, float(scaled @ matrix @ scaled - 2 * scaled @ overlaps + square) / square) ** 0.5
    return Mixture(tuple((scaled / norms).tolist()), misfit)


class PowerAverages:
    """Power-function averages of a network: `update()` after each training step, `networks` to read them.

    Weights and batch statistics are averaged; integer buffers can't be, and are copied. None are kept where
    there are no `sigma_rels`.

    Args:
        network: what is averaged, bare of whatever a distributed run wraps around it later.
        sigma_rels: one average for each.
        every: updates at every so many steps only; the profiles are right for any.
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
        """What the averages are just now: as of the last step at which they were updated, 0 for none."""
        return [Profile(self.steps - self.steps % self.every, sigma_rel) for sigma_rel in self.sigma_rels]

    @torch.no_grad()
    def update(self) -> None:
        """Counts a step, and moves the averages towards the network where it is time."""
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
    """Those that can be averaged, and those that can't."""
    both = [*network.parameters(), *network.buffers()]
    return [t for t in both if t.is_floating_point()], [t for t in both if not t.is_floating_point()]
