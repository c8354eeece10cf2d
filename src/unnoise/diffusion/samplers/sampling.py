"""`Sampling`: the choice of sampler, steps, spacing, clipping and guidance of a run or a command."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol, get_args, runtime_checkable

from unnoise.diffusion import samplers
from unnoise.diffusion.guidance import Autoguidance, DenoiseFor, Guidance, guided
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.sampler_names import Clip, SamplerName, Spacing, Variance
from unnoise.diffusion.samplers.polish import polished
from unnoise.diffusion.samplers.step_ends import StepEnds, step_ends
from unnoise.diffusion.schedules import RatePair, Schedule
from unnoise.diffusion.tensors import Classes, Denoise, Images, Prediction, Rates
from unnoise.diffusion.thresholding import Bounds, thresholded
from unnoise.utils.errors import require


@runtime_checkable
class Sampler(Protocol):
    """A sampler whose own options are set, such as `ddim` or `partial(ddim, eta=1.0)`."""

    def __call__(
        self,
        denoise: Denoise,
        noises: Images,
        num_steps: int,
        schedule: Schedule,
        *,
        times: samplers.Times | None = None,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Iterator[Prediction]:
        """One `Prediction` a step; see `samplers.ddim`."""
        ...


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How images are sampled: sampler, steps, spacing, clipping and guidance.

    Args:
        sampler: `ddim`, `ancestral` (DDPM), `heun`, `dpmpp_2m` and `dpmpp_3m` (DPM-Solver++), `dpmpp_2m_sde`
            and `dpmpp_3m_sde`, `adams` (Adams-Bashforth for uneven steps), `ipndm`, `unipc`, `deis` or
            `consistency`.
        num_steps: steps from noise to image; see also `calls`.
        eta: of ddim, from 0 (no added noise) to 1 (as much as ancestral sampling).
        variance: of ancestral sampling; see `samplers.ancestral`.
        spacing: of the time steps; see `samplers.spacing`.
        clip: keeps predicted images in the range of pixels; see `thresholding`.
        guidance: classifier-free guidance, for networks with classes.
        jumps: for networks that jump, such as those of distilled runs: no step begins at a level that is nearly
            without noise, on any schedule (see `samplers.spacing`). Always so for `consistency`.
        polish: noise / signal of a last call with the finished image, which takes away grain; 0 for none. See
            `samplers.polish`.

    Raises:
        UnnoiseError: for values outside their range.
    """

    sampler: SamplerName = "ddim"
    num_steps: int = 20
    eta: float = 0.0
    variance: Variance = "small"
    spacing: Spacing = "trailing"
    clip: Clip = "none"
    guidance: Guidance = Guidance()
    jumps: bool = False
    polish: float = 0.0

    def __post_init__(self) -> None:
        samplers.require_steps(self.num_steps)
        samplers.require_eta(self.eta)
        for name, value, allowed in (
            ("sampler", self.sampler, get_args(SamplerName)),
            ("variance", self.variance, get_args(Variance)),
            ("spacing", self.spacing, get_args(Spacing)),
            ("clip", self.clip, get_args(Clip)),
        ):
            require(value in allowed, f"Sampling's {name} is one of {', '.join(allowed)}, but got {value!r}.")
        require(
            0 <= self.polish <= samplers.SIGMA_MAX,
            f"Polish is a noise / signal from 0 (none) to {samplers.SIGMA_MAX:g}, but got {self.polish:g}. "
            "Try 0.1.",
        )

    def grid(self, schedule: Schedule) -> RatePair:
        """The rates at every step and at the end, each (num_steps + 1, 1, 1, 1); see `samplers.time_grid`."""
        return samplers.time_grid(self.num_steps, schedule, self.times(schedule))

    def times(self, schedule: Schedule) -> samplers.Times:
        """The falling times of the steps, and 0: (num_steps + 1,)."""
        jumps = self.jumps or self.sampler == "consistency"
        return samplers.spaced_times(self.spacing, self.num_steps, schedule, jumps=jumps)

    @property
    def deterministic(self) -> bool:
        """Whether the initial noise alone determines the result, as no noise is added on the way."""
        return self.eta == 0 if self.sampler == "ddim" else not _SAMPLERS[self.sampler].adds_noise

    def calls(self, schedule: Schedule) -> int:
        """How often the sampler calls `denoise` (with guidance each is two of the network), without polish."""
        return _SAMPLERS[self.sampler].calls(self.grid(schedule))

    def step_ends(self, schedule: Schedule) -> StepEnds | None:
        """Where each step ends, for networks that jump there; None for samplers whose steps are no jumps."""
        if self.sampler == "consistency" or (self.sampler == "ddim" and self.eta == 0):
            return step_ends(self.grid(schedule), at_image=self.sampler == "consistency")
        return None

    def bound_sampler(self) -> Sampler:
        """The sampler with its own options, such as eta, set; steps and times are left to the caller."""
        return _SAMPLERS[self.sampler].bind(self)

    def guided_denoise(
        self,
        denoise_for: DenoiseFor,
        classes: Classes | None,
        bounds: Bounds,
        autoguidance: Autoguidance | None = None,
    ) -> Denoise:
        """The denoiser for these classes, with autoguidance, classifier-free guidance and clipping.

        Args:
            denoise_for: classes -> the denoiser without guidance.
            classes: (B,), or None, in which case there is no classifier-free guidance.
            bounds: black and white as the network sees them; see `thresholding.thresholded`.
            autoguidance: the weaker denoiser and its own guidance, if there is one.
        """
        denoise = denoise_for(classes)
        if autoguidance is not None:
            denoise = guided(denoise, autoguidance.weak_denoise_for(classes), autoguidance.guidance)
        if classes is not None:
            denoise = guided(denoise, denoise_for(None), self.guidance)
        return thresholded(denoise, bounds, self.clip)

    def reverse_diffusion(
        self,
        denoise: Denoise,
        noises: Images,
        schedule: Schedule,
        draw_noises: Callable[[], Images] | None = None,
        unguided: Denoise | None = None,
        normalizer: Normalizer | None = None,
    ) -> Iterator[Prediction]:
        """Samples from `noises`, (B, C, H, W): one `Prediction` a step, as the sampler yields it.

        `unguided`, or else `denoise`, polishes the last images, cut to the range of pixels by the `normalizer`.
        """
        sampler, times = self.bound_sampler(), self.times(schedule)
        walk = sampler(denoise, noises, self.num_steps, schedule, times=times, draw_noises=draw_noises)
        return polished(walk, unguided or denoise, self.polish, normalizer) if self.polish > 0 else walk


def _one_call_a_step(grid: RatePair) -> int:
    return len(grid.noise_rates) - 1


@dataclass(frozen=True)
class _Entry:
    """What belongs to the name of a sampler.

    Args:
        bind: sets the options of the sampler.
        calls: the number of calls of `denoise` along a grid.
        adds_noise: whether noise is added on the way.
    """

    bind: Callable[[Sampling], Sampler]
    calls: Callable[[RatePair], int] = _one_call_a_step
    adds_noise: bool = False


_SAMPLERS: Mapping[SamplerName, _Entry] = {
    "ddim": _Entry(lambda chosen: partial(samplers.ddim, eta=chosen.eta)),
    "ancestral": _Entry(lambda chosen: partial(samplers.ancestral, variance=chosen.variance), adds_noise=True),
    "heun": _Entry(lambda _: samplers.heun, calls=samplers.heun_calls),
    "dpmpp_2m": _Entry(lambda _: partial(samplers.dpm_solver, order=2)),
    "dpmpp_3m": _Entry(lambda _: partial(samplers.dpm_solver, order=3)),
    "dpmpp_2m_sde": _Entry(lambda _: partial(samplers.dpm_solver, order=2, eta=1.0), adds_noise=True),
    "dpmpp_3m_sde": _Entry(
        lambda _: partial(samplers.dpm_solver, order=3, eta=1.0, published=True), adds_noise=True
    ),
    "adams": _Entry(lambda _: partial(samplers.deis, variable="ratio")),
    "ipndm": _Entry(lambda _: partial(samplers.adams_bashforth, order=4)),
    "unipc": _Entry(lambda _: samplers.unipc),
    "deis": _Entry(lambda _: samplers.deis),
    "consistency": _Entry(lambda _: samplers.consistency, adds_noise=True),
}


def self_conditioned(denoise: Callable[..., Prediction]) -> Denoise:
    """A denoiser that is also given its own last images: self-conditioning (2208.04202, section 3.2).

    It keeps the images from one call to the next, so make a new one for each sampling.
    """
    last: list[Images] = []

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        previous = last.pop() if last else None
        prediction = denoise(noisy_images, noise_rates, signal_rates, previous_images=previous)
        last.append(prediction.images)
        return prediction

    return wrapped
