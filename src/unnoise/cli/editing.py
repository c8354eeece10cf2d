"""What the commands that change pictures write: a sheet of all stages, and the results alone."""

from pathlib import Path

from unnoise.api import Drawing, tell_result


def save_edited(what: str, drawing: Drawing, sheet: Path, save: Path | None) -> None:
    """Writes the sheet, and the pictures alone where --save says."""
    tell_result(what, drawing.save(sheet))
    if save is not None:
        tell_result("saved", drawing.save(save))
