"""Best weights of a run, best.safetensors: always those of the best step in quality.csv.

    training/best-0000000400.safetensors    those of an earlier best step, set aside

A run that goes back to a state goes back to the best weights up to there, so these are set aside for as long as
the state is kept.
"""

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from unnoise.diffusion.denoiser import Denoiser
from unnoise.runs.checkpoint import Run
from unnoise.runs.history import QualityRow
from unnoise.trainer.monitoring.convergence import best_step
from unnoise.utils import json_text
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.files import atomic_write
from unnoise.utils.tensor_files import read_facts, read_tensors, write_tensors


class BestWeights:
    """Keeps best.safetensors of a run in step with the rows of quality.csv.

    Args:
        run: whose folder holds them.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    def write(self, denoiser: Denoiser, rows: Sequence[QualityRow]) -> None:
        """Writes the weights that the last of these rows measured; sets those before them aside.

        Raises:
            WriteError: when they cannot be written; the best weights before them stay.
        """
        found, needed = rows[-1], self._needed(rows)
        before = _step_of(self._run.best_weights)
        if before in needed:
            with atomic_write(self._aside(before)) as file:
                shutil.copyfile(self._run.best_weights, file)
        facts = {"step": str(found.step), "kid": repr(found.kid), "extractor": found.extractor}
        facts["row"] = json.dumps(found)
        write_tensors(self._run.best_weights, denoiser.network.state_dict(), facts)
        self._sweep(needed)

    def put_right(self, rows: Sequence[QualityRow], step: int) -> list[QualityRow]:
        """Puts the best weights up to this step into best.safetensors; returns the rows that are to be kept.

        Rows of later steps are dropped. If the best weights up to this step are lost, best.safetensors stays as
        it is, and its own row is kept even if it is later. If it has no row, all rows are dropped, and
        measuring begins anew.
        """
        kept = [row for row in rows if row.step <= step]
        before = _step_of(self._run.best_weights)
        if kept and before != (wanted := best_step(kept)):
            if _is_whole(self._aside(wanted), wanted):
                self._aside(wanted).replace(self._run.best_weights)
            else:
                own = [row for row in rows if row.step == before] or _row_of(self._run.best_weights)
                kept = [*kept, *own] if own else []
        if not kept:
            self._run.best_weights.unlink(missing_ok=True)
        self._sweep(self._needed(kept))
        return kept

    def _needed(self, rows: Sequence[QualityRow]) -> set[int]:
        """The best steps up to each state that is kept."""
        ends = [int(path.stem) for path in self._run.states()]
        until = [[row for row in rows if row.step <= end] for end in ends]
        return {best_step(some) for some in until if some}

    def _sweep(self, needed: Iterable[int]) -> None:
        wanted = {self._aside(step) for step in needed}
        for path in self._run.path.glob("training/best-*.safetensors"):
            if path not in wanted:
                path.unlink(missing_ok=True)

    def _aside(self, step: int) -> Path:
        return self._run.path / "training" / f"best-{step:010d}.safetensors"


def _step_of(path: Path) -> int:
    """The step of the weights in a file; -1 where there are none, or they cannot be read."""
    step = read_facts(path).get("step", "")
    return int(step) if step.isdecimal() else -1


def _row_of(path: Path) -> list[QualityRow]:
    """The row of quality.csv that the weights in a file belong to, as they say themselves."""
    try:
        return [QualityRow(*json_text.parse(read_facts(path).get("row", "")))]
    except (TypeError, ValueError):
        return []


def _is_whole(path: Path, step: int) -> bool:
    try:
        read_tensors(path)
    except UnnoiseError:
        return False
    return _step_of(path) == step
