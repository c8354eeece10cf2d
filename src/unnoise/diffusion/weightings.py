r"""A weighting says how much the error at each noise level counts; all papers' weights in one coordinate.

    loss = w(SNR) |x_0 - x_0_hat|^2,      SNR = signal_rate^2 / noise_rate^2

The errors of noise, image and velocity at one noise level are the same error in other units:

    |eps - eps_hat|^2 = SNR |x_0 - x_0_hat|^2,      |v - v_hat|^2 = (1 + SNR) |x_0 - x_0_hat|^2

so comparing noises unweighted *is* w = SNR, and comparing velocities unweighted *is* EDM's w = 1 + SNR.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from unnoise.diffusion.tensors import Rates
from unnoise.utils.errors import require


@dataclass(frozen=True)
class Unweighted:
    """The error as it is compared: w = SNR for noises, 1 for images, 1 + SNR for velocities."""


@dataclass(frozen=True)
class ImageWeighting(ABC):
    """Abstract: w as a function of the SNR."""

    @abstractmethod
    def __call__(self, snr: Rates) -> Rates:
        """w(SNR), (B, 1, 1, 1)."""


@dataclass(frozen=True)
class MinSNR(ImageWeighting):
    """w = min(SNR, gamma): the nearly clean levels no longer drown the others (2303.09556, eq. 9)."""

    gamma: float = 5.0

    def __post_init__(self) -> None:
        require(self.gamma > 0, f"MinSNR's gamma is above 0, but got {self.gamma:g}: take 5.")

    def __call__(self, snr: Rates) -> Rates:
        """min(SNR, gamma)."""
        return snr.clamp(max=self.gamma)


@dataclass(frozen=True)
class SoftMinSNR(ImageWeighting):
    """w = SNR gamma / (SNR + gamma): the same without the corner (HDiT, 2401.11605, section 4)."""

    gamma: float = 4.0

    def __post_init__(self) -> None:
        require(self.gamma > 0, f"SoftMinSNR's gamma is above 0, but got {self.gamma:g}: take 4.")

    def __call__(self, snr: Rates) -> Rates:
        """The harmonic bound of SNR and gamma."""
        return self.gamma / (1 + self.gamma / snr)


@dataclass(frozen=True)
class P2(ImageWeighting):
    """w = SNR / (k + SNR)^gamma: noises compared, the nearly clean levels less (2204.00227, eq. 8)."""

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
    r"""w = (sigma^2 + 1) / sigma^2 = 1 + SNR at sigma = noise / signal (2206.00364, table 1, unit variance).

    It makes the error of EDM's network, which is minus the velocity, count the same at each level.
    """

    def __call__(self, snr: Rates) -> Rates:
        """1 + SNR."""
        return 1 + snr


AnyWeighting = Unweighted | MinSNR | SoftMinSNR | P2 | EDM
"""Every weighting that a run's config.json can name."""
