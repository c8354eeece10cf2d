"""`unnoise generate`: draw new pictures with a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from unnoise.cli import arguments as cli
from unnoise.cli.amounts import check_memory, check_output, check_seeds
from unnoise.cli.editing import EditSession, given_pictures, last_step, save_edited, save_sheet
from unnoise.cli.effects import refuse_without_effect
from unnoise.cli.generation import BATCH_SIZE, SeededGenerator, chosen_sampling, save_generated
from unnoise.cli.loading import DenoiserOptions
from unnoise.cli.output_paths import ANIMATIONS, check_edited, check_generated
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.runs.checkpoint import Run

_NUM_IMAGES = 36
_NUM_VERSIONS = 5
_STRENGTH = 0.5


def generate(
    run: cli.Run,
    /,
    num_images: Annotated[int | None, cli.option("N", "36; with --from 5 of each picture")] = None,
    num_steps: cli.Steps = None,
    eta: cli.RunNumber = None,
    seed: cli.Integer = 0,
    out: Annotated[Path | None, cli.option("PATH", "RUN/generated.png")] = None,
    labels: Annotated[tuple[str, ...], cli.option("CLASS ...", "all classes")] = (),
    guidance: cli.RunNumber = None,
    guidance_rescale: cli.RunNumber = None,
    guidance_interval: cli.RunInterval = None,
    autoguidance: cli.AutoguidanceScale = None,
    weak: cli.Weak = None,
    sampler: cli.Sampler = None,
    spacing: cli.Spacing = None,
    variance: cli.Variance = None,
    clip: cli.Clip = None,
    best: cli.Best = False,
    from_images: Annotated[tuple[Path, ...], arg(name="from", metavar="IMAGE ...", help_behavior_hint="")] = (),
    from_held_out: Annotated[int, cli.option("N")] = 0,
    strength: Annotated[float | None, cli.option("S", "0.5")] = None,
    compiled: Annotated[cli.Flag, arg(name="compile")] = False,
    batch_size: Annotated[int, cli.option("N", "64")] = BATCH_SIZE,
    device: cli.Device = "auto",
) -> None:
    """Draw new pictures with a trained run, or new versions of given pictures.

    Writes them to --out, whose suffix chooses the kind. A seed always gives the same picture.

      unnoise generate runs/photos --num-images 100 --out grid.png
      unnoise generate runs/photos --seed 7 --out how-it-comes-about.gif
      unnoise generate runs/photos --from cat.jpg --strength 0.4

    Args:
        num_images: How many pictures to draw.
        eta: Noise added on the way by the sampler ddim, from 0 (none) to 1 (as much as ancestral adds).
        seed: Seed of the first picture; the next picture has the next seed.
        out: A .png (one sheet), a .gif or .mp4 (noise turning into pictures), an .npz (the array "images",
            uint8, N x H x W x C), or a folder (one PNG each).
        labels: Classes to draw, in turn, by a run that was trained with --labels.
        guidance: Scale of classifier-free guidance. Above 1 pictures are more typical of their class and more
            alike; try 2.
        guidance_rescale: From 0 to 1: brings the contrast of guided pictures back to normal. Try 0.7 with a
            guidance above 4.
        guidance_interval: Guide only where noise / signal is between these two numbers; try 0.3 5.
        sampler: How noise is removed. ddim is of first order; ancestral (DDPM), consistency and those that end
            in _sde add noise in every step; the others are of higher order and need fewer steps. heun calls the
            network twice a step. `unnoise solve` finds the best one.
        spacing: How the steps are spread: uniform in time, log_snr evenly in the logarithm of signal / noise,
            karras closer together at low noise. trailing, leading and linspace choose from the timesteps of a
            discrete schedule.
        from_images: Start from these pictures (or .npy and .npz arrays of them) instead of noise alone.
        from_held_out: Start from this many of the run's own pictures that it was not trained on.
        strength: With --from: how much to change, from 0 (nothing) to 1 (a new picture).
        compiled: Compile the network first. That takes a minute or more, and pays off for thousands of
            pictures.
        batch_size: How many pictures to draw at once. Less needs less memory; what does not fit is halved by
            itself.
    """
    opened, path = _open(run, labels, batch_size), out or run / "generated.png"
    changes: dict[str, object] = {"num_steps": num_steps, "eta": eta, "sampler": sampler, "spacing": spacing}
    changes |= {"variance": variance, "clip": clip}
    guided = {"scale": guidance, "rescale": guidance_rescale, "interval": guidance_interval}
    options = DenoiserOptions(best, autoguidance, weak, compiled)
    sampling = chosen_sampling(opened.config, changes, guided, autoguided=options.guides)
    if original := OriginalPictures(from_images, from_held_out, strength).checked():
        _redraw(opened, device, sampling, options, labels, original, num_images, seed, path, batch_size)
        return
    number = _NUM_IMAGES if num_images is None else num_images
    _check(opened, seed, number, path, sampling.num_steps)
    denoiser = options.load(opened, device, sampling.guidance, min(number, batch_size))
    generator = SeededGenerator(denoiser, opened.config, sampling, labels, batch_size)
    save_generated(generator, range(seed, seed + number), path)


def _check(run: "Run", seed: int, number: int, path: Path, num_steps: int) -> None:
    """Checks that so many pictures can be drawn and written."""
    check_seeds(seed, number)
    check_generated(path)
    check_output(run.config, number, path, num_steps)


def _open(path: Path, labels: tuple[str, ...], batch_size: int) -> "Run":
    """The run, once it is known that it has these classes, and that a batch has pictures."""
    from unnoise.runs.checkpoint import Run

    require(batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    run = Run.open(path)
    run.config.classes([], labels)
    return run


@dataclass(frozen=True)
class OriginalPictures:
    """The pictures that are redrawn, and how freely; false if there are none.

    Args:
        paths: picture files.
        held_out: this many of the run's own instead.
        strength: the share of the way to noise and back; None for the default.
    """

    paths: tuple[Path, ...] = ()
    held_out: int = 0
    strength: float | None = None

    def __bool__(self) -> bool:
        return bool(self.paths) or self.held_out != 0

    def checked(self) -> "OriginalPictures":
        """Itself. Raises `UnnoiseError` for a strength outside [0, 1], or without pictures."""
        from unnoise.diffusion.editing import require_strength

        if not self:
            refuse_without_effect({"strength": self.strength}, "without --from or --from-held-out")
        if self.strength is not None:
            require_strength(self.strength)
        return self


def _redraw(
    run: "Run",
    device: str,
    sampling: "Sampling",
    options: DenoiserOptions,
    labels: tuple[str, ...],
    original: OriginalPictures,
    num_versions: int | None,
    seed: int,
    out: Path,
    batch_size: int,
) -> None:
    """Writes a sheet of pictures and their new versions (SDEdit); to .npz or a folder the versions alone."""
    from unnoise.diffusion import editing

    versions = _NUM_VERSIONS if num_versions is None else num_versions
    check_seeds(seed, versions)
    check_memory(run.config, versions)
    sheet, save = _redrawn_paths(run, out)
    sampling.grid(run.config.schedule)
    names, pixels = given_pictures(run.config, original.paths, original.held_out, seed)
    number = versions * len(names)
    session = EditSession(run, options.load(run, device, sampling.guidance, min(number, batch_size)), sampling)
    session.denoiser.pieces.size = batch_size
    classes, draw = run.config.classes(range(number), labels), session.noises(seed, number)
    strength = _STRENGTH if original.strength is None else original.strength
    steps = editing.redraw(
        session.denoise(None if classes is None else classes.to(session.denoiser.device)),
        session.normalized(pixels).repeat(versions, 1, 1, 1),
        draw(),
        strength,
        session.num_steps,
        session.schedule,
        sampler=session.sampler(draw),
        times=session.times,
    )
    num_steps = max(1, round(strength * session.num_steps))
    redrawn = session.denormalized(last_step(steps, num_steps, "Redrawing").images)
    columns = {f"version {place}": some for place, some in enumerate(redrawn.chunk(versions), start=1)}
    save_sheet("generated", {"before": pixels.float() / 255, **columns}, sheet)
    save_edited(save, [f"{name}-{version + 1}" for version in range(versions) for name in names], redrawn)


def _redrawn_paths(run: "Run", out: Path) -> tuple[Path, Path | None]:
    """Where the sheet goes, and where the versions alone."""
    alone = out.is_dir() or out.suffix.lower() != ".png"
    if alone and out.suffix.lower() in ANIMATIONS:
        raise UnnoiseError(f"With --from, pictures go to a .png, an .npz or a folder, but --out is {out}.")
    sheet, save = (run.path / "redrawn.png", out) if alone else (out, None)
    return check_edited(sheet, save), save
