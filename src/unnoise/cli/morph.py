"""`unnoise morph`: from one picture to the next, over the sphere of noises."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise.cli.console import result
from unnoise.cli.generate import ANIMATIONS, Drawing, Steps, batches, check_out


def morph(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    seeds: tuple[int, ...] = (0, 1, 2, 3),
    frames: int = 64,
    num_steps: Steps = None,
    label: Annotated[str | None, arg(metavar="CLASS", help_behavior_hint="(default: the first)")] = None,
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: RUN/morph.gif)")] = None,
    device: str = "auto",
) -> None:
    """Turns pictures into one another: spherical interpolation between their noises, and back to the first.

    Without fresh noise on the way (eta 0), so that the start decides all and the pictures flow.

    Args:
        run: The folder that unnoise train made.
        seeds: Of the pictures on the way, in order; at least two.
        frames: Of the animation, over the whole way.
        num_steps: Calls of the network for each frame.
        label: The class, for a run that was trained with --labels.
        out: A .gif or .mp4.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.checkpoint import Run
    from unnoise.pictures.files import require_suffix
    from unnoise.training import choose_device

    opened = Run.open(run)
    target = out or run / "morph.gif"
    require_suffix(target, *ANIMATIONS)
    check_out(target)
    diffusion = opened.load(choose_device(device))
    own = opened.config.recipe.sampling
    sampling = replace(own, num_steps=own.num_steps if num_steps is None else num_steps)
    save_morph(Drawing(diffusion, opened.config, sampling, (label,) if label else ()), seeds, frames, target)
    result("morph", target)


def save_morph(drawing: Drawing, seeds: tuple[int, ...], frames: int, out: Path) -> None:
    """Writes the loop through the pictures of these seeds."""
    import torch

    from unnoise import pictures
    from unnoise.interpolation import path

    diffusion, config = drawing.diffusion, drawing.config
    sampling = replace(drawing.sampling, sampler="ddim", eta=0.0)
    noises = path(diffusion.noises(seeds)(), frames, closed=True)
    classes = config.classes([0] * frames, drawing.labels)  # one and the same all the way
    parts = [
        diffusion.generate(
            initial_noises=noises[list(batch)],
            sampling=sampling,
            classes=None if classes is None else classes[: len(batch)],
        ).cpu()
        for batch in batches(range(frames), "Morphing")
    ]
    shown = pictures.frames(torch.cat(parts).unsqueeze(1))  # a trajectory of one picture
    pictures.save_animation(shown, out, hold_last=0.05)
