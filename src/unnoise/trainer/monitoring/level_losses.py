"""Held-out loss at each noise level, and its chart: it shows at which noise levels a network is weak."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.schedules import log_snr
from unnoise.diffusion.tensors import SomeClasses, SomePixels
from unnoise.pictures.charts import COLOURS, FAINT, painted
from unnoise.pictures.loss_curves import scale_losses
from unnoise.runs.history import LevelRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

NUM_LEVELS = 12
"""At the middles of equal parts of the diffusion time."""


@torch.no_grad()
def level_losses(model: Denoiser, images: SomePixels, classes: SomeClasses | None, step: int) -> list[LevelRow]:
    """Losses of the averaged network on these pictures (N, C, H, W), at each of NUM_LEVELS levels.

    The noises are the same each time, so that differences between steps come from the network.
    """
    normalized = model.normalizer.normalize(images.to(model.device))
    told = classes if model.abilities.clusters is None else model.abilities.classes_of(images)
    known = told.to(model.device) if told is not None and model.abilities.num_classes else None
    generator = torch.Generator().manual_seed(0)
    losses = []
    for level in range(NUM_LEVELS):
        time = torch.full((len(images), 1, 1, 1), (level + 0.5) / NUM_LEVELS, dtype=torch.float64)
        rates = model.schedule(time)
        noises = torch.randn(normalized.shape, generator=generator).to(model.device)
        noise_rates, signal_rates = (rate.float().to(model.device) for rate in rates)
        found = model.losses(normalized, noises, noise_rates, signal_rates, classes=known)
        losses.append(LevelRow(step, float(log_snr(*rates)[0]), float(found.losses.mean())))
    return losses


def level_chart(rows: "Sequence[LevelRow]") -> Image.Image:
    """Chart of the loss against the log-SNR: the newest measurement strong, older ones paler."""
    steps = sorted({row.step for row in rows})
    curves = {step: sorted((row.log_snr, row.loss) for row in rows if row.step == step) for step in steps}

    def draw(figure: "Figure") -> None:
        axes = figure.subplots()
        axes.set_title("Held-out loss at each noise level")
        axes.set_xlabel("log-SNR = 2 ln (signal / noise): noise on the left, pictures on the right")
        for place, (step, curve) in enumerate(curves.items(), start=1):
            newest = place == len(curves)
            axes.plot(
                *np.transpose(curve),
                color=COLOURS[0] if newest else FAINT,
                alpha=1.0 if newest else 0.15 + 0.5 * place / len(curves),
                marker="o" if newest else None,
                markersize=4.0,
                label=f"step {step:,}" if newest or place == 1 else None,
            )
        scale_losses(axes, np.array([row.loss for row in rows]))
        axes.legend(frameon=False)

    return painted(draw, (8.0, 4.0))
