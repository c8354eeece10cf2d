"""Preprocessing: resizing on a device that lacks the kernel."""

import torch
from torch.nn import functional

from unnoise.evaluation.features import preprocessing


def test_resizing_falls_back_to_the_cpu_where_a_device_lacks_the_kernel(monkeypatch):
    """As MPS did for antialiasing."""
    images, interpolate, refused = torch.rand(2, 3, 16, 12), functional.interpolate, []
    expected = preprocessing.resized(images, 8, 8)

    def lacking(given, *some, **more):
        if not refused:
            refused.append(given.device)
            raise NotImplementedError("The operator 'aten::_upsample_bilinear2d_aa.out' is not implemented")
        return interpolate(given, *some, **more)

    monkeypatch.setattr(functional, "interpolate", lacking)
    assert torch.equal(preprocessing.resized(images, 8, 8), expected)
    assert len(refused) == 1
