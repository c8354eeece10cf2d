r"""Mean velocity between two noise levels: the loss by which a run learns to draw in one or two calls.

With the angle t of a noise level, signal_rate = cos t and noise_rate = sin t, noisy images flow along
dx / dt = v(x, t). The mean velocity u from t down to s is defined by where the flow arrives,

    x_s = cos(t - s) x_t - sin(t - s) u(x_t, t, s)

so that u(x, t, t) is the velocity v, and cos t x_t - sin t u(x_t, t, 0) is the image at the end of the flow.
For a level r between t and s both ways to s must agree, that from x_t and that from x_r, which is near it. This
gives the target of u(x_t, t, s),

    u* = (sin(t - r) (cos(r - s) v - sin(r - s) x_t) + sin(r - s) u(x_r, r, s)) / sin(t - s)

    x_r = cos(t - r) x_t - sin(t - r) v

with the velocity v of the image and the noises that x_t was mixed from, and no gradient through u(x_r, r, s).
Cases are flow matching (r = s), consistency training (s = 0; 2303.01469, 2406.14548) and MeanFlow (r near t;
2505.13447). Here the part a = (t - r) / (t - s) falls from one to the other (alpha-flow, 2510.20771). Where a
finished run walks from x_t to x_s, both are known, and u* follows from them at once; see `walks`.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import torch

from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.objectives import of_velocity, velocity
from unnoise.diffusion.sampler_names import Spacing
from unnoise.diffusion.tensors import Classes, Images, PerImage, Prediction, RatePair, Rates
from unnoise.utils.errors import require

_MOST = 1_000


def angles(noise_rates: Rates, signal_rates: Rates) -> Rates:
    """The angle t of noise levels, with noise_rate = sin t and signal_rate = cos t, from 0 to pi / 2."""
    return torch.atan2(noise_rates, signal_rates)


def rates_of_angles(values: Rates) -> RatePair:
    """The noise and signal rates of angles."""
    return RatePair(values.sin(), values.cos())


@runtime_checkable
class Jump(Protocol):
    """`Denoiser.denoise`, told where a step ends."""

    def __call__(
        self,
        noisy_images: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        /,
        *,
        ends: RatePair | None = None,
    ) -> Prediction:
        """Noises and images, each (B, C, H, W)."""
        ...


def step_lengths(noise_rates: Rates, signal_rates: Rates, end_noises: Rates, end_signals: Rates) -> Rates:
    """The angles between two noise levels as parts of pi / 2, (B, 1, 1, 1), from 0 to 1."""
    return (angles(noise_rates, signal_rates) - angles(end_noises, end_signals)) * (2 / math.pi)


def mean_velocity_target(
    noisy_images: Images, velocities: Images, later: Images, whole: Rates, first: Rates
) -> Images:
    """u*, from the velocity on the first part of a step and the mean velocity on the rest: (B, C, H, W).

    Args:
        noisy_images: x_t, (B, C, H, W).
        velocities: v, by which x_r was reached.
        later: u(x_r, r, s).
        whole: t - s, (B, 1, 1, 1).
        first: t - r, above 0 and at most t - s, unless both are 0; u* is then v.
    """
    rest, stands = whole - first, whole <= 0
    sine = whole.sin().masked_fill(stands, 1)
    share, left = (first.sin() / sine).masked_fill(stands, 1), rest.sin() / sine
    return share * (rest.cos() * velocities - rest.sin() * noisy_images) + left * later


@runtime_checkable
class Look(Protocol):
    """A measure of how far apart noisy images of one level look: `Walks.look`."""

    def __call__(self, found: Images, wanted: Images, level: RatePair, classes: Classes | None, /) -> PerImage:
        """(B, C, H, W) twice -> (B,)."""
        ...


class Steps(NamedTuple):
    """The steps from the noise levels of a batch, whose mean velocity is learned."""

    lengths: Rates
    """t - s, (B, 1, 1, 1)."""
    part: float
    """a = (t - r) / (t - s)."""
    guidance: float = 1.0
    """See `MeanVelocity`."""
    walked: bool = False
    """Whether the velocities of the pairs are mean velocities already; then a is 1."""
    look: Look | None = None
    """Compares what a jump arrives at with x_s."""
    look_weight: float = 0.0

    def ends(self, noise_rates: Rates, signal_rates: Rates) -> RatePair:
        """The levels s."""
        return rates_of_angles((angles(noise_rates, signal_rates) - self.lengths).clamp(min=0))

    def target(
        self,
        denoise: Jump,
        without_class: Jump,
        noisy_images: Images,
        truth: Prediction,
        noise_rates: Rates,
        signal_rates: Rates,
    ) -> Prediction:
        """The noises and images that belong to the velocity u*, each (B, C, H, W).

        Args:
            denoise: the network that learns, told the classes; it is called without gradient.
            without_class: the same without classes.
            noisy_images: x_t.
            truth: the noises and images that it was mixed from.
            noise_rates, signal_rates: of t.
        """
        if self.walked:
            return truth
        first, ends = self.part * self.lengths, self.ends(noise_rates, signal_rates)
        given = noisy_images, noise_rates, signal_rates
        where = [noisy_images.device] if noisy_images.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices=where):  # dropout draws the same again afterwards
            now = velocity(truth, noise_rates, signal_rates)
            if self.guidance != 1:
                now = torch.lerp(velocity(without_class(*given), noise_rates, signal_rates), now, self.guidance)
            there = first.cos() * noisy_images - first.sin() * now
            between = rates_of_angles(angles(noise_rates, signal_rates) - first)
            later = velocity(denoise(there, *between, ends=ends), *between)
            wanted = mean_velocity_target(noisy_images, now, later, self.lengths, first)
            return of_velocity(wanted, *given)

    def weighted(
        self,
        losses: PerImage,
        prediction: Prediction,
        truth: Prediction,
        noisy_images: Images,
        noise_rates: Rates,
        signal_rates: Rates,
        classes: Classes | None = None,
    ) -> PerImage:
        """Weighted losses of u, plus `look` times the perceptual loss of the x_s that follows: (B,)."""
        weighted = losses * self.weights
        if self.look is None or self.look_weight == 0:
            return weighted
        found, wanted = (
            self.lengths.cos() * noisy_images - self.lengths.sin() * velocity(each, noise_rates, signal_rates)
            for each in (prediction, truth)
        )
        looks = self.look(found, wanted, self.ends(noise_rates, signal_rates), classes)
        return weighted + self.look_weight * looks

    @property
    def weights(self) -> PerImage:
        """Weights of the losses, (B,).

        1 / a, because the target differs from u(x_r, r, s), from which it is computed, only in proportion to a;
        1 for steps without length. For walks sin^2(t - s), which turns the squared error of u into that of x_s,
        since x_s = cos(t - s) x_t - sin(t - s) u.
        """
        if self.walked:
            return self.lengths.sin().square().flatten()
        return torch.where(self.lengths > 0, 1 / self.part, 1.0).flatten()


def pair_through(noisier: Images, later: Images, begin: Rates, end: Rates) -> tuple[Images, Images]:
    """The image and the noises that mix to x_t at the angle t = begin, and to x_s at s = end: (B, C, H, W)."""
    sine = (begin - end).sin()
    images = (begin.sin() * later - end.sin() * noisier) / sine
    return images, (end.cos() * noisier - begin.cos() * later) / sine


@dataclass(frozen=True, kw_only=True)
class Walking:
    """Learning from walks of a finished run; see `walks`.

    Args:
        calls: fewest calls of the run for a walk from noise to image; a walk takes up to half as many more.
        pairs: how many pairs of noisy images are taken of each walk, on average.
        kept: blocks of walks that pairs are taken from at a time, each of as many walks as a batch has images;
            fewer where they would take more than 1 GiB.
        spacing: of the levels of a walk, as `Sampling` names it.
        from_noise: share of the steps that begin at pure noises; all others begin at any level of a walk.
        look: weight of a perceptual loss: how far the x_s that a jump arrives at is from the walk's x_s, in the
            hidden features of the run (see `Walks.look`; 2401.00110 takes the same features).
        autoguidance: scale of the guidance of its walks away from a weaker average of the run (2406.02507), so
            that they end at better pictures than its own; 1 is none.

    Raises:
        UnnoiseError: for values outside their range.
    """

    calls: int = 8
    pairs: int = 8
    kept: int = 64
    spacing: Spacing = "log_snr"
    from_noise: float = 0.3
    look: float = 3.0
    autoguidance: float = 1.0

    def __post_init__(self) -> None:
        for name, value in (("calls", self.calls), ("pairs", self.pairs), ("kept", self.kept)):
            require(
                1 <= value <= _MOST,
                f"Walking's {name} is a number from 1 to {_MOST:,}, but got {value:,}. Leave it out.",
            )
        require(
            0 <= self.from_noise <= 1,
            f"Walking's from_noise is a share from 0 to 1, but got {self.from_noise:g}. Try 0.3.",
        )
        require(
            0 <= self.look < math.inf,
            f"Walking's look is a weight of at least 0, but got {self.look:g}. Try 3.",
        )
        Guidance(scale=self.autoguidance)  # refuses scales below 0


@dataclass(frozen=True, kw_only=True)
class MeanVelocity:
    """Training of the mean velocity: which steps are learned, and how near the level between is.

    Args:
        to_image: share of the steps that end at the image.
        standing: share of the steps without length, by which the network keeps the velocity itself. All others
            end at a random level.
        first_part, last_part: a = (t - r) / (t - s) at the beginning and at the end of training; between them
            it falls geometrically.
        guidance: scale of the classifier-free guidance that is learned, so that drawing needs no second call:
            v then is guidance v + (1 - guidance) u(x_t, t, t) without the class (2505.13447, eq. 19).
        walking: learns from walks of a finished run instead of pictures. Of the above only `to_image` and
            `guidance` then matter.

    Raises:
        UnnoiseError: for values outside their range.
    """

    to_image: float = 0.5
    standing: float = 0.25
    first_part: float = 0.5
    last_part: float = 0.05
    guidance: float = 1.0
    walking: Walking | None = None

    def __post_init__(self) -> None:
        require(
            min(self.to_image, self.standing) >= 0 and self.to_image + self.standing <= 1,
            "MeanVelocity's to_image and standing are shares that add up to at most 1, but got "
            f"{self.to_image:g} and {self.standing:g}. Try 0.5 and 0.25.",
        )
        require(
            0 < self.last_part <= self.first_part <= 1,
            "MeanVelocity's parts fall from at most 1 to above 0, but got "
            f"{self.first_part:g} and {self.last_part:g}. Try 0.5 and 0.05.",
        )

    def require_walks(self, walks: object | None) -> None:
        """Raises `UnnoiseError` where there are no walks to learn from."""
        require(
            self.walking is None or walks is not None,
            "To learn from walks, Diffusion.walks must be the walks of a run; see unnoise.diffusion.walks.",
        )

    def steps(self, lengths: Rates, spent: float, look: Look | None = None) -> Steps:
        """What is learned of steps of these lengths when this fraction of the training is over."""
        if self.walking is not None:
            return Steps(lengths, 1.0, walked=True, look=look, look_weight=self.walking.look)
        part = self.first_part * (self.last_part / self.first_part) ** min(1.0, spent)
        return Steps(lengths, part, self.guidance)

    def lengths(self, noise_rates: Rates, signal_rates: Rates, generator: torch.Generator) -> Rates:
        """Draws the length t - s of a step from each noise level, (B, 1, 1, 1), on the generator's device."""
        kinds, parts = torch.rand(2, *noise_rates.shape, generator=generator, device=generator.device)
        whole = angles(noise_rates, signal_rates).to(kinds)
        drawn = torch.where(kinds < self.to_image, whole, whole * parts)
        return drawn.masked_fill(kinds >= 1 - self.standing, 0)


def require_told(learned: MeanVelocity | None, step_length: bool) -> None:
    """Raises `UnnoiseError` for a network that is not told the length of the steps that it is to learn."""
    require(
        learned is None or step_length,
        "The mean velocity needs a network that is told lengths of steps. Build it with step_length=True.",
    )
