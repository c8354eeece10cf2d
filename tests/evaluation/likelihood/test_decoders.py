"""Decoders and units: probabilities of bytes, and bits per dimension in any normalisation."""

import math

import pytest
import torch

from helpers.entropies import BITS
from helpers.sampling import column
from unnoise.diffusion.normalizer import Normalizer
from unnoise.evaluation.likelihood import (
    Decoder,
    PixelDecoder,
    bits_per_dim,
    dequantize,
    grey_level_volume,
)


def test_probabilities_of_all_bytes_add_up_to_1():
    normalizer = Normalizer((0.4, 0.5), (0.25, 0.1))
    decoder = PixelDecoder(normalizer)
    assert isinstance(decoder, Decoder)
    bytes_ = torch.arange(256, dtype=torch.uint8).view(256, 1, 1, 1)
    for first, std in ((0.3, 0.01), (-2.0, 0.5)):
        pixels = bytes_.expand(256, 2, 1, 1).clone()
        pixels[:, 1] = 99
        images = normalizer.normalize(pixels)
        means = torch.tensor([first, images[0, 1].item()]).view(1, 2, 1, 1).expand(256, 2, 1, 1)
        logs = decoder(images, means, column(std).expand(256, 1, 1, 1))
        width = 1 / (255 * 0.1)  # of the second value, which sits in the middle of its bin
        other = math.log(math.erf(width / 2 / std / math.sqrt(2)))
        assert (logs - other).exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_bits_do_not_depend_on_the_normalizer():
    """The same density of grey levels, told in two units."""
    pixels = torch.randint(0, 256, (4, 3, 2, 2), dtype=torch.uint8)
    results = []
    for normalizer in (Normalizer.symmetric(3), Normalizer((0.1, 0.2, 0.3), (0.2, 0.3, 0.4))):
        values = normalizer.normalize(dequantize(pixels, torch.full(pixels.shape, 0.5, dtype=torch.float64)))
        mean, std = (
            torch.tensor(list(part)).double().view(1, -1, 1, 1) for part in (normalizer.mean, normalizer.std)
        )
        log_density = (
            torch.distributions.Normal((0.5 - mean) / std, 0.3 / std).log_prob(values).flatten(1).sum(1)
        )
        results.append(bits_per_dim(log_density - grey_level_volume(normalizer, (3, 2, 2)), 12))
    torch.testing.assert_close(results[0], results[1], rtol=1e-6, atol=1e-6)
    exact = torch.distributions.Normal(127.5, 0.3 * 255).log_prob(pixels.double()).flatten(1).mean(1) / -BITS
    torch.testing.assert_close(results[0], exact, rtol=1e-6, atol=1e-6)
    assert grey_level_volume(Normalizer((0.0,), (0.5,)), (3, 2, 2)) == pytest.approx(12 * math.log(127.5))


def test_large_pictures_are_decoded_one_after_the_other_with_the_same_result():
    decoder = PixelDecoder(Normalizer((0.4,), (0.3,)))
    images, errors = torch.randn(2, 2, 1, 1500, 1500, generator=torch.Generator().manual_seed(0))
    rates = column(0.05, 0.05)
    both = decoder(images, images + 0.05 * errors, rates)
    for place in (0, 1):
        one = slice(place, place + 1)
        assert decoder(images[one], (images + 0.05 * errors)[one], column(0.05)).item() == both[place].item()
    # Parts of a picture add up to it.
    quarters = [part for row in images.chunk(2, 2) for part in row.chunk(2, 3)]
    noises = [part for row in errors.chunk(2, 2) for part in row.chunk(2, 3)]
    parts = [decoder(x, x + 0.05 * e, rates) for x, e in zip(quarters, noises, strict=True)]
    torch.testing.assert_close(sum(parts), both, rtol=1e-10, atol=0)
