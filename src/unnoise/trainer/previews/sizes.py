"""Sizes of previews: how many pictures are drawn, in how many steps, and what else is measured."""

from typing import NamedTuple

from unnoise.diffusion.samplers.sampling import Sampling

SAMPLE_SEEDS = range(36)
"""Seeds of the sample sheet, the same at each step, so that one sees the same pictures become clear."""

COLUMNS = 6
"""Pictures in a row of a sheet: each seed has the same place in sheets of any size."""


class PreviewSize(NamedTuple):
    """Size of a preview."""

    pictures: int
    """Pictures of the sheet: those of the first seeds."""
    num_steps: int
    """Steps of the sampler."""
    complete: bool = True
    """Whether the loss of held-out pictures is measured, and the charts are drawn."""
    guided: bool = False
    """Whether they are drawn as by `unnoise generate`, guided by an earlier average of the run."""

    @property
    def calls(self) -> int:
        """Network calls on one picture: pictures x steps, twice that if guided; without heun's second calls."""
        return self.pictures * self.num_steps * (2 if self.guided else 1)


_SIZES = (PreviewSize(3, 4), PreviewSize(6, 6), PreviewSize(12, 8), PreviewSize(18, 12), PreviewSize(24, 16))
_COARSE, _FEWEST_STEPS = 3, 20


def preview_sizes(sampling: Sampling) -> list[PreviewSize]:
    """The sizes of previews, from the smallest to the largest.

    The largest has all pictures, in a third of the steps of the run's sampling but no fewer than 20: that is
    enough while the network itself is still coarse.
    """
    most = len(SAMPLE_SEEDS)
    largest = PreviewSize(most, max(_FEWEST_STEPS, sampling.num_steps // _COARSE))
    return [
        PreviewSize(min(size.pictures, most), min(size.num_steps, sampling.num_steps))
        for size in (*_SIZES, largest)
    ]


def last_preview_sizes(sampling: Sampling, guided: Sampling | None = None) -> list[PreviewSize]:
    """The same for the last preview, whose largest has all steps.

    Args:
        guided: how a run draws that is guided by its earlier average, as its last sheet then is.
    """
    last = PreviewSize(len(SAMPLE_SEEDS), (guided or sampling).num_steps, guided=guided is not None)
    return [*preview_sizes(sampling), last]
