"""Editing of real pictures: the session and the checks that all editing commands share."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, TypeVar

from unnoise.api.amounts import check_memory, check_seeds
from unnoise.api.effects import refuse_without_effect
from unnoise.api.loading import load_run_pictures
from unnoise.api.reporting import count, progress_bar
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.data import DecodeSettings
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers import Times
    from unnoise.diffusion.samplers.sampling import Sampler, Sampling
    from unnoise.diffusion.schedules import Schedule
    from unnoise.diffusion.seeds import SeededNoises
    from unnoise.diffusion.tensors import Classes, Denoise, Images, Pixels, Prediction, Rates
    from unnoise.runs.config import RunConfig

Step = TypeVar("Step")

Sources: TypeAlias = str | Path | Sequence[str | Path]
"""One picture file or several; or .npy or .npz arrays of pictures."""

MAX_PICTURES = 64
"""Pictures edited at once, as they share one batch."""

_INVERSION_STEPS = 50
_JUMP_LENGTH = 5


class InputPictures(NamedTuple):
    """The pictures to edit: names for files, and uint8 (B, C, H, W)."""

    names: list[str]
    pixels: "Pixels"


def require_every_step(run: "OpenRun", doing: str) -> None:
    """Raises `UnnoiseError` for a run that draws in one or two long steps, where each small one is needed.

    Args:
        run: what is to be used.
        doing: what for, as the beginning of the message.
    """
    require(
        not run.config.jumps,
        f"{doing} needs every small step of the reverse process, but {run.path} learned to draw in one or two "
        f"long ones: use {run.config.in_small_steps}.",
    )


@dataclass(frozen=True)
class EditSession:
    """An open run with its denoiser and sampling, to edit pictures with."""

    run: "OpenRun"
    denoiser: "Denoiser"
    sampling: "Sampling"

    @classmethod
    def open(cls, run: "OpenRun", num_steps: int | None, *, inverts: bool = False) -> "EditSession":
        """Loads a run with its own sampling, or for inversion with 50 steps of ddim without added noise."""
        from unnoise.runs.drawing_precision import exact

        require_every_step(run, "Editing")
        sampling, schedule = run.config.recipe.sampling, run.config.schedule
        if inverts:
            longest = getattr(schedule, "num_timesteps", _INVERSION_STEPS)
            sampling = replace(sampling, num_steps=min(_INVERSION_STEPS, longest), spacing="trailing")
            sampling = replace(sampling, sampler="ddim", eta=0.0)
        if num_steps is not None:
            sampling = replace(sampling, num_steps=num_steps)
        sampling.grid(schedule)  # refuses more steps than a discrete schedule has
        folder, device = run.folder, run.torch_device
        loaded = exact(folder.averaged(device)) if inverts else folder.load(device, sampling=sampling)
        return cls(run, loaded, sampling)

    @property
    def schedule(self) -> "Schedule":
        """The run's schedule."""
        return self.denoiser.schedule

    @property
    def num_steps(self) -> int:
        """Steps from noise to picture."""
        return self.sampling.num_steps

    @property
    def times(self) -> "Times":
        """The times of these steps, and 0."""
        return self.sampling.times(self.schedule)

    def denoise(self, classes: "Classes | None") -> "Denoise":
        """The averaged network, without self-conditioning: equal noisy images give equal predictions."""
        return self.denoiser.guided_denoise(self.sampling, classes, self_conditioning=False)

    def denoise_label(
        self, label: str | None, pixels: "Pixels | Images | None" = None, seeds: "Sequence[int]" = ()
    ) -> "Denoise":
        """The same for any number of images of one class, or without a class.

        Args:
            label: of the class.
            pixels: pictures that the images look like, in turn. A run that knows clusters is told theirs.
            seeds: of the images, where nothing is known of them. Then it is told the clusters of these seeds.
        """
        chosen, abilities = None, self.denoiser.abilities
        if label is not None:
            chosen = self.run.config.classes([0], (label,))
        elif pixels is not None:
            chosen = abilities.classes_of(pixels)
        elif seeds:
            chosen = abilities.classes_of_seeds(seeds)
        if chosen is None:
            return self.denoise(None)

        def wrapped(noisy_images: "Images", noise_rates: "Rates", signal_rates: "Rates") -> "Prediction":
            classes = chosen.to(noisy_images.device).repeat(len(noisy_images) // len(chosen))
            return self.denoise(classes)(noisy_images, noise_rates, signal_rates)

        return wrapped

    def noises(self, seed: int, number: int, shape: tuple[int, int, int] | None = None) -> "SeededNoises":
        """The noises of `number` pictures with the seeds from `seed` on."""
        from unnoise.diffusion.seeds import SeededNoises

        check_seeds(seed, number)
        check_memory(self.run.config, number)
        seeds = range(seed, seed + number)
        return SeededNoises(seeds, shape or self.denoiser.image_shape, self.denoiser.device)

    def sampler(self, draw_noises: "Callable[[], Images]") -> "Sampler":
        """The run's sampler."""
        return partial(self.sampling.bound_sampler(), draw_noises=draw_noises)

    def normalized(self, pixels: "Pixels") -> "Images":
        """Pixels as the network sees them."""
        return self.denoiser.normalizer.normalize(pixels.to(self.denoiser.device))

    def denormalized(self, images: "Images") -> "Images":
        """Images in [0, 1], on the CPU."""
        return self.denoiser.normalizer.denormalize(images).cpu()


def paths_of(images: Sources) -> list[Path]:
    """The files, also where only one was named."""
    return [Path(one) for one in ([images] if isinstance(images, str | Path) else images)]


def chosen_jump_length(jump_length: int | None, repeats: int) -> int:
    """How many steps are taken together before they are repeated; refused where none is repeated."""
    if repeats == 1:
        refuse_without_effect({"jump-length": jump_length}, "with --repeats 1, as no step is repeated")
    return _JUMP_LENGTH if jump_length is None else jump_length


def decode_settings(config: "RunConfig") -> "DecodeSettings":
    """How the run's own pictures were read."""
    from unnoise.data import DecodeSettings

    data = config.data
    size = (data.height, data.width)
    return DecodeSettings(size, data.channels, data.fit, data.background, data.ranges or None)


def given_pictures(
    config: "RunConfig",
    paths: Sequence[Path],
    held_out: int,
    seed: int,
    settings: "DecodeSettings | None" = None,
) -> InputPictures:
    """The pictures of these files, or some that the run was not trained on.

    Raises:
        UnnoiseError: for both or neither, too many, or pictures that can't be read.
    """
    require(held_out >= 0, f"--held-out takes a number of pictures, but got {held_out}.")
    if bool(paths) == bool(held_out):
        raise UnnoiseError(
            "This command needs pictures: name their files, or take some that the run was not trained on "
            f"with --held-out 4; got {'both' if paths else 'neither'}."
        )
    found = _held_out(config, held_out, seed) if held_out else _read(paths, settings or decode_settings(config))
    require(
        len(found.names) <= MAX_PICTURES,
        f"At most {MAX_PICTURES} pictures are edited at once, but got {len(found.names)}: name fewer.",
    )
    return found


def _read(paths: Sequence[Path], settings: "DecodeSettings") -> InputPictures:
    import torch

    from unnoise.data import read_pictures

    parts = [read_pictures([path], settings) for path in paths]
    names = [
        path.stem if len(part) == 1 else f"{path.stem}-{number:03d}"
        for path, part in zip(paths, parts, strict=True)
        for number in range(len(part))
    ]
    # A number tells pictures of the same name apart.
    unique = [name if names.count(name) == 1 else f"{name}-{place}" for place, name in enumerate(names)]
    return InputPictures(unique, torch.cat(parts))


def _held_out(config: "RunConfig", wanted: int, seed: int) -> InputPictures:
    import numpy as np

    data, images = config.data, load_run_pictures(config)
    require(
        images.fingerprint == data.fingerprint,
        f"{data.source} has changed since this run was trained, so its held-out pictures are unknown: name "
        "the files of some pictures instead.",
    )
    unseen = config.split(images).held_out
    require(
        len(unseen) >= wanted,
        f"This run held out {count(len(unseen), 'picture')}, but {wanted} were asked for: "
        "name the files of some pictures instead.",
    )
    chosen = np.sort(np.random.default_rng([seed, 6]).permutation(unseen)[:wanted])
    return InputPictures([f"held-out-{index:06d}" for index in chosen], images.take(chosen))


def last_step(steps: "Iterator[Step]", total: int, task: str) -> "Step":
    """Runs to the last step, with a progress bar, and returns it."""
    with progress_bar(task, total) as bar:
        for step in steps:  # noqa: B007 (the last is returned)
            bar.advance(1)
    return step


def difference(left: "Images", right: "Images") -> str:
    """The mean absolute difference of pictures in [0, 1], in grey levels."""
    errors = 255 * (left - right).abs().mean(dim=(1, 2, 3))
    worst = f" ({float(errors.max()):.2f} in the worst picture)" if len(errors) > 1 else ""
    return f"{float(errors.mean()):.2f} of 255 grey levels on average{worst}"
