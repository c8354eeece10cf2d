r"""Loss weightings of the noise levels: min-SNR, soft min-SNR, P2 and EDM, as functions of the SNR.

    loss = w(SNR) |x_0 - x_0_hat|^2,      SNR = signal_rate^2 / noise_rate^2

The squared errors of noise, image, velocity v and flow u at one noise level differ by a factor only:

    |eps - eps_hat|^2 = SNR |x_0 - x_0_hat|^2,      |v - v_hat|^2 = (1 + SNR) |x_0 - x_0_hat|^2
    |u - u_hat|^2 = (signal_rate + noise_rate)^2 |v - v_hat|^2

so comparing noises without weights is w = SNR, and comparing velocities without weights is EDM's w = 1 + SNR.
This is exact for the loss l2; l1 and huber losses are multiplied by the same number as l2 would be.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from unnoise.diffusion.tensors import Rates
from unnoise.utils.errors import require


@dataclass(frozen=True)
class Unweighted:
    """No weighting: w = SNR for compared noises, 1 for images, 1 + SNR for velocities.

    For flows w = (1 + SNR) (signal_rate + noise_rate)^2.
    """


@dataclass(frozen=True)
class ImageWeighting(ABC):
    """Abstract weighting: w as a function of the SNR."""

    @abstractmethod
    def __call__(self, snr: Rates) -> Rates:
        """The weights w(SNR), (B, 1, 1, 1)."""


@dataclass(frozen=True)
class MinSNR(ImageWeighting):
    """Min-SNR weighting, w = min(SNR, gamma): limits the weight of low noise levels (2303.09556, eq. 9)."""

    gamma: float = 5.0

    def __post_init__(self) -> None:
        require(self.gamma > 0, f"MinSNR's gamma is above 0, but got {self.gamma:g}: take 5.")

    def __call__(self, snr: Rates) -> Rates:
        """min(SNR, gamma)."""
        return snr.clamp(max=self.gamma)


@dataclass(frozen=True)
class SoftMinSNR(ImageWeighting):
    """Soft min-SNR weighting, w = SNR gamma / (SNR + gamma) (HDiT, 2401.11605, section 4)."""

    gamma: float = 4.0

    def __post_init__(self) -> None:
        require(self.gamma > 0, f"SoftMinSNR's gamma is above 0, but got {self.gamma:g}: take 4.")

    def __call__(self, snr: Rates) -> Rates:
        """SNR gamma / (SNR + gamma)."""
        return self.gamma / (1 + self.gamma / snr)


@dataclass(frozen=True)
class P2(ImageWeighting):
    """P2 weighting, w = SNR / (k + SNR)^gamma: less weight for low noise levels (2204.00227, eq. 8)."""

    k: float = 1.0
    gamma: float = 1.0

    def __post_init__(self) -> None:
        require(
            self.k > 0 and self.gamma >= 0,
            f"P2 needs k > 0 and gamma >= 0, but got {self.k:g} and {self.gamma:g}: take 1 and 1.",
        )

    def __call__(self, snr: Rates) -> Rates:
        """SNR / (k + SNR)^gamma."""
        return snr / (self.k + snr) ** self.gamma


@dataclass(frozen=True)
class EDM(ImageWeighting):
    r"""EDM weighting, w = (sigma^2 + 1) / sigma^2 = 1 + SNR, sigma = noise / signal (2206.00364, table 1).

    For data of unit variance. EDM's network predicts minus the velocity (see `objectives`), and its squared
    error then has the same weight at every noise level.
    """

    def __call__(self, snr: Rates) -> Rates:
        """1 + SNR."""
        return 1 + snr


AnyWeighting = Unweighted | MinSNR | SoftMinSNR | P2 | EDM
"""Every weighting that config.json can name."""
