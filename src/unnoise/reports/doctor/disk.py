"""Disk use of a run on some pictures, computed before training."""

from unnoise.data import ImageSet
from unnoise.runs.config import RunConfig
from unnoise.runs.footprint import DiskUse, run_disk_use
from unnoise.trainer.monitoring.sample_quality import MIN_HELD_OUT


def disk_use(config: RunConfig, images: ImageSet) -> DiskUse:
    """Disk use of a run on these pictures.

    Weights with the best samples are kept as well where enough pictures are held out to judge samples.
    """
    known = images.kept_moments
    cached = 0 if known is None else images.pixels.nbytes + known.nbytes
    return run_disk_use(config.recipe, judged=config.data.held_out >= MIN_HELD_OUT)._replace(cache=cached)
