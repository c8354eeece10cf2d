"""A schedule is seen twice: as its two rates against time, and as the log-SNR that they amount to."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image

from unnoise.diffusion.tensors import Rates
from unnoise.pictures.charts import COLOURS, FAINT, INK, Label, name_at_the_end, painted
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

POINTS = 501
# Beyond this an image is clean, or noise, to any eye; curves that run to infinity are cut here.
FURTHEST_LOG_SNR = 15.0


class Curves(NamedTuple):
    """What is drawn of one schedule, each of shape (POINTS,)."""

    times: Float[np.ndarray, " points"]
    noise_rates: Float[np.ndarray, " points"]
    signal_rates: Float[np.ndarray, " points"]

    @property
    def log_snr(self) -> Float[np.ndarray, " points"]:
        """2 ln(signal / noise), NaN where a rate is not above 0."""
        with np.errstate(divide="ignore", invalid="ignore"):
            log_snr = 2.0 * (np.log(self.signal_rates) - np.log(self.noise_rates))
        return np.where(np.isfinite(log_snr), log_snr, np.nan)


def _evaluated(schedule: Callable[[Rates], tuple[Rates, Rates]]) -> Curves:
    times = torch.linspace(0.0, 1.0, POINTS).view(-1, 1, 1, 1)
    with torch.no_grad():
        noise_rates, signal_rates = schedule(times)
    return Curves(*(rates.double().flatten().cpu().numpy() for rates in (times, noise_rates, signal_rates)))


def _draw_rates(axes: "Axes", curves: Mapping[str, Curves]) -> None:
    for colour, one in zip(COLOURS, curves.values(), strict=False):
        axes.plot(one.times, one.noise_rates, color=colour)
        axes.plot(one.times, one.signal_rates, color=colour, linestyle=(0, (4, 2)), linewidth=1.5)
    axes.set_title("Rates")
    axes.set(xlim=(0.0, 1.0), ylim=(-0.02, 1.04), xlabel="diffusion time t", ylabel="standard deviation")
    ends = [
        float(np.mean([rates[-1] for rates in end]))
        for end in ([c.noise_rates for c in curves.values()], [c.signal_rates for c in curves.values()])
    ]
    labels = [
        Label(text, (end + 0.02) / 1.06, INK)
        for text, end in zip(("noise\n(solid)", "signal\n(dashed)"), ends, strict=True)
    ]
    name_at_the_end(axes, labels, distance=0.15)


def _draw_log_snr(axes: "Axes", curves: Mapping[str, Curves]) -> None:
    axes.axhline(0.0, color=FAINT, linewidth=0.7)
    labels = []
    for colour, (name, one) in zip(COLOURS, curves.items(), strict=False):
        log_snr = one.log_snr
        axes.plot(one.times, log_snr, color=colour)
        last = log_snr[np.isfinite(log_snr)][-1:].clip(-FURTHEST_LOG_SNR, FURTHEST_LOG_SNR)
        labels += [Label(name, (value / FURTHEST_LOG_SNR + 1.0) / 2.0, colour) for value in last]
    axes.set_title("log-SNR = 2 ln (signal / noise)")
    axes.set(xlim=(0.0, 1.0), ylim=(-FURTHEST_LOG_SNR, FURTHEST_LOG_SNR), xlabel="diffusion time t")
    name_at_the_end(axes, labels, distance=0.07)


def schedule_plot(schedules: Mapping[str, Callable[[Rates], tuple[Rates, Rates]]]) -> Image.Image:
    """Draws named schedules: noise and signal rates against t, and beside them the log-SNR against t.

    Args:
        schedules: 1 to 8 of them by name; each is called once with times in [0, 1] of shape (B, 1, 1, 1) and
            returns (noise_rates, signal_rates) of that shape.

    Raises:
        UnnoiseError: no schedule, or more than can be told apart.
    """
    require(
        1 <= len(schedules) <= len(COLOURS),
        f"A plot tells 1 to {len(COLOURS)} schedules apart, but it got {len(schedules)}: draw several plots.",
    )
    curves = {name: _evaluated(schedule) for name, schedule in schedules.items()}

    def draw(figure: "Figure") -> None:
        left, right = figure.subplots(1, 2)
        _draw_rates(left, curves)
        _draw_log_snr(right, curves)

    return painted(draw, (10.0, 4.0))
