"""Colour reports: verdicts on brightness, contrast and colour cast."""

import pytest
import torch

from unnoise.evaluation import (
    check_colours,
)


def coloured(means, spread: float = 0.2, count: int = 60, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(count, len(means), 12, 12, generator=torch.Generator().manual_seed(seed))
    images = torch.tensor(means).view(1, -1, 1, 1) + spread * noise
    return (255 * images.clamp(0, 1)).round().to(torch.uint8)


def test_the_verdict_names_brightness_contrast_and_colour_cast():
    data = coloured((0.5, 0.5, 0.5), seed=1)
    alike = check_colours(coloured((0.5, 0.5, 0.5)), data)
    assert alike.verdict.startswith("Samples have the brightness, contrast and colours of the data: mean 0.50")
    assert list(alike.channels) == ["red", "green", "blue"]
    darker = check_colours(coloured((0.4, 0.4, 0.4)), data)
    assert darker.verdict == "Samples are darker than the data: mean 0.40 against 0.50."
    paler = check_colours(coloured((0.5, 0.5, 0.5), 0.1), data)
    assert paler.verdict == "Samples have less contrast than the data: spread 0.10 against 0.20."
    red = check_colours(coloured((0.6, 0.45, 0.45)), data)
    assert red.verdict == "Samples have too much red: mean 0.60 against 0.50."
    both = check_colours(coloured((0.6, 0.6, 0.6), 0.1), data)
    assert "are brighter than the data" in both.verdict
    assert ", and have less contrast" in both.verdict
    row = red.record()["channels"][0]
    assert list(row) == ["name", "mean", "std", "data_mean", "data_std", "distance"]
    assert row["mean"] == pytest.approx(0.6, abs=0.01)
    assert row["distance"] == pytest.approx(0.1, abs=0.01)


def test_the_verdict_ignores_chance_and_alpha():
    """Two samples of whole pictures, each of one brightness: they differ by chance, and nothing is said."""
    shades = torch.rand(12, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    few, others = ((255 * part.expand(-1, 1, 4, 4)).to(torch.uint8) for part in (shades[:6], shades[6:]))
    difference = abs(float(few.float().mean() - others.float().mean())) / 255
    assert difference > 0.05
    assert check_colours(few, others).verdict.startswith("Samples have the brightness")
    data = coloured((0.5, 0.9), 0.05, seed=1)
    found = check_colours(coloured((0.5, 0.2), 0.05), data)
    assert found.verdict.startswith("Samples have the brightness")
    assert list(found.channels) == ["grey", "alpha"]
