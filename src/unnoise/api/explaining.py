"""The forward and the reverse process step by step, and schedules as curves."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from unnoise.api.amounts import check_memory
from unnoise.api.editing import EditSession, given_pictures, paths_of
from unnoise.api.generating import SeededDrawing, generate, step_counter
from unnoise.api.reporting import Progress, progress_bar, reporting
from unnoise.utils.errors import UnnoiseError, require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.diffusion.schedules import Schedule
    from unnoise.diffusion.tensors import Images, Trajectory

_CURVE = 101
_KINDS = 3
"""Of each step the noisy, the predicted images and the predicted noises are kept."""
_SHOWN_NOISE = 6.0
"""Standard deviations of noise from black to white, where it is shown as a picture."""


class ReverseSteps(NamedTuple):
    r"""What each step of the reverse process starts from, and what the network predicts there.

        x_t = \alpha_t x_0 + \sigma_t \epsilon

    All pictures are in [0, 1]; noises are shown as 0.5 + noise / 6.
    """

    noisy: "Trajectory"
    """x_t, (S, B, C, H, W)."""
    images: "Trajectory"
    """The prediction of x_0."""
    noises: "Trajectory"
    """The prediction of epsilon."""
    noise_rates: list[float]
    """sigma_t of each step."""
    signal_rates: list[float]
    """alpha_t of each step."""


def reverse_steps(run: "OpenRun", num_images: int = 1, **options: Any) -> ReverseSteps:  # noqa: ANN401
    """Takes the reverse process of some seeds apart. Options are those of `generate`.

    The last step's predicted images are the pictures that `generate` draws from the same seeds.

    Raises:
        UnnoiseError: as `generate`.
    """
    import torch

    with reporting(options.pop("progress", None)):
        drawing = generate(run, num_images, lazy=True, **options)
        num_steps, parts = drawing.sampling.num_steps, []
        check_memory(run.config, num_images, _KINDS * num_steps)
        with progress_bar("Drawing", num_images) as bar:
            for first in range(0, num_images, drawing.batch_size):
                seeds, steps = drawing.seeds[first : first + drawing.batch_size], []
                each_step = step_counter(bar, first, len(seeds), num_steps)
                for step in _walk(drawing, seeds):
                    steps.append(step)
                    each_step()
                parts.append([torch.stack(kind) for kind in zip(*steps, strict=True)])
        noisy, images, noises = (torch.cat(kind, dim=1) for kind in zip(*parts, strict=True))
        grid = drawing.sampling.grid(drawing.denoiser.schedule)
    noise_rates, signal_rates = (rates.flatten()[:num_steps].tolist() for rates in grid)
    return ReverseSteps(noisy, images, noises, noise_rates, signal_rates)


def _walk(drawing: SeededDrawing, seeds: range) -> "Iterator[tuple[Images, Images, Images]]":
    """What each step starts from, and the images and noises predicted there; as pictures, on the CPU."""
    from unnoise.diffusion.tensors import mix

    denoiser, sampling = drawing.denoiser, drawing.sampling
    classes, draw = drawing.classes_of(seeds), denoiser.noises(seeds)
    start = draw()
    walk = denoiser.reverse_diffusion(start, sampling=sampling, classes=classes, draw_noises=draw)
    for prediction, *rates in zip(walk, *sampling.grid(denoiser.schedule), strict=False):
        expanded = (rate.to(start).expand(len(start), 1, 1, 1) for rate in rates)
        noisy = denoiser.normalizer.denormalize(mix(prediction.images, prediction.noises, *expanded))
        images = denoiser.normalizer.denormalize(prediction.images)
        yield noisy.cpu(), images.cpu(), _shown(prediction.noises)


class ForwardStep(NamedTuple):
    r"""A picture with noise of one level, and what the network makes of it.

    Pictures are (1, C, H, W) in [0, 1]; noises are shown as 0.5 + noise / 6.
    """

    time: float
    """Diffusion time, 0 is clean and 1 is noise."""
    noise_rate: float
    signal_rate: float
    clean: "Images"
    noise: "Images"
    noisy: "Images"
    """signal_rate * clean + noise_rate * noise, of normalised pictures."""
    predicted: "Images"
    predicted_noise: "Images"
    error: float
    """Root mean square of predicted - clean, in [0, 1]."""
    noise_error: float
    """Root mean square of predicted noise - noise, in standard deviations of the noise."""


def forward_step(
    run: "OpenRun",
    image: str | Path | None = None,
    *,
    time: float = 0.5,
    held_out: int = 0,
    label: str | None = None,
    best: bool = False,
    seed: int = 0,
    progress: Progress | None = None,
) -> ForwardStep:
    r"""Adds noise of one level to a picture, and asks the run's network what it sees in it.

        x_t = \alpha_t x_0 + \sigma_t \epsilon,        signal^2 + noise^2 = 1        (DDPM, 2006.11239, eq. 4)

    Guidance and clipping of the run's sampling are left out. Both predictions mix to x_t, so that the error of
    the normalised image is sigma / alpha times that of the noise.

    Args:
        run: the run.
        image: A picture, cut and scaled as the run's own were.
        time: The diffusion time t, from 0 (clean) to 1 (noise).
        held_out: Instead of an image: 1 for one of the run's own pictures that it was not trained on.
        label: Class that the network is told.
        best: Use the weights whose samples scored best during training, instead of the last ones.
        seed: Seed of the noise.
        progress: called with the fraction that is done, and what is being done.

    Raises:
        UnnoiseError: for a time outside [0, 1], and a picture that can't be read.
    """
    import torch

    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.diffusion.tensors import mix

    require(0 <= time <= 1, f"The time is from 0 (clean) to 1 (noise), but got {time}.")
    with reporting(progress):
        sampling = Sampling(sampler=run.config.recipe.sampling.sampler)  # says where a distilled network jumps
        session = EditSession(run, run.folder.load(run.torch_device, best=best), sampling)
        names, pixels = given_pictures(run.config, [] if image is None else paths_of(image), held_out, seed)
        require(len(names) == 1, f"One picture is explained at a time, but got {len(names)}.")
        clean, noise = session.normalized(pixels), session.noises(seed, 1)()
        at = torch.full((1, 1, 1, 1), time, device=clean.device)
        noise_rate, signal_rate = session.schedule(at)
        noisy = mix(clean, noise, noise_rate, signal_rate)
        with torch.no_grad():
            prediction = session.denoise_label(label, pixels)(noisy, noise_rate, signal_rate)
    shown = pixels.float() / 255
    predicted = session.denormalized(prediction.images)
    return ForwardStep(
        time,
        float(noise_rate),
        float(signal_rate),
        shown,
        _shown(noise),
        session.denormalized(noisy),
        predicted,
        _shown(prediction.noises),
        float((predicted - shown).square().mean().sqrt()),
        float((prediction.noises - noise).square().mean().sqrt()),
    )


class ScheduleCurve(NamedTuple):
    """A schedule at evenly spaced times."""

    name: str
    times: list[float]
    noise_rates: list[float]
    signal_rates: list[float]
    log_snr: list[float]
    """2 log(signal rate / noise rate), within +-20."""


def schedule_curve(
    schedule: "OpenRun | str" = "offset_cosine",
    *,
    min_signal_rate: float | None = None,
    max_signal_rate: float | None = None,
) -> ScheduleCurve:
    """A schedule as curves over time, of a run or by its name.

    Args:
        schedule: a run, or offset_cosine, cosine, linear (DDPM's betas in continuous time) or ddpm_linear (its
            1,000 steps).
        min_signal_rate: of offset_cosine: the signal that is left at the end, 0.02 if left out.
        max_signal_rate: of offset_cosine: the signal at the beginning, 0.95 if left out.

    Raises:
        UnnoiseError: for another name, and rates that are none.
    """
    import torch

    from unnoise.diffusion.schedules import log_snr

    chosen = _schedule(schedule, min_signal_rate, max_signal_rate)
    times = torch.linspace(0, 1, _CURVE, dtype=torch.float64).reshape(-1, 1, 1, 1)
    rates = chosen(times)
    curves = (rates.noise_rates, rates.signal_rates, log_snr(*rates).clamp(-20, 20))
    lists = [[float(value) for value in curve.flatten()] for curve in (times, *curves)]
    return ScheduleCurve(schedule if isinstance(schedule, str) else type(chosen).__name__, *lists)


def _schedule(name: "OpenRun | str", least: float | None, most: float | None) -> "Schedule":
    from unnoise.diffusion import schedules

    if not isinstance(name, str):
        return name.config.schedule
    named = {"cosine": schedules.Cosine, "linear": schedules.Linear, "ddpm_linear": schedules.LinearBeta}
    if name == "offset_cosine":
        return schedules.OffsetCosine(0.02 if least is None else least, 0.95 if most is None else most)
    if name not in named:
        raise UnnoiseError(f"There is no schedule {name!r}: choose from offset_cosine, {', '.join(named)}.")
    made: Schedule = named[name]()
    return made


def _shown(noises: "Images") -> "Images":
    """Noises as pictures: grey where they are 0."""
    return (0.5 + noises / _SHOWN_NOISE).clamp(0, 1).cpu()
