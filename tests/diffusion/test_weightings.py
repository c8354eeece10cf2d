"""Loss weightings: closed forms, and independence of the compared quantity."""

import pytest
import torch

from helpers.sampling import column
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.diffusion.tensors import Prediction, mix
from unnoise.diffusion.weightings import EDM, P2, MinSNR, SoftMinSNR, Unweighted
from unnoise.utils.errors import UnnoiseError

TIMES = torch.linspace(0.02, 0.98, 24, dtype=torch.float64).view(-1, 1, 1, 1)
RATES = OffsetCosine()(TIMES)
SNR = (RATES.signal_rates / RATES.noise_rates).square()


def losses(compares, weighting, predicts="velocity"):
    """Losses of the same wrong prediction at every time."""
    generator = torch.Generator().manual_seed(0)
    truth = Prediction(*torch.randn(2, 24, 2, 3, 3, generator=generator, dtype=torch.float64))
    noisy_images = mix(truth.images, truth.noises, *RATES)
    wrong = Prediction(truth.noises, truth.images + 0.1)
    noises = (noisy_images - RATES.signal_rates * wrong.images) / RATES.noise_rates
    prediction = wrong._replace(noises=noises)
    return Objective(predicts, compares, "l2", weighting).compare(prediction, truth, *RATES)


@pytest.mark.row("L2")
@pytest.mark.parametrize("weighting", [MinSNR(), SoftMinSNR(), P2(), EDM()], ids=repr)
def test_a_weighted_loss_does_not_depend_on_the_compared_quantity(weighting):
    expected = 0.01 * weighting(SNR).flatten()
    for compares in ("noise", "image", "velocity", "flow"):
        torch.testing.assert_close(losses(compares, weighting).double(), expected, rtol=1e-4, atol=1e-7)


@pytest.mark.row("L2")
def test_min_snr_weights_of_each_compared_quantity():
    """C = min(SNR, 5): noise c / SNR, image c, velocity c / (SNR + 1), times the plain squared errors."""
    clipped = SNR.clamp(max=5).flatten()
    for compares, divisor in (("noise", SNR), ("image", torch.ones_like(SNR)), ("velocity", SNR + 1)):
        plain = losses(compares, Unweighted()).double()
        expected = plain * clipped / divisor.flatten()
        torch.testing.assert_close(losses(compares, MinSNR()).double(), expected, rtol=1e-4, atol=1e-8)


@pytest.mark.row("L2")
def test_min_snr_with_a_huge_gamma_is_the_unweighted_error_of_the_noise():
    plain = losses("noise", Unweighted()).double()
    for compares in ("noise", "image", "velocity"):
        torch.testing.assert_close(losses(compares, MinSNR(gamma=1e9)).double(), plain, rtol=1e-4, atol=1e-7)


def test_weights_equal_their_formulas():
    snr = column(0.01, 1, 4, 100, dtype=torch.float64)
    assert MinSNR(5)(snr).flatten().tolist() == pytest.approx([0.01, 1, 4, 5])
    assert SoftMinSNR(4)(snr).flatten().tolist() == pytest.approx([0.04 / 4.01, 0.8, 2, 400 / 104])
    assert P2(1, 1)(snr).flatten().tolist() == pytest.approx([0.01 / 1.01, 0.5, 0.8, 100 / 101])
    assert P2(1, 0)(snr).flatten().tolist() == pytest.approx(snr.flatten().tolist())
    assert EDM()(snr).flatten().tolist() == pytest.approx([1.01, 2, 5, 101])
    velocities = losses("velocity", Unweighted()).double()
    torch.testing.assert_close(losses("noise", EDM()).double(), velocities, rtol=1e-4, atol=1e-7)


def test_losses_are_finite_without_noise_and_without_signal():
    truth = Prediction(*torch.randn(2, 2, 1, 3, 3))
    for weighting in (MinSNR(), SoftMinSNR(), P2(), EDM()):
        for compares in ("noise", "image", "velocity", "flow"):
            objective = Objective("velocity", compares, "l2", weighting)
            found = objective.compare(
                Prediction(*torch.randn(2, 2, 1, 3, 3)), truth, column(0, 1), column(1, 0)
            )
            assert torch.isfinite(found).all(), (weighting, compares)


@pytest.mark.parametrize(
    "make", [lambda: MinSNR(0), lambda: SoftMinSNR(-1), lambda: P2(0, 1), lambda: P2(1, -1)]
)
def test_parameters_out_of_range_raise(make):
    with pytest.raises(UnnoiseError, match="but got"):
        make()
