"""Generation with progress bars: sheets, arrays, folders and animations of new pictures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.cli.console import ProgressBar, print_result
from unnoise.cli.effects import refuse_without_effect
from unnoise.cli.output_paths import ANIMATIONS, is_folder

if TYPE_CHECKING:
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.diffusion.tensors import Images, Trajectory
    from unnoise.pictures.pixels import PixelArray
    from unnoise.runs.config import RunConfig

BATCH_SIZE = 64


def chosen_sampling(
    config: "RunConfig",
    changes: Mapping[str, object],
    guidance_changes: Mapping[str, object],
    *,
    autoguided: bool = False,
) -> "Sampling":
    """The run's own sampling with the options that were given.

    Raises:
        UnnoiseError: for values out of range, and options that would have no effect.
    """
    own = config.recipe.sampling
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    guidance: dict[str, Any] = {name: value for name, value in guidance_changes.items() if value is not None}
    sampling = replace(own, **given, guidance=replace(own.guidance, **guidance))
    _refuse_guidance_without_effect(config, sampling, guidance, autoguided=autoguided)
    for name, sampler in (("eta", "ddim"), ("variance", "ancestral")):
        if sampling.sampler != sampler:
            where = f"with the sampler {sampling.sampler}"
            remedy = f"Leave it out, or add --sampler {sampler}."
            refuse_without_effect({name: given.get(name)}, where, remedy)
    _refuse_spacing_without_effect(config, given.get("spacing"))
    return sampling


def _refuse_guidance_without_effect(
    config: "RunConfig", sampling: "Sampling", given: Mapping[str, Any], *, autoguided: bool
) -> None:
    options = {f"guidance-{name}": given.get(name) for name in ("rescale", "interval")}
    if not config.data.classes:
        of_classes = {"guidance": given.get("scale")}
        where = "here: this run was trained without --labels"
        refuse_without_effect(of_classes if autoguided else of_classes | options, where)
    elif sampling.guidance.scale == 1 and not autoguided:
        refuse_without_effect(options, "where the scale of guidance is 1", "Add --guidance 2, for example.")


def _refuse_spacing_without_effect(config: "RunConfig", spacing: str | None) -> None:
    from unnoise.diffusion.schedules import DiscreteSchedule

    if spacing in ("trailing", "leading", "linspace") and not isinstance(config.schedule, DiscreteSchedule):
        where = "here: this run's schedule is continuous and has no timesteps to choose from"
        refuse_without_effect({f"spacing {spacing}": spacing}, where, "Choose uniform, log_snr or karras.")


@dataclass(frozen=True)
class SeededGenerator:
    """A denoiser with all that is needed to generate the picture of a seed."""

    denoiser: "Denoiser"
    config: "RunConfig"
    sampling: "Sampling"
    labels: tuple[str, ...] = ()
    batch_size: int = BATCH_SIZE
    """Pictures at once, at most."""

    def images(self, seeds: Sequence[int]) -> "Images":
        """The pictures of these seeds, on the CPU."""
        classes = self.config.classes(seeds, self.labels)
        how = {"seed": seeds[0], "sampling": self.sampling, "batch_size": self.batch_size}
        return self.denoiser.generate(len(seeds), classes=classes, **how).cpu()  # type: ignore[arg-type]

    def trajectory(self, seeds: Sequence[int]) -> "Trajectory":
        """The reverse process of these seeds, on the CPU."""
        draw, classes = self.denoiser.noises(seeds), self.config.classes(seeds, self.labels)
        return self.denoiser.trajectory(draw(), sampling=self.sampling, classes=classes, draw_noises=draw)


def batches(numbers: Sequence[int], task: str, batch_size: int = BATCH_SIZE) -> Iterator[Sequence[int]]:
    """The numbers in batches, with a progress bar."""
    with ProgressBar(task, len(numbers)) as bar:
        for first in range(0, len(numbers), batch_size):
            batch = numbers[first : first + batch_size]
            yield batch
            bar.advance(len(batch))


def save_generated(generator: SeededGenerator, seeds: range, path: Path) -> None:
    """Writes the pictures of these seeds, or for .gif and .mp4 their reverse process."""
    if path.suffix.lower() in ANIMATIONS and not path.is_dir():
        save_reverse_process(generator, seeds, path)
    else:
        save_images(generator, seeds, path)
    print_result("generated", path)


def save_images(generator: SeededGenerator, seeds: range, path: Path) -> None:
    """Writes a sheet (.png), an array (.npz), or a folder of files, by the suffix of the path."""
    import torch

    from unnoise import pictures

    drawn = []
    for batch in batches(seeds, "Generating", generator.batch_size):
        images = generator.images(batch)
        if is_folder(path):
            save_each(pictures.to_uint8(images), [f"{seed:06d}" for seed in batch], path)
        else:
            drawn.append(images)
    if is_folder(path):
        return
    if path.suffix.lower() == ".png":
        pictures.save_png(pictures.grid(torch.cat(drawn)), path)
    else:
        save_array(path, images=pictures.to_bytes(torch.cat(drawn)))


def save_array(path: Path, **arrays: Any) -> None:  # noqa: ANN401 (as NumPy's own)
    """Writes arrays into an .npz."""
    import numpy as np

    from unnoise.utils.files import atomic_write

    with atomic_write(path) as file:
        np.savez_compressed(file, **arrays)


def save_each(pixels: "PixelArray", names: Sequence[str], folder: Path) -> None:
    """Writes each picture as a PNG of its own."""
    from PIL import Image

    from unnoise import pictures

    for name, array in zip(names, pixels, strict=True):
        picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
        pictures.save_png(picture, folder / f"{name}.png")


def save_reverse_process(generator: SeededGenerator, seeds: range, path: Path) -> None:
    """Writes an animation of how noise turns into these pictures."""
    import torch

    from unnoise import pictures

    parts = [generator.trajectory(batch) for batch in batches(seeds, "Generating", generator.batch_size)]
    pictures.save_animation(pictures.frames(torch.cat(parts, dim=1)), path)


def save_morph(generator: SeededGenerator, seeds: tuple[int, ...], frames: int, path: Path) -> None:
    """Writes an animation that passes through the pictures of these seeds and returns to the first."""
    import torch

    from unnoise import pictures
    from unnoise.diffusion import interpolation

    denoiser, config = generator.denoiser, generator.config
    sampling = replace(generator.sampling, eta=0.0)
    if not sampling.deterministic:
        sampling = replace(sampling, sampler="ddim")
    noises = interpolation.path(denoiser.noises(seeds)(), frames, closed=True)
    classes = config.classes([0] * frames, generator.labels)  # one and the same all the way
    parts = [
        denoiser.generate(
            initial_noises=noises[list(batch)],
            sampling=sampling,
            classes=None if classes is None else classes[: len(batch)],
        ).cpu()
        for batch in batches(range(frames), "Morphing")
    ]
    shown = pictures.frames(torch.cat(parts).unsqueeze(1))  # a trajectory of one picture
    pictures.save_animation(shown, path, hold_last=0.05)
