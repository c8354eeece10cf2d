"""How to walk from noise to pictures: one record of choices that the command line, a run and a script share."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, Protocol, get_args

from unnoise.diffusion import samplers
from unnoise.diffusion.guidance import Autoguidance, DenoiseFor, Guidance, guided
from unnoise.diffusion.schedules import RatePair, Schedule
from unnoise.diffusion.tensors import Classes, Denoise, Images, Prediction, Rates
from unnoise.diffusion.thresholding import Bounds, Clip, thresholded
from unnoise.utils.errors import require

SamplerName = Literal[
    "ddim",
    "ancestral",
    "euler",
    "heun",
    "dpmpp_2m",
    "dpmpp_3m",
    "dpmpp_2m_sde",
    "dpmpp_3m_sde",
    "adams",
    "ipndm",
    "unipc",
    "deis",
    "second_order",
    "consistency",
]


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The choices of the reverse process.

    Args:
        sampler: its name in `SOLVERS`, such as `ddim`, `ancestral` (DDPM's own chain) or `dpmpp_2m`.
        num_steps: steps from noise to picture; see `calls`.
        eta: of ddim, from 0 (no fresh noise) to 1 (as much as the ancestral chain).
        variance: of the ancestral chain; see `samplers.ancestral`.
        spacing: where the steps end; see `samplers.Spacing`.
        clip: keeps predicted images in the range of pixels; see `thresholding`.
        guidance: for networks that know classes.

    Raises:
        UnnoiseError: for values outside their range.
    """

    sampler: SamplerName = "ddim"
    num_steps: int = 20
    eta: float = 0.0
    variance: samplers.Variance = "small"
    spacing: samplers.Spacing = "trailing"
    clip: Clip = "none"
    guidance: Guidance = Guidance()

    def __post_init__(self) -> None:
        samplers.require_steps(self.num_steps)
        samplers.require_eta(self.eta)
        for name, value, allowed in (
            ("sampler", self.sampler, get_args(SamplerName)),
            ("variance", self.variance, get_args(samplers.Variance)),
            ("spacing", self.spacing, get_args(samplers.Spacing)),
            ("clip", self.clip, get_args(Clip)),
        ):
            require(value in allowed, f"Sampling's {name} is one of {', '.join(allowed)}, but got {value!r}.")

    def grid(self, schedule: Schedule) -> RatePair:
        """The rates at every step and at the end, each (num_steps + 1, 1, 1, 1); see `samplers.time_grid`."""
        return samplers.time_grid(self.num_steps, schedule, self.times(schedule))

    def times(self, schedule: Schedule) -> samplers.Times:
        """The times of the steps, and 0."""
        return samplers.times_of(self.spacing, self.num_steps, schedule)

    @property
    def deterministic(self) -> bool:
        """Whether the start decides all, because no fresh noise is drawn on the way."""
        return self.eta == 0 if self.sampler == "ddim" else not SOLVERS[self.sampler].fresh

    def calls(self, schedule: Schedule) -> int:
        """How often a walk calls `denoise`, which is what it costs (guidance makes two of each)."""
        return SOLVERS[self.sampler].calls(self.grid(schedule))

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

    def walk(
        self,
        denoise: Denoise,
        noises: Images,
        schedule: Schedule,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Iterator[Prediction]:
        """The reverse process from `noises`, one `Prediction` a step."""
        walk = SOLVERS[self.sampler].of(self)
        times = self.times(schedule)
        return walk(denoise, noises, self.num_steps, schedule, times=times, draw_noises=draw_noises)


class Walk(Protocol):
    """What every sampler is, once its own options are chosen."""

    def __call__(
        self,
        denoise: Denoise,
        noises: Images,
        num_steps: int,
        schedule: Schedule,
        *,
        times: samplers.Times | None,
        draw_noises: Callable[[], Images] | None,
    ) -> Iterator[Prediction]:
        """One `Prediction` a step."""
        ...


def _one_a_step(grid: RatePair) -> int:
    return len(grid.noise_rates) - 1


def _with_looks_ahead(grid: RatePair) -> int:
    return _one_a_step(grid) + sum(samplers.steps_with_a_look_ahead(grid))


@dataclass(frozen=True)
class Solver:
    """How a name becomes a walk.

    Args:
        of: chooses the sampler's options; those of a `Sampling` that are its own, too.
        calls: of `denoise` along a grid.
        fresh: whether it draws noise on the way.
    """

    of: Callable[[Sampling], Walk]
    calls: Callable[[RatePair], int] = _one_a_step
    fresh: bool = False


SOLVERS: Mapping[SamplerName, Solver] = {
    "ddim": Solver(lambda chosen: partial(samplers.ddim, eta=chosen.eta)),
    "ancestral": Solver(lambda chosen: partial(samplers.ancestral, variance=chosen.variance), fresh=True),
    "euler": Solver(lambda _: samplers.euler),
    "heun": Solver(lambda _: samplers.heun, calls=_with_looks_ahead),
    "dpmpp_2m": Solver(lambda _: partial(samplers.dpm_solver, order=2)),
    "dpmpp_3m": Solver(lambda _: partial(samplers.dpm_solver, order=3)),
    "dpmpp_2m_sde": Solver(lambda _: partial(samplers.dpm_solver, order=2, eta=1.0), fresh=True),
    "dpmpp_3m_sde": Solver(
        lambda _: partial(samplers.dpm_solver, order=3, eta=1.0, published=True), fresh=True
    ),
    "adams": Solver(lambda _: samplers.adams),
    "ipndm": Solver(lambda _: partial(samplers.multistep, order=4)),
    "unipc": Solver(lambda _: samplers.unipc),
    "deis": Solver(lambda _: samplers.deis),
    "second_order": Solver(lambda _: samplers.second_order, calls=_with_looks_ahead),
    "consistency": Solver(lambda _: samplers.consistency, fresh=True),
}
"""Every sampler by its name, with the options that a `Sampling` does not choose."""


def self_conditioned(denoise: Callable[..., Prediction]) -> Denoise:
    """A denoiser that is shown its own last images: self-conditioning (2208.04202, section 3.2).

    It remembers one walk; make another for the next.
    """
    last: list[Images] = []

    def wrapped(noisy_images: Images, noise_rates: Rates, signal_rates: Rates) -> Prediction:
        previous = last.pop() if last else None
        prediction = denoise(noisy_images, noise_rates, signal_rates, previous_images=previous)
        last.append(prediction.images)
        return prediction

    return wrapped
