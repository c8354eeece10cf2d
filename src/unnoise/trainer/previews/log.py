"""Log of previews, previews.csv: when the next preview is due and of which size, from the previews so far."""

from unnoise.runs.autoguidance import own_sampling, own_scale
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import PREVIEWS, PreviewRow
from unnoise.trainer.guards.samples import Look
from unnoise.trainer.previews.rhythm import PreviewRhythm
from unnoise.trainer.previews.sizes import PreviewSize, last_preview_sizes, preview_sizes
from unnoise.utils.tables import read_table, write_table

_CALL = 1 / 3
"""Guess, before the first preview: in one step of the sampler the network takes this share of the time that
training takes for a picture, as it needs no backward pass. Runs with classes may be guided: twice as much."""
_WRITING, _CHARTS = 0.1, 0.5
"""Guesses of the seconds for writing a sheet, and for drawing the charts for the first time."""


class PreviewLog:
    """Log of the previews of a run.

    Args:
        run: whose folder holds previews.csv.
        progress: how far the run has come; previews of later steps are dropped.
        tested: number of held-out pictures whose loss a complete preview measures.
    """

    def __init__(self, run: Run, progress: Progress, tested: int) -> None:
        self._run, self._path = run, run.path / PREVIEWS
        self._sizes = preview_sizes(run.config.recipe.sampling)
        self._tested = tested
        self._calls = 2 if run.config.data.classes else 1
        self.rows = [row for row in read_table(self._path, PreviewRow) if row.step <= progress.step]
        self._test = next((row.testing for row in reversed(self.rows) if row.testing), None)
        testing, took = sum(row.testing for row in self.rows), sum(row.took for row in self.rows)
        self._rhythm = PreviewRhythm(took - testing, testing, self.rows[-1].seconds if self.rows else None)

    @property
    def looks(self) -> list[Look]:
        """What the previews showed."""
        return [Look(row.step, row.num_steps, row.verdict) for row in self.rows]

    def due(self, progress: Progress, spent: float) -> PreviewSize | None:
        """The size of the preview that is due now; None for none."""
        costs, test = self._costs(self._sizes, progress), self._test_cost(progress, _CHARTS)
        choice = self._rhythm.choose(costs, test, spent, progress.seconds)
        return None if choice is None else self._sizes[choice.place]._replace(complete=choice.complete)

    def last_size(self, progress: Progress) -> PreviewSize:
        """The size of the preview at the end of the run, when the charts are drawn in any case."""
        guided = own_sampling(self._run) if own_scale(self._run) != 1 else None
        sizes = last_preview_sizes(self._run.config.recipe.sampling, guided)
        costs, test = self._costs(sizes, progress), self._test_cost(progress, 0.0)
        choice = self._rhythm.choose_last(costs, test, progress.seconds)
        return sizes[choice.place]._replace(complete=choice.complete)

    def add(self, row: PreviewRow) -> None:
        """Adds a preview, and writes previews.csv."""
        self.rows.append(row)
        self._test = row.testing or self._test
        self._rhythm.record(row.seconds, row.took - row.testing, row.testing)
        write_table(self._path, PreviewRow, self.rows)

    def _call(self, progress: Progress) -> float:
        """Expected seconds of a call of the network for a picture, by the last sheet, or by training so far."""
        if not self.rows:
            return self._calls * _CALL * progress.seconds / max(progress.images, 1)
        last = self.rows[-1]
        return last.drawing / (last.pictures * last.num_steps)

    def _costs(self, sizes: list[PreviewSize], progress: Progress) -> list[float]:
        """Expected seconds of a sheet of each size."""
        call, writing = self._call(progress), _WRITING
        if self.rows:
            last = self.rows[-1]
            writing = last.took - last.drawing - last.testing
        return [call * size.calls + writing for size in sizes]

    def _test_cost(self, progress: Progress, charts: float) -> float:
        """Expected seconds of a test: those of the last one, or of a call for each picture, plus `charts`."""
        return self._call(progress) * self._tested + charts if self._test is None else self._test
