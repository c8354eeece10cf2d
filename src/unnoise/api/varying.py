"""Variations of pictures, by moving their noises; and the noises themselves (DDIM inversion)."""

from typing import TYPE_CHECKING

from unnoise.api.drawing import Drawing
from unnoise.api.editing import EditSession, Sources, difference, given_pictures, last_step, paths_of
from unnoise.api.effects import refuse_without_effect
from unnoise.api.reporting import Progress, reporting, tell
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun


def vary(
    run: "OpenRun",
    images: Sources = (),
    *,
    held_out: int = 0,
    amount: float = 0.3,
    num_variations: int = 5,
    num_steps: int | None = None,
    label: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Drawing:
    """Draws variations of pictures: finds the noises of each, and moves them a little towards other noises.

    Args:
        run: the run.
        images: Pictures, or .npy or .npz arrays, cut and scaled as the run's own were.
        held_out: Instead of images: this many of the run's own pictures that it was not trained on.
        amount: How different the variations are, from 0 (the same picture) to 1 (another one).
        num_variations: How many variations of each picture.
        num_steps: Steps to the noises and back. Each costs four or five calls of the network.
        label: Class of the pictures, for a run that was trained with --labels.
        seed: Seed of the variations, and of the choice of held-out pictures.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The variations; the sheet shows each picture beside them.

    Raises:
        UnnoiseError: for values out of range, and pictures that can't be read.
    """
    from unnoise.diffusion import editing

    editing.require_amount(amount)
    require(num_variations >= 1, f"At least 1 variation can be drawn, but {num_variations} were asked for.")
    with reporting(progress):
        session = EditSession.open(run, num_steps, inverts=True)
        names, pixels = given_pictures(run.config, paths_of(images), held_out, seed)
        noises = session.noises(seed, num_variations * len(names))()
        steps = editing.vary(
            session.denoise_label(label, pixels),
            session.normalized(pixels),
            noises,
            amount,
            session.num_steps,
            session.schedule,
            times=session.times,
        )
        varied = session.denormalized(last_step(steps, session.num_steps, "Varying").images)
    versions = varied.chunk(num_variations)
    columns = {f"variation {number}": some for number, some in enumerate(versions, start=1)}
    files = [f"{name}-{n + 1}" for n in range(num_variations) for name in names]
    return Drawing(varied, files, {"before": pixels.float() / 255, **columns})


def invert(
    run: "OpenRun",
    images: Sources = (),
    *,
    held_out: int = 0,
    num_steps: int | None = None,
    label: str | None = None,
    seed: int | None = None,
    progress: Progress | None = None,
) -> Drawing:
    """Finds the noises from which the run draws given pictures, and draws them again.

    Args:
        run: the run.
        images: Pictures, or .npy or .npz arrays, cut and scaled as the run's own were.
        held_out: Instead of images: this many of the run's own pictures that it was not trained on.
        num_steps: Steps each way. More is more exact; a step towards the noises costs three or four calls of
            the network.
        label: Class of the pictures, for a run that was trained with --labels.
        seed: With --held-out: seed of the choice of pictures.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The redrawn pictures, with `noises`; the sheet shows each picture, its noises, and what is drawn from
        them.

    Raises:
        UnnoiseError: for values out of range, and pictures that can't be read.
    """
    from unnoise.diffusion import editing
    from unnoise.diffusion.samplers import ddim

    paths = paths_of(images)
    if paths:
        refuse_without_effect({"seed": seed}, "with the files of pictures")
    with reporting(progress):
        session = EditSession.open(run, num_steps, inverts=True)
        names, pixels = given_pictures(run.config, paths, held_out, seed or 0)
        before, denoise = pixels.float() / 255, session.denoise_label(label, pixels)
        steps, schedule, times = session.num_steps, session.schedule, session.times
        inversion = editing.invert(denoise, session.normalized(pixels), steps, schedule, times=times)
        found = last_step(inversion, steps, "Inverting")
        drawing = ddim(denoise, found.noisy_images, steps, schedule, times=times)
        after = session.denormalized(last_step(drawing, steps, "Drawing").images)
        tell(f"The redrawn pictures differ from the given ones by {difference(after, before)}.")
        tell(f"{steps} steps each way: {found.calls} calls of the network to the noises, {steps} back.")
    columns = {"before": before, "noises": session.denormalized(found.noisy_images), "after": after}
    return Drawing(after, names, columns, noises=found.noisy_images.cpu())
