"""`unnoise generate`: from a run to new pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, TypeVar

from tyro.conf import Positional, arg

from unnoise.cli.console import Bar, result, say
from unnoise.cli.loading import load, opened_run
from unnoise.cli.redrawing import Beginning, save_redrawn
from unnoise.diffusion import sampler_names
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    import numpy as np

    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.diffusion.tensors import Images, Trajectory
    from unnoise.runs.config import RunConfig


Value = TypeVar("Value")
Own: TypeAlias = Annotated[Value | None, arg(metavar="N", help_behavior_hint="(default: the preset's)")]
Steps: TypeAlias = Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: the preset's)")]
_OWN = arg(help_behavior_hint="(default: the preset's)")
Sampler: TypeAlias = Annotated[sampler_names.SamplerName | None, _OWN]
Spacing: TypeAlias = Annotated[sampler_names.Spacing | None, _OWN]
Variance: TypeAlias = Annotated[sampler_names.Variance | None, _OWN]
Clip: TypeAlias = Annotated[sampler_names.Clip | None, _OWN]
Number: TypeAlias = Annotated[
    int | None, arg(metavar="N", help_behavior_hint="(default: 36; of each picture of --from 5)")
]
From: TypeAlias = Annotated[
    tuple[Path, ...], arg(name="from", metavar="IMAGE [IMAGE ...]", help_behavior_hint="")
]
Interval: TypeAlias = Annotated[
    tuple[float, float] | None, arg(metavar="LOW HIGH", help_behavior_hint="(default: the preset's)")
]


def generate(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    num_images: Number = None,
    num_steps: Steps = None,
    eta: Own[float] = None,
    seed: int = 0,
    out: Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: RUN/generated.png)")] = None,
    labels: Annotated[tuple[str, ...], arg(metavar="CLASS", help_behavior_hint="(default: all)")] = (),
    guidance: Own[float] = None,
    guidance_rescale: Own[float] = None,
    guidance_interval: Interval = None,
    autoguidance: Annotated[float | None, arg(metavar="SCALE", help_behavior_hint="(default: none)")] = None,
    weak: Annotated[str | None, arg(metavar="STEP|RUN", help_behavior_hint="(default: STEPS / 4)")] = None,
    sampler: Sampler = None,
    spacing: Spacing = None,
    variance: Variance = None,
    clip: Clip = None,
    best: bool = False,
    from_images: From = (),
    from_held_out: int = 0,
    strength: Annotated[float | None, arg(metavar="S", help_behavior_hint="(default: 0.5)")] = None,
    compiled: Annotated[bool, arg(name="compile")] = False,
    device: str = "auto",
) -> None:
    """Draws new pictures with a trained run, from noise or from other pictures.

    Args:
        run: The folder that unnoise train made.
        num_images: How many pictures.
        num_steps: Steps from noise to picture; more is finer and slower. Each calls the network once, and
            twice with heun.
        eta: Fresh noise on the way, from 0 (none: the start decides all) to 1.
        seed: Of the first picture; the next has the next seed. A seed gives the same picture each time.
        out: A .png (one sheet), a .gif or .mp4 (the reverse process), an .npz (array images, uint8,
            N x H x W x C), or a folder (one PNG each).
        labels: Classes to draw, in turn, for a run that was trained with --labels.
        guidance: Above 1 pictures become more typical of their class, and more alike; try 2.
        guidance_rescale: From 0 to 1, gives guided pictures back their spread; try 0.7 above a guidance of 4.
        guidance_interval: Guides only where noise / signal lies between these two; try 0.3 5.
        autoguidance: Above 1 pictures are led away from what the run saw earlier in its training, which can
            make them better, with classes or without, and takes twice as long; try 1.5. The interval and the
            rescale hold for it too.
        weak: What autoguidance leads away from: a step whose average the run stored, or the folder of a smaller
            run on the same pictures.
        sampler: ddim is of first order; dpmpp_2m, dpmpp_3m (DPM-Solver++), unipc, deis, adams, ipndm and heun
            are of higher order and need fewer steps; ancestral (DDPM), consistency and the sde ones add noise
            in every step. unnoise solve finds the best.
        spacing: How the steps are spread: uniform in time; log_snr evenly in the logarithm of the noise;
            karras closer where it is small. The others choose among the timesteps of a chain.
        variance: Of the ancestral chain's fresh noise; learned needs a network that learned it.
        clip: Keep predictions in the range of pixels on the way: static cuts, dynamic shrinks.
        best: With the weights whose samples were judged best while it trained, instead of the last ones.
        from_images: Starts from these picture files, or .npy and .npz arrays, instead of noise alone.
        from_held_out: Starts from so many of the run's own pictures that it was not trained on.
        strength: How freely these are redrawn, from 0 (as they are) to 1 (not at all like them).
        compiled: Compile the network first, for a minute or more: for thousands of pictures.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    opened, path = opened_run(run), out or run / "generated.png"
    beginning = Beginning(from_images, from_held_out, strength).checked()
    changes: dict[str, object] = {"num_steps": num_steps, "eta": eta, "sampler": sampler}
    changes |= {"spacing": spacing, "variance": variance, "clip": clip}
    guided = {"scale": guidance, "rescale": guidance_rescale, "interval": guidance_interval}
    sampling = chosen_sampling(opened.config, changes, guided, autoguided=autoguidance is not None)
    opened.config.classes([], labels)  # refuses unknown names now
    if beginning:
        save_redrawn(opened, device, sampling, labels, beginning, num_images, seed, path)
        return
    seeds = _seeds(seed, num_images)
    check_out(path)
    batch = min(len(seeds), _BATCH) if compiled else None
    denoiser = load(opened, device, sampling.guidance, autoguidance, weak, compile_for=batch, best=best)
    save_new(Drawing(denoiser, opened.config, sampling, labels), seeds, path)


def _seeds(first: int, num_images: int | None) -> range:
    number = 36 if num_images is None else num_images
    require(number >= 1, f"At least 1 image can be generated, but {number} were asked for.")
    return range(first, first + number)


def save_new(drawing: "Drawing", seeds: range, path: Path) -> None:
    """Writes the pictures of these seeds, or how they come about, by what the path is called."""
    animated = path.suffix.lower() in ANIMATIONS and not path.is_dir()
    save = save_reverse_process if animated else save_images
    save(drawing, seeds, path)
    result("generated", path)


def chosen_sampling(
    config: "RunConfig",
    changes: Mapping[str, object],
    guided: Mapping[str, object],
    *,
    autoguided: bool = False,
) -> "Sampling":
    """The run's own way of sampling, with whatever was asked for instead; says what has no effect."""
    from unnoise.diffusion.schedules import DiscreteSchedule

    own = config.recipe.sampling
    wanted: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    guidance: dict[str, Any] = {name: value for name, value in guided.items() if value is not None}
    sampling = replace(own, **wanted, guidance=replace(own.guidance, **guidance))
    if (guidance.keys() & {"scale"} if autoguided else guidance) and not config.data.classes:
        say("Guidance has no effect here: this run was trained without --labels.")
    if "eta" in wanted and sampling.sampler != "ddim":
        say("--eta has no effect here: it belongs to --sampler ddim.")
    if "variance" in wanted and sampling.sampler != "ancestral":
        say("--variance has no effect here: it belongs to --sampler ancestral.")
    of_a_chain = wanted.get("spacing") in ("trailing", "leading", "linspace")
    if of_a_chain and not isinstance(config.recipe.schedule, DiscreteSchedule):
        say("--spacing is uniform here: trailing, leading and linspace choose among the timesteps of a chain.")
    return sampling


@dataclass(frozen=True)
class Drawing:
    """What is drawn with, and how."""

    denoiser: "Denoiser"
    config: "RunConfig"
    sampling: "Sampling"
    labels: tuple[str, ...] = ()

    def images(self, seeds: Sequence[int]) -> "Images":
        """The pictures of these seeds, on the CPU."""
        classes = self.config.classes(seeds, self.labels)
        drawn = self.denoiser.generate(len(seeds), seed=seeds[0], sampling=self.sampling, classes=classes)
        return drawn.cpu()

    def trajectory(self, seeds: Sequence[int]) -> "Trajectory":
        """How they come about."""
        draw, classes = self.denoiser.noises(seeds), self.config.classes(seeds, self.labels)
        shown = self.denoiser.trajectory(draw(), sampling=self.sampling, classes=classes, draw_noises=draw)
        return shown.cpu()


ANIMATIONS = (".gif", ".mp4")
_SUFFIXES = (".png", ".npz", *ANIMATIONS)
_BATCH = 64


def check_out(path: Path) -> None:
    """Finds out now, rather than after long work, whether pictures can be written there.

    Raises:
        UnnoiseError: for a name that says nothing of its kind, or a place that can't be written.
    """
    from unnoise.pictures.animations import require_video
    from unnoise.utils.files import check_writable

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


def save_images(drawing: Drawing, seeds: range, path: Path) -> None:
    """Writes a sheet, an array, or one file each, by what the path is called."""
    import numpy as np
    import torch

    from unnoise import pictures
    from unnoise.utils.files import atomic_write

    kept: list[Any] = []
    sheet = path.suffix.lower() == ".png" and not path.is_dir()
    array = path.suffix.lower() == ".npz" and not path.is_dir()
    for batch in batches(seeds, "Generating"):
        images = drawing.images(batch)
        if sheet:
            kept.append(images)
        elif array:
            kept.append(pictures.to_bytes(images))
        else:
            _save_each(pictures.to_uint8(images), batch, path)
    if sheet:
        pictures.save_png(pictures.grid(torch.cat(kept)), path)
    elif array:
        with atomic_write(path) as file:
            np.savez_compressed(file, images=np.concatenate(kept))


def _save_each(arrays: "np.ndarray", seeds: Sequence[int], folder: Path) -> None:
    from PIL import Image

    from unnoise import pictures

    for seed, array in zip(seeds, arrays, strict=True):
        picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
        pictures.save_png(picture, folder / f"{seed:06d}.png")


def save_reverse_process(drawing: Drawing, seeds: range, path: Path) -> None:
    """Writes how noise turns into these pictures."""
    import torch

    from unnoise import pictures

    parts = [drawing.trajectory(batch) for batch in batches(seeds, "Generating")]
    pictures.save_animation(pictures.frames(torch.cat(parts, dim=1)), path)
