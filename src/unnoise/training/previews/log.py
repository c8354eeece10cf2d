"""Log of previews, previews.csv: when the next preview is due and of which size, from the previews so far."""

from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import PREVIEWS, PreviewRow
from unnoise.training.guards.samples import Look
from unnoise.training.previews.rhythm import PreviewRhythm
from unnoise.training.previews.sizes import PreviewSize, last_preview_sizes, preview_sizes
from unnoise.utils.tables import read_table, write_table

_CALL = 2 / 3
"""Guess, before the first preview, of the seconds of a call of the network: this share of those that training
takes for a picture, of which a third is one call; twice that because of guidance."""
_WRITING = 0.1
"""Guess of the seconds for writing a sheet."""
_CHARTS = 0.5
"""Guess of the seconds for drawing the charts for the first time."""
_RECENT = 3
"""Previews whose time for writing is remembered; complete ones take longer, for they also draw the charts."""


class PreviewLog:
    """Log of the previews of a run.

    Args:
        run: whose folder holds previews.csv.
        progress: how far the run has come; previews of later steps are dropped.
        tested: number of held-out pictures whose loss a complete preview measures.
    """

    def __init__(self, run: Run, progress: Progress, tested: int) -> None:
        self._path = run.path / PREVIEWS
        self._sampling: Sampling = run.config.recipe.sampling
        self._tested = tested
        self.rows = [row for row in read_table(self._path, PreviewRow) if row.step <= progress.step]
        last = self.rows[-1].seconds if self.rows else None
        self._rhythm = PreviewRhythm(sum(row.took for row in self.rows), last)

    @property
    def looks(self) -> list[Look]:
        """What the previews showed."""
        return [Look(row.step, row.num_steps, row.verdict) for row in self.rows]

    def due(self, progress: Progress, spent: float) -> PreviewSize | None:
        """The size of the preview that is due now; None for none."""
        sizes = preview_sizes(self._sampling)
        place = self._rhythm.choose(self._costs(sizes, progress), spent, progress.seconds)
        return None if place is None else sizes[place]

    def last_size(self, progress: Progress) -> PreviewSize:
        """The size of the preview at the end of the run."""
        sizes = last_preview_sizes(self._sampling)
        return sizes[self._rhythm.choose_last(self._costs(sizes, progress), progress.seconds)]

    def add(self, row: PreviewRow) -> None:
        """Adds a preview, and writes previews.csv."""
        self.rows.append(row)
        self._rhythm.record(row.seconds, row.took)
        write_table(self._path, PreviewRow, self.rows)

    def _costs(self, sizes: list[PreviewSize], progress: Progress) -> list[float]:
        """Expected seconds of a preview of each size, by the last ones, or by the training steps so far."""
        call = _CALL * progress.seconds / max(progress.images, 1)
        if self.rows:
            last = self.rows[-1]
            call = last.drawing / (last.pictures * last.num_steps)
        tests = [row.testing for row in self.rows if row.testing]
        testing = tests[-1] if tests else call * self._tested
        writing = [row.took - row.drawing - row.testing for row in self.rows[-_RECENT:]] or [_WRITING]
        complete = testing + max(writing) + (0.0 if tests else _CHARTS)
        return [call * size.calls + (complete if size.complete else min(writing)) for size in sizes]
