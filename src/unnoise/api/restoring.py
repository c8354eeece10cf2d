"""Restoration: small pictures enlarged, grey ones coloured, blurred ones sharpened (MMPS, 2405.13712)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from unnoise.api.drawing import Drawing
from unnoise.api.editing import (
    EditSession,
    Sources,
    decode_settings,
    difference,
    given_pictures,
    last_step,
    paths_of,
)
from unnoise.api.effects import refuse_without_effect
from unnoise.api.reporting import Progress, count, reporting, tell
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.data import DecodeSettings
    from unnoise.diffusion.editing import Operator
    from unnoise.diffusion.tensors import Images

Task = Literal["upscale", "colourise", "deblur"]
_FACTOR, _SIGMA = 4, 1.5


def restore(
    run: "OpenRun",
    images: Sources = (),
    *,
    task: Task = "upscale",
    factor: int | None = None,
    sigma: float | None = None,
    spoil: bool = False,
    held_out: int = 0,
    num_steps: int | None = None,
    num_solves: int = 3,
    noise: float = 0.005,
    label: str | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> Drawing:
    """Enlarges small pictures, colours grey ones, or sharpens blurred ones.

    The result is one of many possible ones, and agrees with the given picture: made small, grey or blurred
    again, it is nearly the same.

    Args:
        run: the run.
        images: The small, grey or blurred pictures: files, or .npy and .npz arrays of them.
        task: upscale enlarges, colourise colours grey pictures, deblur sharpens.
        factor: For upscale: how many times higher and wider the result is, which has the size of the run's
            pictures.
        sigma: For deblur: width of the blur (standard deviation) in pixels.
        spoil: The images are good: make them small, grey or blurred first, then restore and compare.
        held_out: Instead of images: this many of the run's own pictures that it was not trained on.
        num_steps: Steps from noise to picture. More is finer and slower; 10 to 50 is usual.
        num_solves: How exactly each step follows the given picture, as passes back through the network. More
            is slower.
        noise: Noise that the given pictures may have, as a part of the full range of pixels. More for noisy
            ones.
        label: Class of the pictures, for a run that was trained with --labels.
        seed: Seed of the first picture; another seed draws another result.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The restored pictures; the sheet shows each before and after.

    Raises:
        UnnoiseError: for values out of range, and pictures that can't be read.
    """
    if task != "upscale":
        refuse_without_effect({"factor": factor}, f"with --task {task}")
    if task != "deblur":
        refuse_without_effect({"sigma": sigma}, f"with --task {task}", "Leave it out, or add --task deblur.")
    with reporting(progress):
        session = EditSession.open(run, num_steps)
        strength = _FACTOR if factor is None else factor, _SIGMA if sigma is None else sigma
        problem, whole = _problem(session, task, *strength), spoil or held_out > 0
        read_as = None if whole else problem.settings
        names, pixels = given_pictures(run.config, paths_of(images), held_out, seed, read_as)
        if task == "upscale" and not whole:
            _tell_shrunk(paths_of(images), problem.settings, session.denoiser.image_shape)
        before = pixels.float() / 255
        measured = (255 * problem.on_pixels(before)).round() / 255 if whole else before
        restored = _restored(session, problem, measured, label, seed, num_solves, noise)
        again = difference(problem.on_pixels(restored), measured)
        tell(f"Made {problem.name} again, the restored pictures differ from the given ones by {again}.")
        if whole:
            tell(f"The restored pictures differ from the originals by {difference(restored, before)}.")
    columns = {"before": before} if whole else {}
    columns |= {problem.name: _enlarged(measured, restored), "restored": restored}
    return Drawing(restored, names, columns)


def _tell_shrunk(paths: Sequence[Path], small: "DecodeSettings", shape: tuple[int, int, int]) -> None:
    """Says which of the given pictures were larger than those that are enlarged, and made small first."""
    from unnoise.data import sizes_in

    assert small.size is not None
    (height, width), (_, whole_height, whole_width) = small.size, shape
    shrinks = any if small.fit == "pad" else all  # cropped ones keep the scale of the side that is nearer
    sizes = [(size, path.name) for path in paths for size in sizes_in(path)]
    larger = [one for one in sizes if shrinks((one[0][0] > height, one[0][1] > width))]
    if larger:
        size, name = max(larger, key=lambda one: one[0][0] * one[0][1])
        own = f"{size[0]} x {size[1]}"
        which = f"{name} ({own}) was" if len(larger) == 1 else f"{len(larger)} pictures (up to {own}) were"
        tell(
            f"{which} first made {height} x {width}, since --factor {whole_height // height} enlarges that to "
            f"the {whole_height} x {whole_width} of this run's pictures: to keep the details, take a run on "
            "larger ones."
        )


def _restored(
    session: EditSession,
    problem: "InverseProblem",
    measured: "Images",
    label: str | None,
    seed: int,
    num_solves: int,
    noise: float,
) -> "Images":
    """Samples of the run that agree with the given pictures, in [0, 1]."""
    import torch

    from unnoise.diffusion import editing
    from unnoise.utils.out_of_memory import Pieces

    normalized = problem.normalize(measured).to(session.denoiser.device)

    def restored(some: slice) -> "Images":
        draw = session.noises(seed + some.start, some.stop - some.start)
        denoise = editing.conditioned(
            session.denoise_label(label, _look_of(measured[some], session.denoiser.image_shape)),
            problem.on_normalized,
            normalized[some],
            measured_std=noise / problem.scale,
            num_solves=num_solves,
        )
        steps = session.sampler(draw)(denoise, draw(), session.num_steps, session.schedule, times=session.times)
        return session.denormalized(last_step(steps, session.num_steps, "Restoring").images)

    # Pictures are restored apart, so that where memory runs out for their gradients, fewer can share a batch.
    return torch.cat(Pieces(device=session.denoiser.device).map(len(measured), restored))


def _look_of(measured: "Images", shape: tuple[int, int, int]) -> "Images | None":
    """What the pictures look like as far as is known; None for those without their colours."""
    if measured.shape[1] != shape[0]:
        return None
    return _enlarged(measured, measured.new_empty(len(measured), *shape))


def _enlarged(measured: "Images", like: "Images") -> "Images":
    """The measured pictures in the size and channels of others, pixel by pixel."""
    from torch.nn.functional import interpolate

    return interpolate(measured, (like.shape[2], like.shape[3])).expand_as(like)


@dataclass(frozen=True)
class InverseProblem:
    """What was done to the pictures, and how the given ones relate to the run's.

    Args:
        name: what the pictures are now.
        on_pixels: makes them so, from pictures in [0, 1].
        on_normalized: the same, from normalised pictures of the run; its results are numbers of `normalize`.
        settings: how the given pictures are read.
        scale: of one unit of these numbers: how large a part it is of the range from black to white.
        means, stds: of each channel of the given pictures: normalised = (pixel - mean) / std.
    """

    name: str
    on_pixels: "Operator"
    on_normalized: "Operator"
    settings: "DecodeSettings"
    scale: float
    means: tuple[float, ...]
    stds: tuple[float, ...]

    def normalize(self, measured: "Images") -> "Images":
        """Given pictures in [0, 1], in the numbers that `on_normalized` gives."""
        mean, std = (measured.new_tensor(values).view(1, -1, 1, 1) for values in (self.means, self.stds))
        normalized: Images = (measured - mean) / std
        return normalized


def _problem(session: EditSession, task: Task, factor: int, sigma: float) -> InverseProblem:
    """The inverse problem of a task.

    Raises:
        UnnoiseError: for a factor that does not divide the pictures, a sigma that is no width, or a run whose
            pictures have no colours to find.
    """
    from unnoise.diffusion.editing import LUMA, Blur, Downsample, Grey

    channels, height, width = session.denoiser.image_shape
    own, normalizer = decode_settings(session.run.config), session.denoiser.normalizer
    means, stds = (
        values * channels if len(values) == 1 else values for values in (normalizer.mean, normalizer.std)
    )
    scale = sum(stds) / len(stds)
    if task == "upscale":
        smaller = Downsample(factor)
        smaller.require_fits(height, width)
        size = (height // factor, width // factor)
        return InverseProblem("small", smaller, smaller, replace(own, size=size), scale, means, stds)
    if task == "deblur":
        blur = Blur(sigma)
        return InverseProblem("blurred", blur, blur, own, scale, means, stds)
    if channels != 3:
        raise UnnoiseError(
            f"Colouring needs a run on colour pictures (red, green and blue), but this one's have "
            f"{count(channels, 'channel')}: choose upscale or deblur."
        )
    weights = tuple(weight * std for weight, std in zip(LUMA, stds, strict=True))
    mean = sum(weight * value for weight, value in zip(LUMA, means, strict=True))
    return InverseProblem("grey", Grey(LUMA), Grey(weights), replace(own, channels=1), 1.0, (mean,), (1.0,))
