"""`unnoise morph`: from one picture to the next, over the sphere of noises."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from unnoise.cli.console import result
from unnoise.cli.generate import ANIMATIONS, batches, check_out

if TYPE_CHECKING:
    from unnoise.diffusion import Diffusion


def morph(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    seeds: tuple[int, ...] = (0, 1, 2, 3),
    frames: int = 64,
    num_steps: Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: the preset's)")] = None,
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
    steps = opened.config.recipe.num_steps if num_steps is None else num_steps
    save_morph(diffusion, seeds, frames, steps, target)
    result("morph", target)


def save_morph(diffusion: "Diffusion", seeds: tuple[int, ...], frames: int, num_steps: int, out: Path) -> None:
    """Writes the loop through the pictures of these seeds."""
    import torch

    from unnoise import pictures
    from unnoise.interpolation import path
    from unnoise.samplers import require_steps

    require_steps(num_steps)
    noises = path(diffusion.noises(seeds)(), frames, closed=True)
    parts = [
        diffusion.generate(initial_noises=noises[list(batch)], num_steps=num_steps).cpu()
        for batch in batches(range(frames), "Morphing")
    ]
    shown = pictures.frames(torch.cat(parts).unsqueeze(1))  # a trajectory of one picture
    pictures.save_animation(shown, out, hold_last=0.05)
