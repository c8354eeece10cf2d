r"""Exponential moving average of the weights (EMA), by the library ema-pytorch.

    ema <- d ema + (1 - d) network,    after every step, over all weights and batch statistics

The averaged network is what samples are drawn with. ema-pytorch's defaults copy the weights for 100 steps, then
average at every tenth, and save the network twice. Here it averages from the first step on, from an exact copy.
"""

from dataclasses import dataclass

import torch
from ema_pytorch import EMA
from torch import nn

from unnoise.optim.power_ema import require_sigma_rel
from unnoise.utils.errors import require

_MOST_PROFILES = 16
"""Each is a copy of the network."""


@dataclass(frozen=True, kw_only=True)
class EMAConfig:
    r"""Settings of the moving average: its decay, and which further averages are stored.

    Args:
        decay: d, the largest decay. Half-life: ln 2 / (1 - d) steps.
        warmup: None for the constant decay d. Otherwise d_t = 1 - (1 + t / warmup)^-1 until it reaches d: the
            average then always remembers about the last 1 / warmup of the run so far, which suits short runs.
            After the first steps it is nearly the power-function average of EDM2 (2312.02696, section 3) with
            gamma = warmup - 1.
        profiles: the sigma_rels of further averages, which are stored along the way so that `unnoise ema` can
            choose among all widths after training (see power_ema.py); none by default.
        profile_every: these are updated at every so many steps.
        snapshots: they are stored so many times, at equal parts of the budget.
        megabytes: disk that they may take, in 10^6 bytes; None for 1,000. Where they need more, fewer steps are
            kept, about evenly spread, but always five whatever the size of the network; see `runs.snapshots`.

    Raises:
        UnnoiseError: unless 0 <= decay < 1 and warmup > 0, each profile is from above 0 to 12^(-1/2) and there
            but once, and the last three are above 0.
    """

    decay: float = 0.999
    warmup: float | None = None
    profiles: tuple[float, ...] = ()
    profile_every: int = 1
    snapshots: int = 8
    megabytes: float | None = None

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, f"The EMA's decay is from 0 to below 1, but got {self.decay}. Try 0.999.")
        require(
            self.warmup is None or self.warmup > 0,
            f"The EMA's warmup is above 0, or null for none, but got {self.warmup}. Try 16.",
        )
        for sigma_rel in self.profiles:
            require_sigma_rel(sigma_rel)
        require(
            len(set(self.profiles)) == len(self.profiles) <= _MOST_PROFILES,
            f"The EMA's profiles are at most {_MOST_PROFILES} different widths, but got {self.profiles}. Leave "
            "some out.",
        )
        for name in ("profile_every", "snapshots", "megabytes"):
            value = getattr(self, name)
            require(
                value is None or value > 0,
                f"The EMA's {name} is above 0, but got {value}. Leave it out for the default.",
            )


class MovingAverage:
    """Exponential moving average of a network: `update()` after each step, `network` to sample from.

    The average starts as an exact copy, is always in eval mode, and never asks for gradients. Integer buffers
    (BatchNorm's counter) can't be averaged and are copied.
    """

    def __init__(self, network: nn.Module, config: EMAConfig) -> None:
        self._ema = EMA(
            network,
            beta=config.decay,
            update_every=1,
            update_after_step=-1,  # the first update already averages
            inv_gamma=config.warmup or 1.0,
            power=1.0,
            min_value=config.decay if config.warmup is None else 0.0,
            include_online_model=False,
            use_foreach=True,
        )
        self._ema.initted.fill_(True)  # it was copied just now
        self._ema.step = self._ema.step.double()  # or the decay would be rounded to float32
        self.network: nn.Module = self._ema.ema_model.requires_grad_(False).eval()
        """The averaged network."""
        self.source = network
        """The network that is averaged, bare of whatever a distributed run wraps around it."""

    @property
    def decay(self) -> float:
        """The decay of the last update."""
        return float(self._ema.get_current_decay())

    @property
    def steps(self) -> int:
        """Number of updates so far, which a run stores beside the weights."""
        return int(self._ema.step)

    @steps.setter
    def steps(self, value: int) -> None:
        self._ema.step.fill_(value)

    @torch.no_grad()
    def update(self) -> None:
        """Moves the average towards the network by one step."""
        self._ema.update()
        for averaged, current in zip(self.network.buffers(), self.source.buffers(), strict=True):
            if not averaged.is_floating_point():
                averaged.copy_(current)
