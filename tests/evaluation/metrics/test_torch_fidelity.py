"""Fréchet and kernel distance against torch-fidelity, where it is installed."""

import pytest
import torch

from unnoise.evaluation.metrics import frechet_distance, kernel_distance

pytest.importorskip("torch_fidelity")

SETS = [(300, 16, 0.2, 1.1), (64, 8, 1.0, 1.0), (40, 64, 0.5, 0.7)]


def drawn(count, dimensions, shift, scale):
    generator = torch.Generator().manual_seed(count)
    x, y = (torch.randn(count, dimensions, generator=generator, dtype=torch.float64) for _ in range(2))
    return x.relu(), (scale * y + shift).relu()


@pytest.mark.row("L9")
@pytest.mark.parametrize("case", SETS)
def test_frechet_distance_equals_torch_fidelitys_fid(case):
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    x, y = drawn(*case)
    statistics = fid_features_to_statistics(x), fid_features_to_statistics(y)
    theirs = fid_statistics_to_metric(*statistics, verbose=False)["frechet_inception_distance"]
    ours = frechet_distance(x, y).item()
    assert ours == pytest.approx(theirs, rel=1e-6)


@pytest.mark.row("K1")
@pytest.mark.parametrize("case", SETS)
def test_kernel_distance_equals_torch_fidelitys_kid(case):
    from torch_fidelity.metric_kid import kid_features_to_metric, mmd2

    x, y = drawn(*case)
    ours = kernel_distance(x, y).item()
    a, b = x.numpy(), y.numpy()
    left, across, right = ((p @ q.T / a.shape[1] + 1) ** 3 for p, q in ((a, a), (a, b), (b, b)))
    theirs = mmd2(left, across, right)
    settings = {"kid_subsets": 1, "kid_subset_size": len(x), "rng_seed": 0, "verbose": False}
    whole = kid_features_to_metric(x, y, **settings)["kernel_inception_distance_mean"]
    assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-9)
    assert ours == pytest.approx(whole, rel=1e-6, abs=1e-9)
