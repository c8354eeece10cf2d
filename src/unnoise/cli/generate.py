"""`unnoise generate`: from a run to new pictures."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from unnoise.cli.console import Bar, result
from unnoise.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.diffusion import Diffusion
    from unnoise.tensors import Images


def generate(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    num_images: int = 36,
    num_steps: Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: the preset's)")] = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: RUN/generated.png)")] = None,
    device: str = "auto",
) -> None:
    """Draws new pictures with a trained run.

    Args:
        run: The folder that unnoise train made.
        num_images: How many pictures.
        num_steps: Calls of the network for each; more is finer and slower.
        seed: Of the first picture; the next has the next seed. A seed gives the same picture each time.
        out: A .png (one sheet), a .gif or .mp4 (the reverse process), an .npz (array images, uint8,
            N x H x W x C), or a folder (one PNG each).
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.checkpoint import Run
    from unnoise.files import check_writable
    from unnoise.samplers import require_steps
    from unnoise.training import choose_device

    opened = Run.open(run)
    path = out or run / "generated.png"
    steps = opened.config.recipe.num_steps if num_steps is None else num_steps
    require_steps(steps)
    _check_suffix(path)
    require(num_images >= 1, f"At least 1 image can be generated, but {num_images} were asked for.")
    check_writable(path if path.suffix else path / "picture.png")
    diffusion = opened.load(choose_device(device))
    if path.suffix.lower() in (".gif", ".mp4"):
        save_reverse_process(diffusion, range(seed, seed + num_images), steps, path)
    else:
        noises = diffusion.noises(range(seed, seed + num_images))()
        save_images(generate_with_bar(diffusion, noises, steps), path, seed)
    result("generated", path)


_BATCH = 64
_SUFFIXES = (".png", ".gif", ".mp4", ".npz", "")


def _check_suffix(path: Path) -> None:
    if path.suffix.lower() not in _SUFFIXES:
        raise UnnoiseError(
            f"Pictures are written to a .png, .gif, .mp4 or .npz file, or into a folder, but --out is {path}."
        )


def generate_with_bar(diffusion: "Diffusion", noises: "Images", num_steps: int) -> "Images":
    """The pictures of these noises, with a progress bar, a batch at a time."""
    import torch

    done = []
    with Bar("Generating", len(noises)) as shown:
        for first in range(0, len(noises), _BATCH):
            batch = noises[first : first + _BATCH]
            done.append(diffusion.generate(initial_noises=batch, num_steps=num_steps).cpu())
            shown.advance(len(batch))
    return torch.cat(done)


def save_images(images: "Images", path: Path, seed: int) -> None:
    """Writes a sheet, an array, or one file each, by what the path is called."""
    import numpy as np
    from PIL import Image

    from unnoise import pictures
    from unnoise.files import writable

    if path.suffix.lower() == ".png":
        pictures.save_png(pictures.grid(images), path)
        return
    arrays = pictures.to_uint8(images)
    if path.suffix.lower() == ".npz":
        with writable(path) as file:
            np.savez_compressed(file, images=arrays)
        return
    for offset, array in enumerate(arrays):
        picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
        pictures.save_png(picture, path / f"{seed + offset:06d}.png")


def save_reverse_process(diffusion: "Diffusion", seeds: range, num_steps: int, path: Path) -> None:
    """Writes how noise turns into these pictures."""
    import torch

    from unnoise import pictures

    noises = diffusion.noises(seeds)()
    parts = []
    with Bar("Generating", len(noises)) as shown:
        for first in range(0, len(noises), _BATCH):
            batch = noises[first : first + _BATCH]
            parts.append(diffusion.trajectory(batch, num_steps).cpu())
            shown.advance(len(batch))
    pictures.save_animation(pictures.frames(torch.cat(parts, dim=1)), path)
