"""New versions of given pictures: part of the way to noise, and back (SDEdit, 2108.01073)."""

from typing import TYPE_CHECKING, Any

from unnoise.api.amounts import check_memory, check_seeds
from unnoise.api.drawing import Drawing
from unnoise.api.editing import EditSession, Sources, given_pictures, last_step, paths_of, require_every_step
from unnoise.api.effects import refuse_without_effect
from unnoise.api.generating import generate
from unnoise.api.reporting import reporting

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun


def redraw(
    run: "OpenRun",
    images: Sources = (),
    *,
    strength: float = 0.5,
    versions: int = 5,
    held_out: int = 0,
    **options: Any,  # noqa: ANN401
) -> Drawing:
    """Draws new versions of given pictures. Further options are those of `generate`.

    Args:
        run: the run.
        images: Pictures, or .npy or .npz arrays, cut and scaled as the run's own were.
        strength: How much to change, from 0 (nothing) to 1 (a new picture).
        versions: How many of each picture.
        held_out: Instead of images: this many of the run's own pictures that it was not trained on.

    Returns:
        The versions; the sheet shows each picture beside them.

    Raises:
        UnnoiseError: for values out of range, and pictures that can't be read.
    """
    from unnoise.diffusion import editing

    editing.require_strength(strength)
    require_every_step(run, "Redrawing")
    # Redrawn pictures are not polished: that would change what is kept of the given ones.
    refuse_without_effect({"polish": options.get("polish") or None}, "on pictures that are redrawn")
    check_seeds(options.get("seed", 0), versions)
    check_memory(run.config, versions)
    with reporting(options.pop("progress", None)):
        sampled = generate(run, versions, lazy=True, **options)
        sampled.sampling.grid(run.config.schedule)  # refuses more steps than a discrete schedule has
        seed = sampled.seeds[0]
        names, pixels = given_pictures(run.config, paths_of(images), held_out, seed)
        number = versions * len(names)
        session = EditSession(run, sampled.denoiser, sampled.sampling)
        pieces = session.denoiser.pieces
        pieces.size = min(sampled.batch_size, pieces.size or sampled.batch_size)
        classes, draw = run.config.classes(range(number), sampled.labels), session.noises(seed, number)
        abilities = session.denoiser.abilities
        if strength < 1 and (found := abilities.classes_of(pixels)) is not None:
            classes = found.repeat(versions)
        elif abilities.clusters is not None:  # nothing is kept of the pictures
            classes = abilities.classes_of_seeds(range(seed, seed + number))
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
    files = [f"{name}-{version + 1}" for version in range(versions) for name in names]
    return Drawing(redrawn, files, {"before": pixels.float() / 255, **columns})
