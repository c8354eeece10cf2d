"""Noise conditioning: the number that tells a network how noisy each image is.

Also which optional inputs and outputs a network has, and which combinations of choices contradict each other.
"""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import nn

from unnoise.diffusion.clusters import Clusters
from unnoise.diffusion.schedules import DiscreteSchedule, Schedule, log_snr
from unnoise.diffusion.tensors import Classes, Features, Images, NextFeatures, PerImage, Rates, SomePixels
from unnoise.utils.errors import UnnoiseError, require

Condition = Literal["variance", "rate", "log_snr", "timestep"]


def conditions(kind: Condition, noise_rates: Rates, signal_rates: Rates, schedule: Schedule) -> Rates:
    """Conditions for `network(noisy_images, conditions)`, (B, 1, 1, 1), computed from the rates (B, 1, 1, 1).

    variance: noise_rate^2 (Keras DDIM). rate: noise_rate. log_snr: the log-SNR, mapped from [20, -20] to [0,
    1]; best at small noise, where the variance hardly changes. timestep: 0 ... T - 1 (DDPM, 2006.11239), found
    from the rates, so that one `denoise` serves every sampler.
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
                raise UnnoiseError("Only a discrete schedule has timesteps. Condition on the log_snr instead.")
            return schedule.timesteps_of(noise_rates, signal_rates)


class Abilities:
    """Optional inputs and outputs of a network, read from its `config` if it has one."""

    def __init__(self, network: nn.Module) -> None:
        config = getattr(network, "config", None)
        self.num_classes: int = getattr(config, "num_classes", 0)
        self.clusters: Clusters | None = getattr(network, "clusters", None)
        self.self_conditioning: bool = getattr(config, "self_conditioning", False)
        self.learned_variance: bool = getattr(config, "learned_variance", False)
        self.uncertainty: bool = getattr(config, "uncertainty", False)
        self.step_length: bool = getattr(config, "step_length", False)
        self.dropout: bool = getattr(config, "dropout", 0.0) > 0

    def classes_of(self, pictures: SomePixels | Images) -> Classes | None:
        """The cluster of each picture (B, C, H, W), uint8 or in [0, 1]; None for a network without clusters."""
        return None if self.clusters is None else self.clusters.of(pictures)

    def classes_of_seeds(self, seeds: Sequence[int]) -> Classes | None:
        """The cluster that the image of each seed is drawn from; None for a network without clusters."""
        return None if self.clusters is None else self.clusters.of_seeds(seeds)

    def split(self, output: Features) -> tuple[NextFeatures, NextFeatures | None, PerImage | None]:
        """Splits a network's output into prediction, variances v and uncertainties, as far as it has them.

        Channels of the output (B, _, H, W), in this order: C of the prediction; C raw values of the variances,
        with v = (raw + 1) / 2; one of the uncertainty, which is constant over H x W and is returned as (B,).
        """
        prediction: NextFeatures = output
        uncertainties = variances = None
        if self.uncertainty:
            prediction, uncertainties = prediction[:, :-1], prediction[:, -1, 0, 0]
        if self.learned_variance:
            prediction, raw = prediction.chunk(2, dim=1)
            variances = (raw + 1) / 2
        return prediction, variances, uncertainties


def require_compatible(condition: Condition, abilities: Abilities, schedule: Schedule, predicts: str) -> None:
    """Raises `UnnoiseError` where a schedule does not suit the network, its condition or its prediction."""
    kind, names = type(schedule).__name__, get_args(Condition)
    require(condition in names, f"The condition is one of {', '.join(names)}, but got {condition!r}.")
    discrete = isinstance(schedule, DiscreteSchedule)
    require(
        discrete or condition != "timestep",
        f"{kind} has no timesteps to condition on. Use LinearBeta or another discrete schedule, or condition "
        "on the log_snr.",
    )
    require(
        discrete or not abilities.learned_variance,
        f"A learned variance needs a discrete schedule, but got {kind}. Use LinearBeta, for example.",
    )
    _, last_signal = schedule(torch.ones(1, 1, 1, 1))
    require(
        predicts != "noise" or float(last_signal) > 1e-5,
        f"{kind} starts sampling with almost no signal, where a network that predicts the noise cannot recover "
        "the image. Predict the velocity, or use OffsetCosine.",
    )
