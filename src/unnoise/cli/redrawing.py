"""`unnoise generate RUN --from IMAGE`: new versions of pictures, as free as the strength says."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.cli.console import say
from unnoise.cli.editing import Editor, check_places, finish, save_results, watch
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.runs.checkpoint import Run

NUM_VERSIONS = 5
STRENGTH = 0.5


@dataclass(frozen=True)
class Beginning:
    """Where `generate` starts from, when it is not from noise alone.

    Args:
        paths: picture files.
        held_out: so many of the run's own instead.
        strength: how much of the way to noise they go, and back; None for the default.
    """

    paths: tuple[Path, ...] = ()
    held_out: int = 0
    strength: float | None = None

    def __bool__(self) -> bool:
        return bool(self.paths) or self.held_out != 0

    def checked(self) -> "Beginning":
        """Itself. Raises `UnnoiseError` for a strength outside [0, 1]; says so where it has no effect."""
        from unnoise.diffusion.editing import require_strength

        if self.strength is not None:
            require_strength(self.strength)
            if not self:
                say("--strength has no effect here: it belongs to --from IMAGE.")
        return self


def save_redrawn(
    run: "Run",
    device: str,
    sampling: "Sampling",
    labels: Sequence[str],
    beginning: Beginning,
    num_versions: int | None,
    seed: int,
    out: Path,
) -> None:
    """Writes each picture and its new versions: a sheet, and the versions alone for an .npz or a folder."""
    from unnoise.diffusion import editing
    from unnoise.training.loop import choose_device

    versions = NUM_VERSIONS if num_versions is None else num_versions
    require(versions >= 1, f"At least 1 image can be generated, but {versions} were asked for.")
    sheet, alone = _places(run, out)
    sampling.grid(run.config.recipe.schedule)
    editor = Editor(run, run.load(choose_device(device)), sampling)
    names, pixels = editor.given(beginning.paths, beginning.held_out, seed)
    number = versions * len(names)
    classes = run.config.classes(range(number), labels)
    draw = editor.noises(seed, number)
    strength = STRENGTH if beginning.strength is None else beginning.strength
    walk = editing.redraw(
        editor.denoise(None if classes is None else classes.to(editor.denoiser.device)),
        editor.normalized(pixels).repeat(versions, 1, 1, 1),
        draw(),
        strength,
        editor.num_steps,
        editor.schedule,
        sampler=editor.sampler(draw),
        times=editor.times,
    )
    redrawn = editor.shown(watch(walk, max(1, round(strength * editor.num_steps)), "Redrawing").images)
    columns = {f"version {place}": some for place, some in enumerate(redrawn.chunk(versions), start=1)}
    finish("generated", {"before": pixels.float() / 255, **columns}, sheet)
    names = [f"{name}-{version + 1}" for version in range(versions) for name in names]
    save_results(alone, names, redrawn)


def _places(run: "Run", out: Path) -> tuple[Path, Path | None]:
    """Where the sheet goes, and where the versions alone."""
    alone = out.is_dir() or out.suffix.lower() != ".png"
    if alone and out.suffix.lower() in (".gif", ".mp4"):
        raise UnnoiseError(f"With --from, pictures go to a .png, an .npz or a folder, but --out is {out}.")
    places = (run.path / "redrawn.png", out) if alone else (out, None)
    check_places(*places)
    return places
