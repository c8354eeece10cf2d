"""What a network is told of the noise level: one number for each image, computed from its two rates."""

from typing import Literal

from torch import nn

from unnoise.diffusion.schedules import DiscreteSchedule, Schedule, log_snr
from unnoise.diffusion.tensors import Rates
from unnoise.utils.errors import UnnoiseError, require

Condition = Literal["variance", "rate", "log_snr", "timestep"]


def require_condition(condition: Condition, schedule: Schedule) -> None:
    """Raises `UnnoiseError` for a name that is none, or timesteps of a schedule without steps."""
    names = ("variance", "rate", "log_snr", "timestep")
    require(condition in names, f"A network is told one of {', '.join(names)}, but got {condition!r}.")
    require(
        condition != "timestep" or isinstance(schedule, DiscreteSchedule),
        f"{type(schedule).__name__} has no timesteps to tell the network: take LinearBeta or another discrete "
        "schedule, or condition on the log_snr.",
    )


def conditions(kind: Condition, noise_rates: Rates, signal_rates: Rates, schedule: Schedule) -> Rates:
    """The numbers for `network(noisy_images, conditions)`, (B, 1, 1, 1).

    variance: noise_rate^2, the book's. rate: noise_rate. log_snr: from [20, -20] to [0, 1], the best where the
    noise gets small and the variance no longer moves. timestep: 0 ... T - 1, DDPM's; from the rates, so that
    one `denoise` serves every sampler.
    """
    match kind:
        case "variance":
            return noise_rates.square()
        case "rate":
            return noise_rates
        case "log_snr":
            return (0.5 - log_snr(noise_rates, signal_rates) / 40).clamp(0, 1)
        case "timestep":
            if not isinstance(schedule, DiscreteSchedule):
                raise UnnoiseError("Only a discrete schedule has timesteps.")
            return schedule.timesteps_of(noise_rates, signal_rates)


class Abilities:
    """What a network can be told and can tell beyond the plain one; read from its `config`, if it has any."""

    def __init__(self, network: nn.Module) -> None:
        config = getattr(network, "config", None)
        self.num_classes: int = getattr(config, "num_classes", 0)
        self.self_conditioning: bool = getattr(config, "self_conditioning", False)
        self.learned_variance: bool = getattr(config, "learned_variance", False)
        self.uncertainty: bool = getattr(config, "uncertainty", False)
        self.dropout: bool = getattr(config, "dropout", 0.0) > 0
