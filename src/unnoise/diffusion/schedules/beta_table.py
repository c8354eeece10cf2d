r"""Beta table: the discrete schedule whose betas are given one by one (`trained_betas` in diffusers).

alpha_bar_k = prod_{i <= k} (1 - beta_i)          (DDPM, 2006.11239, eq. 4)
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float64
from torch import Tensor

from unnoise.diffusion.schedules.discrete import MOST_TIMESTEPS, DiscreteSchedule
from unnoise.utils.errors import require


@dataclass(frozen=True)
class BetaTable(DiscreteSchedule):
    """Discrete schedule given by the table of its betas; `num_timesteps` is the length of the table.

    Args:
        table: beta_0 ... beta_{T-1}, each above 0 and at most 1; only the last may be 1.

    Raises:
        UnnoiseError: for fewer than 2 betas, or one outside (0, 1].
    """

    table: tuple[float, ...] = (0.5, 0.9)

    def __post_init__(self) -> None:
        require(
            2 <= len(self.table) <= MOST_TIMESTEPS and all(0 < beta <= 1 for beta in self.table),
            f"A BetaTable needs 2 to {MOST_TIMESTEPS:,} betas above 0 and at most 1, but got "
            f"{len(self.table):,} from {min(self.table, default=0):g} to {max(self.table, default=0):g}.",
        )
        object.__setattr__(self, "num_timesteps", len(self.table))
        super().__post_init__()

    @cached_property
    def alphas_cumprod(self) -> Float64[Tensor, " T"]:
        """The cumulative product of 1 - beta."""
        return (1 - torch.tensor(self.table, dtype=torch.float64)).cumprod(0)
