"""Generation: new pictures of a run, and their reverse process, by seeds."""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unnoise.api.amounts import check_memory, check_output, check_seeds
from unnoise.api.drawing import Animation, Drawing
from unnoise.api.drawing_options import chosen_sampling
from unnoise.api.loading import DenoiserOptions
from unnoise.api.reporting import Bar, Progress, progress_bar, reporting
from unnoise.diffusion.sampler_names import Clip, SamplerName, Spacing, Variance
from unnoise.utils.errors import require

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.diffusion.samplers.sampling import Sampling
    from unnoise.diffusion.tensors import Classes, Images, Trajectory
    from unnoise.runs.config import RunConfig


class SeededDrawing(Drawing):
    """The pictures of seeds, each drawn when it is first needed.

    Args:
        load: loads what draws, once it is needed.
        config: of its run.
        sampling: how it draws.
        seeds: of the pictures.
        labels: classes that are drawn in turn.
        batch_size: pictures at once, at most.
    """

    def __init__(
        self,
        load: Callable[[], "Denoiser"],
        config: "RunConfig",
        sampling: "Sampling",
        seeds: range,
        labels: tuple[str, ...] = (),
        batch_size: int = 64,
    ) -> None:
        self._drawn: Images | None = None
        self.columns = self.noises = None
        self._load, self.config, self.sampling = load, config, sampling
        self.seeds, self.labels, self.batch_size = seeds, labels, batch_size

    def __len__(self) -> int:
        return len(self.seeds)

    @property
    def names(self) -> Sequence[str]:
        """Names of the pictures: their seeds in six digits, for the files that `save` writes into a folder."""
        return _names(self.seeds)

    @cached_property
    def denoiser(self) -> "Denoiser":
        """The denoiser that draws; its weights are loaded at the first use."""
        return self._load()

    def draw(self) -> "Images":
        """Draws the pictures, unless they are drawn already."""
        import torch

        if self._drawn is None:
            check_memory(self.config, len(self.seeds))
            self._drawn = torch.cat([part.tensor for part in self.batches()])
        return self._drawn

    @property
    def tensor(self) -> "Images":
        """The pictures, float32 (N, C, H, W) in [0, 1], on the CPU."""
        return self.draw()

    def classes_of(self, seeds: range) -> "Classes | None":
        """The class of the picture of each seed, or its cluster."""
        classes = self.config.classes(seeds, self.labels)
        if classes is None:
            return self.denoiser.abilities.classes_of_seeds(seeds)
        return classes.to(self.denoiser.device)

    def batches(self) -> Iterator[Drawing]:
        """The pictures in parts, drawn one after the other."""
        if self._drawn is not None:
            yield Drawing(self._drawn, self.names)
            return
        for seeds, each_step in self._in_batches():
            classes = self.classes_of(seeds)
            how = {"seed": seeds[0], "sampling": self.sampling, "batch_size": self.batch_size}
            told = {"classes": classes, "each_step": each_step}
            images = self.denoiser.generate(len(seeds), **told, **how)  # type: ignore[arg-type]
            yield Drawing(images.cpu(), _names(seeds))

    def trajectory(self) -> "Trajectory":
        """The reverse process: (steps + 1, N, C, H, W) in [0, 1], noise first, on the CPU."""
        import torch

        check_memory(self.config, len(self.seeds), self.sampling.num_steps + 1)
        parts = []
        for seeds, _ in self._in_batches():
            draw, classes = self.denoiser.noises(seeds), self.classes_of(seeds)
            walk = {"sampling": self.sampling, "classes": classes, "draw_noises": draw}
            parts.append(self.denoiser.trajectory(draw(), **walk))  # type: ignore[arg-type]
        return torch.cat(parts, dim=1)

    def animation(self) -> Animation:
        """The reverse process: noise turning into these pictures."""
        from unnoise import pictures

        return Animation(pictures.frames(self.trajectory()))

    def save(self, path: str | Path) -> Path:
        """Writes the pictures, and returns the path; see `Drawing.save`.

        Raises:
            UnnoiseError: also for more pictures than memory or disk have room for, before any is drawn.
        """
        check_output(self.config, len(self.seeds), Path(path), self.sampling.num_steps)
        return super().save(path)

    def _in_batches(self) -> Iterator[tuple[range, Callable[[], None]]]:
        """The seeds of each batch, with a progress bar, and what may be called after each step of it."""
        with progress_bar("Generating", len(self.seeds)) as bar:
            for first in range(0, len(self.seeds), self.batch_size):
                batch = self.seeds[first : first + self.batch_size]
                yield batch, step_counter(bar, first, len(batch), self.sampling.num_steps)
                bar.update(first + len(batch), "")


def step_counter(bar: Bar, done: int, number: int, num_steps: int) -> Callable[[], None]:
    """What is called after each step of a batch, and moves the bar by a part of it.

    Args:
        bar: whose unit is one picture.
        done: pictures before this batch.
        number: pictures of the batch.
        num_steps: steps of the batch; where memory runs out it is halved, and takes more.
    """
    steps = count(1)

    def each_step() -> None:
        step = min(next(steps), num_steps)
        bar.update(done + number * step / num_steps, f"step {step} of {num_steps}")

    return each_step


def _names(seeds: range) -> list[str]:
    return [f"{seed:06d}" for seed in seeds]


def generate(
    run: "OpenRun",
    num_images: int = 36,
    *,
    num_steps: int | None = None,
    eta: float | None = None,
    seed: int = 0,
    labels: Sequence[str] = (),
    guidance: float | None = None,
    guidance_rescale: float | None = None,
    guidance_interval: tuple[float, float] | None = None,
    autoguidance: float | None = None,
    weak: str | None = None,
    sampler: SamplerName | None = None,
    spacing: Spacing | None = None,
    variance: Variance | None = None,
    clip: Clip | None = None,
    polish: float | None = None,
    best: bool = False,
    compile: bool = False,  # noqa: A002 (that is its name)
    batch_size: int = 64,
    lazy: bool = False,
    progress: Progress | None = None,
) -> SeededDrawing:
    """Draws new pictures. A seed always gives the same picture, in any batch.

    Args:
        run: the run.
        num_images: How many pictures to draw.
        num_steps: Steps from noise to picture. More is finer and slower; 10 to 50 is usual.
        eta: Noise added on the way by the sampler ddim, from 0 (none) to 1 (as much as ancestral adds).
        seed: Seed of the first picture; the next picture has the next seed.
        labels: Classes to draw, in turn, by a run that was trained with --labels.
        guidance: Scale of classifier-free guidance. Above 1 pictures are more typical of their class and more
            alike; try 2.
        guidance_rescale: From 0 to 1: brings the contrast of guided pictures back to normal. Try 0.7 with a
            guidance above 4.
        guidance_interval: Guide only where noise / signal is between these two numbers; try 0.3 5.
        autoguidance: Scale of guidance away from a weaker version of the run, with or without classes. Above 1
            it improves pictures, and asks two networks in each step; 1 is none. Runs of the preset nano have
            2 of their own. --guidance-interval and --guidance-rescale apply to it too.
        weak: The weaker version for --autoguidance: a step whose average the run stored, or the folder of a
            smaller run on the same pictures.
        sampler: How noise is removed. ddim is of first order; ancestral (DDPM), consistency and those that end
            in _sde add noise in every step; the others are of higher order and need fewer steps. heun calls the
            network twice a step. `unnoise solve` finds the best one.
        spacing: How the steps are spread: uniform in time, log_snr evenly in the logarithm of signal / noise,
            karras closer together at low noise. trailing, leading and linspace choose from the timesteps of a
            discrete schedule.
        variance: Variance of the noise that --sampler ancestral adds. learned needs a network that predicts it.
        clip: Keep predicted pictures in the range of pixels in every step: static cuts off, dynamic scales
            down, images cuts off and leaves the predicted noises.
        polish: Take grain away by a last call of the network with the finished picture, which is told of this
            much noise / signal, from 0 (no such call) to 2 or so. Runs of our own presets find theirs while
            they train.
        best: Use the weights whose samples scored best during training, instead of the last ones.
        compile: Compile the network first. That takes a minute or more, and pays off for thousands of
            pictures.
        batch_size: How many pictures to draw at once. Less needs less memory; what does not fit is halved by
            itself.
        lazy: Draw when the result is used, rather than now: what is saved into a folder then need not fit into
            memory.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        The pictures; `.animation()` shows their reverse process.

    Raises:
        UnnoiseError: for values out of range, and options that would have no effect.
    """
    require(batch_size >= 1, f"The batch size is at least 1, but got {batch_size}.")
    run.config.classes([], tuple(labels))
    options = DenoiserOptions(best, autoguidance, weak, compile)
    sampling = chosen_sampling(
        run.config,
        {
            "num_steps": num_steps,
            "eta": eta,
            "sampler": sampler,
            "spacing": spacing,
            "variance": variance,
            "clip": clip,
            "polish": polish,
        },
        {"scale": guidance, "rescale": guidance_rescale, "interval": guidance_interval},
        autoguided=options.scale(run) != 1,
    )
    check_seeds(seed, num_images)
    with reporting(progress):
        load = partial(options.load, run, sampling, min(num_images, batch_size))
        seeds = range(seed, seed + num_images)
        drawing = SeededDrawing(load, run.config, sampling, seeds, tuple(labels), batch_size)
        if not lazy:
            drawing.draw()
    return drawing


def reverse(run: "OpenRun", num_images: int = 4, **options: Any) -> Animation:  # noqa: ANN401
    """The reverse process: an animation of noise that turns into pictures. Options are those of `generate`."""
    with reporting(options.pop("progress", None)):
        return generate(run, num_images, lazy=True, **options).animation()
