"""`unnoise generate`: from a run to new pictures."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from unnoise.cli.console import Bar, result
from unnoise.errors import UnnoiseError, require

if TYPE_CHECKING:
    import numpy as np

    from unnoise.diffusion import Diffusion
    from unnoise.tensors import Trajectory


def generate(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    num_images: int = 36,
    num_steps: Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: the preset's)")] = None,
    eta: Annotated[float | None, arg(metavar="E", help_behavior_hint="(default: the preset's)")] = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: RUN/generated.png)")] = None,
    device: str = "auto",
) -> None:
    """Draws new pictures with a trained run.

    Args:
        run: The folder that unnoise train made.
        num_images: How many pictures.
        num_steps: Calls of the network for each; more is finer and slower.
        eta: Fresh noise on the way, from 0 (none: the start decides all) to 1.
        seed: Of the first picture; the next has the next seed. A seed gives the same picture each time.
        out: A .png (one sheet), a .gif or .mp4 (the reverse process), an .npz (array images, uint8,
            N x H x W x C), or a folder (one PNG each).
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.checkpoint import Run
    from unnoise.samplers import require_eta, require_steps
    from unnoise.training import choose_device

    opened = Run.open(run)
    path = out or run / "generated.png"
    steps = opened.config.recipe.num_steps if num_steps is None else num_steps
    spread = opened.config.recipe.eta if eta is None else eta
    require_steps(steps)
    require_eta(spread)
    require(num_images >= 1, f"At least 1 image can be generated, but {num_images} were asked for.")
    check_out(path)
    diffusion = opened.load(choose_device(device))
    seeds = range(seed, seed + num_images)
    if path.suffix.lower() in ANIMATIONS and not path.is_dir():
        save_reverse_process(diffusion, seeds, steps, spread, path)
    else:
        save_images(diffusion, seeds, steps, spread, path)
    result("generated", path)


ANIMATIONS = (".gif", ".mp4")
_SUFFIXES = (".png", ".npz", *ANIMATIONS)
_BATCH = 64


def check_out(path: Path) -> None:
    """Finds out now, rather than after long work, whether pictures can be written there.

    Raises:
        UnnoiseError: for a name that says nothing of its kind, or a place that can't be written.
    """
    from unnoise.files import check_writable
    from unnoise.pictures.videos import require_video

    if path.is_dir() or not path.suffix:
        check_writable(path / "picture.png")
        return
    if path.suffix.lower() not in _SUFFIXES:
        raise UnnoiseError(
            f"Pictures are written to a .png, .gif, .mp4 or .npz file, or into a folder, but --out is {path}."
        )
    if path.suffix.lower() == ".mp4":
        require_video()
    check_writable(path)


def batches(seeds: Sequence[int], task: str) -> Iterator[Sequence[int]]:
    """The seeds, some at a time, with a progress bar."""
    with Bar(task, len(seeds)) as shown:
        for first in range(0, len(seeds), _BATCH):
            batch = seeds[first : first + _BATCH]
            yield batch
            shown.advance(len(batch))


def save_images(diffusion: "Diffusion", seeds: range, num_steps: int, eta: float, path: Path) -> None:
    """Writes a sheet, an array, or one file each, by what the path is called."""
    import numpy as np
    import torch

    from unnoise import pictures
    from unnoise.files import writable

    kept: list[Any] = []
    sheet = path.suffix.lower() == ".png" and not path.is_dir()
    array = path.suffix.lower() == ".npz" and not path.is_dir()
    for batch in batches(seeds, "Generating"):
        images = diffusion.generate(len(batch), num_steps, batch[0], eta=eta).cpu()
        if sheet:
            kept.append(images)
        elif array:
            kept.append(pictures.to_bytes(images))
        else:
            _save_each(pictures.to_uint8(images), batch, path)
    if sheet:
        pictures.save_png(pictures.grid(torch.cat(kept)), path)
    elif array:
        with writable(path) as file:
            np.savez_compressed(file, images=np.concatenate(kept))


def _save_each(arrays: "np.ndarray", seeds: Sequence[int], folder: Path) -> None:
    from PIL import Image

    from unnoise import pictures

    for seed, array in zip(seeds, arrays, strict=True):
        picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
        pictures.save_png(picture, folder / f"{seed:06d}.png")


def save_reverse_process(diffusion: "Diffusion", seeds: range, num_steps: int, eta: float, path: Path) -> None:
    """Writes how noise turns into these pictures."""
    import torch

    from unnoise import pictures

    parts = [trajectory(diffusion, batch, num_steps, eta) for batch in batches(seeds, "Generating")]
    pictures.save_animation(pictures.frames(torch.cat(parts, dim=1)), path)


def trajectory(diffusion: "Diffusion", seeds: Sequence[int], num_steps: int, eta: float) -> "Trajectory":
    """How the pictures of these seeds come about, on the CPU."""
    draw = diffusion.noises(seeds)
    return diffusion.trajectory(draw(), num_steps, eta=eta, draw_noises=draw).cpu()
