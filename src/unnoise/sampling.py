"""How to walk from noise to pictures: one record of choices that the command line, a run and a script share."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from unnoise import samplers
from unnoise.errors import require
from unnoise.guidance import Guidance, guided
from unnoise.schedules import DiscreteSchedule, RatePair, Schedule, Spacing
from unnoise.tensors import Classes, Denoise, Images, Prediction, Rates
from unnoise.thresholding import Bounds, Clip, thresholded


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """The choices of the reverse process.

    Args:
        sampler: `ddim`, or `ancestral` (DDPM's own chain).
        num_steps: calls of `denoise`.
        eta: of ddim, from 0 (no fresh noise) to 1 (as much as the ancestral chain).
        variance: of the ancestral chain; see `samplers.ancestral`.
        spacing: which steps of a discrete schedule are taken; see `DiscreteSchedule.timesteps`.
        clip: keeps predicted images in the range of pixels; see `thresholding`.
        guidance: for networks that know classes.

    Raises:
        UnnoiseError: for values outside their range.
    """

    sampler: Literal["ddim", "ancestral"] = "ddim"
    num_steps: int = 20
    eta: float = 0.0
    variance: samplers.Variance = "small"
    spacing: Spacing = "trailing"
    clip: Clip = "none"
    guidance: Guidance = Guidance()

    def __post_init__(self) -> None:
        samplers.require_steps(self.num_steps)
        samplers.require_eta(self.eta)
        for name, value, allowed in (
            ("sampler", self.sampler, ("ddim", "ancestral")),
            ("variance", self.variance, ("small", "large", "learned")),
            ("spacing", self.spacing, ("trailing", "leading", "linspace")),
            ("clip", self.clip, ("none", "static", "dynamic")),
        ):
            require(value in allowed, f"Sampling's {name} is one of {', '.join(allowed)}, but got {value!r}.")

    def grid(self, schedule: Schedule) -> RatePair:
        """The rates at every step and at the end, each (num_steps + 1, 1, 1, 1); see `samplers.time_grid`."""
        return samplers.time_grid(self.num_steps, schedule, self.times(schedule))

    def times(self, schedule: Schedule) -> samplers.Times | None:
        """The times of the steps and 0, or None for those that are equally far from one another."""
        return schedule.times(self.num_steps, self.spacing) if isinstance(schedule, DiscreteSchedule) else None

    def dress(
        self, ask: Callable[[Classes | None], Denoise], classes: Classes | None, bounds: Bounds
    ) -> Denoise:
        """The denoiser that `ask` gives for some classes, guided and kept within bounds."""
        denoise = ask(classes) if classes is None else guided(ask(classes), ask(None), self.guidance)
        return thresholded(denoise, bounds, self.clip)

    def walk(
        self,
        denoise: Denoise,
        noises: Images,
        schedule: Schedule,
        draw_noises: Callable[[], Images] | None = None,
    ) -> Iterator[Prediction]:
        """The reverse process from `noises`, one `Prediction` a step."""
        times = self.times(schedule)
        if self.sampler == "ancestral":
            return samplers.ancestral(
                denoise,
                noises,
                self.num_steps,
                schedule,
                variance=self.variance,
                times=times,
                draw_noises=draw_noises,
            )
        return samplers.ddim(
            denoise, noises, self.num_steps, schedule, eta=self.eta, times=times, draw_noises=draw_noises
        )


def remembering(denoise: Callable[..., Prediction]) -> Denoise:
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
