"""What the commands that start from real pictures share: reading, walking, showing before and after."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeAlias, TypeVar

from tyro.conf import Positional, arg

from unnoise.cli.console import Bar, count, result
from unnoise.cli.loading import as_trained
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.data import Settings
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers import Times
    from unnoise.diffusion.samplers.sampling import Sampler, Sampling
    from unnoise.diffusion.schedules import Schedule
    from unnoise.diffusion.seeds import SeededNoises
    from unnoise.diffusion.tensors import Classes, Denoise, Images, Pixels, Prediction, Rates
    from unnoise.runs.checkpoint import Run

Step = TypeVar("Step")
RunFolder: TypeAlias = Annotated[Path, Positional, arg(metavar="RUN")]
ImageFiles: TypeAlias = Annotated[
    tuple[Path, ...], Positional, arg(metavar="[IMAGE ...]", help_behavior_hint="")
]
Steps: TypeAlias = Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: the preset's)")]
InversionSteps: TypeAlias = Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: 50)")]
Label: TypeAlias = Annotated[str | None, arg(metavar="CLASS", help_behavior_hint="(default: none)")]
Save: TypeAlias = Annotated[Path | None, arg(metavar="PATH", help_behavior_hint="(default: the sheet alone)")]

MOST_PICTURES = 64
"""At once: they share the calls of the network."""

BACKGROUND_GREY = 0.65
"""As grey as a sheet's background: what stands for pixels that are not there."""

_INVERSION_STEPS = 50


class Given(NamedTuple):
    """Pictures to start from: names for files, and uint8 (B, C, H, W)."""

    names: list[str]
    pixels: "Pixels"


@dataclass(frozen=True)
class Editor:
    """A run, opened to do something with real pictures."""

    run: "Run"
    denoiser: "Denoiser"
    sampling: "Sampling"

    @classmethod
    def open(cls, run: Path, num_steps: int | None, device: str, *, inverts: bool = False) -> "Editor":
        """With the run's own sampling; one that inverts has 50 steps of its own, or as many as the chain."""
        from unnoise.runs.checkpoint import Run
        from unnoise.training.loop import choose_device

        opened = Run.open(run)
        sampling, schedule = opened.config.recipe.sampling, opened.config.recipe.schedule
        if inverts:
            longest = getattr(schedule, "num_timesteps", _INVERSION_STEPS)
            sampling = replace(sampling, num_steps=min(_INVERSION_STEPS, longest), spacing="trailing")
            sampling = replace(sampling, sampler="ddim", eta=0.0)
        if num_steps is not None:
            sampling = replace(sampling, num_steps=num_steps)
        sampling.grid(schedule)  # refuses more steps than a chain has
        return cls(opened, opened.load(choose_device(device)), sampling)

    @property
    def schedule(self) -> "Schedule":
        """The run's."""
        return self.denoiser.schedule

    @property
    def num_steps(self) -> int:
        """Of the whole way."""
        return self.sampling.num_steps

    @property
    def times(self) -> "Times":
        """Where the steps of the whole way end."""
        return self.sampling.times(self.schedule)

    @property
    def settings(self) -> "Settings":
        """How the run's own pictures were read."""
        from unnoise.data import Settings

        data = self.run.config.data
        return Settings((data.height, data.width), data.channels, data.fit, data.background)

    def denoise(self, classes: "Classes | None") -> "Denoise":
        """The averaged network, which sees the same noisy images always alike."""
        return self.denoiser.guided_denoise(self.sampling, classes, self_conditioning=False)

    def of_class(self, label: str | None) -> "Denoise":
        """The same for any number of images of one class, or of none."""
        (chosen,) = (None,) if label is None else self.run.config.classes([0], (label,)) or (None,)
        if chosen is None:
            return self.denoise(None)

        def wrapped(noisy_images: "Images", noise_rates: "Rates", signal_rates: "Rates") -> "Prediction":
            classes = chosen.to(noisy_images.device).expand(len(noisy_images))
            return self.denoise(classes)(noisy_images, noise_rates, signal_rates)

        return wrapped

    def noises(self, seed: int, number: int, shape: tuple[int, int, int] | None = None) -> "SeededNoises":
        """The random numbers of pictures with the seeds from `seed` on."""
        from unnoise.diffusion.seeds import SeededNoises

        seeds = range(seed, seed + number)
        return SeededNoises(seeds, shape or self.denoiser.image_shape, self.denoiser.device)

    def sampler(self, draw_noises: "Callable[[], Images]") -> "Sampler":
        """The run's way to sample, for any grid of times."""
        return partial(self.sampling.bound_sampler(), draw_noises=draw_noises)

    def normalized(self, pixels: "Pixels") -> "Images":
        """What the network takes."""
        return self.denoiser.normalizer.normalize(pixels.to(self.denoiser.device))

    def shown(self, images: "Images") -> "Images":
        """Back in [0, 1], on the CPU."""
        return self.denoiser.normalizer.denormalize(images).cpu()

    def given(
        self, paths: Sequence[Path], held_out: int, seed: int, settings: "Settings | None" = None
    ) -> Given:
        """The pictures that are named, or some that the run was not trained on.

        Raises:
            UnnoiseError: for both or neither, too many, or pictures that can't be read.
        """
        require(held_out >= 0, f"--held-out takes a number of pictures, but got {held_out}.")
        if bool(paths) == bool(held_out):
            raise UnnoiseError(
                f"This starts from pictures: name their files, or take some that the run has not seen with "
                f"--held-out 4, but got {'both' if paths else 'neither'}."
            )
        given = self._held_out(held_out, seed) if held_out else self._read(paths, settings or self.settings)
        require(
            len(given.names) <= MOST_PICTURES,
            f"At most {MOST_PICTURES} pictures are edited at once, but got {len(given.names)}: name fewer.",
        )
        return given

    def _read(self, paths: Sequence[Path], settings: "Settings") -> Given:
        from unnoise.data import read_pictures

        parts = [read_pictures([path], settings) for path in paths]
        names = [
            path.stem if len(part) == 1 else f"{path.stem}-{number:03d}"
            for path, part in zip(paths, parts, strict=True)
            for number in range(len(part))
        ]
        import torch

        return Given(_told_apart(names), torch.cat(parts))

    def _held_out(self, wanted: int, seed: int) -> Given:
        import numpy as np

        from unnoise.data.batches import split

        config, data = self.run.config, self.run.config.data
        images = as_trained(self.run)
        require(
            images.fingerprint == data.fingerprint,
            f"{data.source} no longer holds the pictures that this run was trained on, so it can't be told "
            "which were held out: name the files of some pictures instead.",
        )
        unseen = split(len(images), data.held_out, config.seed).held_out
        require(
            len(unseen) >= wanted,
            f"This run has held out {count(len(unseen), 'picture')}, but {wanted} were asked for: "
            "name the files of some pictures instead.",
        )
        chosen = np.sort(np.random.default_rng([seed, 6]).permutation(unseen)[:wanted])
        return Given([f"held-out-{index:06d}" for index in chosen], images.take(chosen))


def _told_apart(names: Sequence[str]) -> list[str]:
    """The names, with a number where one comes twice."""
    return [name if names.count(name) == 1 else f"{name}-{place}" for place, name in enumerate(names)]


def watch(steps: "Iterator[Step]", total: int, task: str) -> "Step":
    """Walks to the last step, with a progress bar."""
    with Bar(task, total) as shown:
        for step in steps:  # noqa: B007 (the last is returned)
            shown.advance(1)
    return step


def check_places(sheet: Path, save: Path | None) -> Path:
    """Finds out now, rather than after long work, whether results can be written there; returns the sheet's.

    Raises:
        UnnoiseError: for a sheet that is no .png, results that are neither .npz nor a folder, or a place that
            can't be written.
    """
    from unnoise.utils.files import require_suffix
    from unnoise.utils.files import check_writable

    require_suffix(sheet, ".png")
    check_writable(sheet)
    if save is not None:
        if not _is_folder(save) and save.suffix.lower() != ".npz":
            raise UnnoiseError(f"Results are saved to an .npz file or into a folder, but --save is {save}.")
        check_writable(save / "picture.png" if _is_folder(save) else save)
    return sheet


def _is_folder(path: Path) -> bool:
    return path.is_dir() or not path.suffix


def finish(what: str, columns: "Mapping[str, Images]", sheet: Path) -> None:
    """Writes the sheet: the stages of each picture side by side, all in [0, 1] and of one size."""
    import torch

    from unnoise import pictures
    from unnoise.pictures.sheets import near_square

    stages = torch.stack(tuple(columns.values()))
    num_stages, number, _, height, width = stages.shape
    blocks = near_square(number, num_stages * width / height)
    missing = stages.new_full((num_stages, -number % blocks, *stages.shape[2:]), BACKGROUND_GREY)
    filled = torch.cat([stages, missing], dim=1)
    # Reading order within each block of columns, and from block to block.
    rows = filled.reshape(num_stages, blocks, -1, *stages.shape[2:]).transpose(0, 1).flatten(0, 1)
    drawn = pictures.strip(rows, labels=tuple(columns) * blocks, max_steps=len(rows))
    pictures.save_png(drawn, sheet)
    result(what, sheet)


def save_results(save: Path | None, names: Sequence[str], images: "Images", **more: "Images") -> None:
    """Writes the pictures where --save says: `images` as uint8 (N, H, W, C), and `more` as they are."""
    if save is None:
        return
    import numpy as np
    from PIL import Image

    from unnoise import pictures
    from unnoise.utils.files import atomic_write

    arrays = pictures.to_bytes(images)
    others: dict[str, Any] = {name: values.cpu().numpy() for name, values in more.items()}
    others["images"] = arrays
    if _is_folder(save):
        for name, array in zip(names, arrays, strict=True):
            picture = Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
            pictures.save_png(picture, save / f"{name}.png")
    else:
        with atomic_write(save) as file:
            np.savez_compressed(file, **others)
    result("saved", save)


def difference(left: "Images", right: "Images") -> str:
    """How far pictures in [0, 1] are apart, in words."""
    errors = 255 * (left - right).abs().mean(dim=(1, 2, 3))
    worst = f", {float(errors.max()):.2f} in the worst picture" if len(errors) > 1 else ""
    return f"{float(errors.mean()):.2f} of 255 on average{worst}"
