"""What a report knows of a run is what its folder holds; nothing is guessed."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from unnoise.data.decoding.decode import LARGEST_PIXELS
from unnoise.networks import build
from unnoise.reports.records import (
    Evaluation,
    LevelRow,
    QualityRow,
    read_evaluation,
    read_levels,
    read_quality,
)
from unnoise.runs.checkpoint import Run
from unnoise.runs.history import Row, read_history
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.text import printable


@dataclass(frozen=True)
class Folder:
    """Everything that a run's folder tells of it."""

    run: Run
    name: str
    history: list[Row]
    quality: list[QualityRow]
    levels: list[LevelRow]
    evaluation: Evaluation
    parameters: int

    @classmethod
    def read(cls, path: Path) -> "Folder":
        """All files of the run that there are.

        Raises:
            UnnoiseError: when there is no run, or a file in it is damaged.
        """
        run = Run.open(path)
        network = build(run.config.recipe.network)
        return cls(
            run,
            printable(path.resolve().name),
            read_history(path / "history.csv"),
            read_quality(path / "quality.csv"),
            read_levels(path / "noise_levels.csv"),
            read_evaluation(path / "evaluation.json"),
            sum(parameter.numel() for parameter in network.parameters()),
        )

    @property
    def last(self) -> Row | None:
        """How far it came."""
        return self.history[-1] if self.history else None

    @property
    def held_out(self) -> list[tuple[Row, float]]:
        """The rows at which the loss on held-out pictures was measured, with that loss."""
        return [(row, row.held_out_loss) for row in self.history if row.held_out_loss is not None]

    @property
    def newest_sheet(self) -> Path | None:
        """The last sheet of samples that was drawn in training."""
        return max(self.run.samples.glob("*.png"), default=None)

    def picture(self, name: str | Path) -> Image.Image | None:
        """A picture in the folder; None where there is no such file.

        Raises:
            UnnoiseError: when it is damaged.
        """
        path = self.run.path / name
        inside = path.resolve().is_relative_to(self.run.path.resolve())  # a file may tell of any place
        if not inside or not path.is_file():
            return None
        try:
            # Only what unnoise writes: left to itself, Pillow would also try formats that start other programs.
            with Image.open(path, formats=("PNG",)) as opened:
                require(opened.width * opened.height <= LARGEST_PIXELS, "it has too many pixels")
                opened.load()
                return opened.copy()
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise UnnoiseError(f"{path} is damaged ({error}): remove it to go on without it.") from None
