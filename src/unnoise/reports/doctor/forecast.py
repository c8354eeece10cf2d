"""Forecast of a run: images, epochs, and a rough time until its samples are usable."""

from typing import NamedTuple

from unnoise.reports.doctor.speed import Speed
from unnoise.runs.config import RunConfig

SIMPLE = (40_000, 150_000)
"""Training images until samples of small grey pictures are recognisable, and until they are good.

200 digits of 8 x 8 were best after 647 steps of 64 (docs/stopping.md), and 10 minutes of the default preset on
two cores draw clothes of 28 x 28 (docs/annotated-ddpm.md)."""

DETAILED = (60_000, 800_000)
"""The same for colours or larger pictures.

3,786 emoji of 64 x 64 are recognisable after 65,500 images (docs/time_to_quality.md). The example of
unconditional training in diffusers takes 8,189 flowers of 64 x 64 for 100 epochs. Photographs of many different
things take tens of millions."""

_SIMPLE_SIDE = 32


class Forecast(NamedTuple):
    """Extent of a planned run, and the time until its samples are usable."""

    images: float
    """How many images the run trains on, counted with repetition."""
    epochs: float
    """How often it trains on each picture."""
    usable: tuple[float, float]
    """Seconds until samples are recognisable, and until they are good, within a factor of a few at best."""


def usable_images(config: RunConfig) -> tuple[int, int]:
    """Training images until samples are recognisable, and until they are good."""
    data = config.data
    return SIMPLE if data.channels == 1 and max(data.height, data.width) <= _SIMPLE_SIDE else DETAILED


def forecast_run(config: RunConfig, count: int, speed: Speed) -> Forecast:
    """Forecast of a run on `count` pictures at this speed."""
    amount = config.budget.amount
    images = {
        "minutes": speed.images_in(60 * amount),
        "steps": amount * config.recipe.batch_size,
        "images": amount,
    }[config.budget.unit]
    few, many = usable_images(config)
    usable = speed.seconds_for(few), speed.seconds_for(many)
    return Forecast(images, images / (count - config.data.held_out), usable)
