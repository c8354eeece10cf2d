"""Contents of a run's folder that reports show: history, quality, noise levels, evaluation, pictures."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from unnoise.data.limits import LARGEST_PIXELS
from unnoise.networks import build
from unnoise.reports.records import Evaluation, read_evaluation
from unnoise.runs.checkpoint import Run
from unnoise.runs.history import HistoryRow, LevelRow, QualityRow, read_history, read_measurements
from unnoise.utils.errors import UnnoiseError, require, require_permitted
from unnoise.utils.text import printable


@dataclass(frozen=True)
class RunFolder:
    """Contents of a run's folder; what was not measured is empty."""

    run: Run
    name: str
    history: list[HistoryRow]
    quality: list[QualityRow]
    levels: list[LevelRow]
    evaluation: Evaluation
    parameters: int

    @classmethod
    def read(cls, path: Path) -> "RunFolder":
        """Reads the files of a run that there are.

        Raises:
            UnnoiseError: when there is no run at `path`, or one of its files is damaged.
        """
        run = Run.open(path)
        quality, levels = read_measurements(path)
        network = build(run.config.recipe.network)
        return cls(
            run,
            printable(path.resolve().name),
            read_history(path / "history.csv"),
            sorted(quality),
            sorted(levels),
            read_evaluation(path / "evaluation.json"),
            sum(parameter.numel() for parameter in network.parameters()),
        )

    @property
    def last(self) -> HistoryRow | None:
        """The last row of the history; None before training."""
        return self.history[-1] if self.history else None

    @property
    def held_out(self) -> list[tuple[HistoryRow, float]]:
        """The rows of the history that have a held-out loss, each with that loss."""
        return [(row, row.held_out_loss) for row in self.history if row.held_out_loss is not None]

    @property
    def newest_sheet(self) -> Path | None:
        """The latest sheet of samples drawn during training."""
        return max(self.run.samples.glob("*.png"), default=None)

    def picture(self, name: str | Path) -> Image.Image | None:
        """A PNG file in the folder; None where there is no such file.

        Raises:
            UnnoiseError: when it is damaged.
        """
        path = self.run.path / name
        inside = path.resolve().is_relative_to(self.run.path.resolve())  # evaluation.json may hold any path
        if not inside or not path.is_file():
            return None
        try:
            # Only the format that unnoise writes: some others make Pillow start other programs.
            with Image.open(path, formats=("PNG",)) as opened:
                require(opened.width * opened.height <= LARGEST_PIXELS, "it has too many pixels")
                opened.load()
                return opened.copy()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            require_permitted(path, error)
            raise UnnoiseError(f"{path} is damaged ({error}): remove it to go on without it.") from None
