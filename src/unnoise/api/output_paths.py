"""Checks that results can be written, made before long work begins."""

from pathlib import Path

from unnoise.utils.errors import UnnoiseError, require

ANIMATIONS = (".gif", ".mp4")
_GENERATED = (".png", ".npz", *ANIMATIONS)


def is_folder(path: Path) -> bool:
    """Whether results go into a folder here: one that exists, or a name without a suffix."""
    return path.is_dir() or not path.suffix


def check_generated(path: Path) -> None:
    """Checks where new pictures go: a folder, .png, .gif, .mp4 or .npz.

    Raises:
        UnnoiseError: for another suffix, or a place that can't be written.
    """
    from unnoise.pictures.animations import require_video
    from unnoise.utils.files import check_writable

    if is_folder(path):
        check_writable(path / "picture.png")
        return
    if path.suffix.lower() not in _GENERATED:
        raise UnnoiseError(
            f"Pictures are written to a .png, .gif, .mp4 or .npz file, or into a folder, but --out is {path}."
        )
    if path.suffix.lower() == ".mp4":
        require_video()
    check_writable(path)


def check_animation(path: Path) -> Path:
    """Checks where an animation goes, a .gif or .mp4; returns its path.

    Raises:
        UnnoiseError: for another suffix, or a place that can't be written.
    """
    from unnoise.utils.files import require_suffix

    require_suffix(path, *ANIMATIONS)
    check_generated(path)
    return path


def check_edited(sheet: Path, save: Path | None) -> Path:
    """Checks where edited pictures go: the sheet, a .png, and the pictures alone; returns the sheet's path.

    Raises:
        UnnoiseError: for a sheet that is no .png, results that are neither .npz nor a folder, or a place that
            can't be written.
    """
    from unnoise.utils.files import check_writable

    check_sheet(sheet)
    if save is not None:
        if not is_folder(save) and save.suffix.lower() != ".npz":
            raise UnnoiseError(f"Results are saved to an .npz file or into a folder, but --save is {save}.")
        check_writable(save / "picture.png" if is_folder(save) else save)
    return sheet


def check_sheet(path: Path) -> Path:
    """Checks where a sheet of pictures goes, a .png; returns its path.

    Raises:
        UnnoiseError: if it can't be written there.
    """
    from unnoise.utils.files import check_writable, require_suffix

    require_suffix(path, ".png")
    check_writable(path)
    return path


def check_page(path: Path, *runs: Path) -> Path:
    """Checks that there are runs, and that a page about them can be written here; returns its path.

    Raises:
        UnnoiseError: for a folder without a run, a suffix other than .html, or a place that can't be written.
    """
    from unnoise.runs.checkpoint import Run
    from unnoise.utils.files import check_writable

    for run in runs:
        Run.open(run)
    require(
        path.suffix.lower() in {".html", ".htm"},
        f"A page is written to an .html file, but --out is {path}: try {path.with_suffix('.html')}.",
    )
    check_writable(path)
    return path
