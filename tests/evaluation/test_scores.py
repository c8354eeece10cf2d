"""Scores equal the metrics of the right sets, under the right names."""

import numpy as np
import pytest
import torch

from helpers.fake_extractors import Clock, Numbers
from unnoise.evaluation import (
    FeatureSets,
    ReferencePictures,
    compute_scores,
    feature_sets,
    score_warnings,
)
from unnoise.evaluation.metrics import frechet_distance, kernel_distance, manifold_metrics
from unnoise.evaluation.scores import MAX_PAIRWISE


def normal(count: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    return shift + torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def test_scores_equal_the_metrics_of_their_sets():
    samples, references, others = normal(80, 0.5), normal(70, seed=1), normal(90, seed=2)
    found = list(
        compute_scores(FeatureSets(samples, references, (others, references), "90 pictures"), "learned")
    )
    names = ["KID-learned", "FD-learned", "precision", "recall", "density", "coverage"]
    assert [score.name for score in found] == names
    assert [score.better for score in found] == ["lower"] * 2 + ["higher"] * 4
    assert found[0].value == pytest.approx(float(kernel_distance(samples, references)))
    assert found[1].value == pytest.approx(float(frechet_distance(samples, references)))
    assert found[1].real == pytest.approx(float(frechet_distance(others, references)))
    assert [score.value for score in found[2:]] == [one.value for one in manifold_metrics(references, samples)]
    assert [score.real for score in found[2:]] == [one.value for one in manifold_metrics(references, others)]
    assert all(score.low <= score.value <= score.high for score in found)
    assert found[0].value > found[0].real


def test_only_distances_of_inception_are_called_kid_and_fid():
    some = normal(20), normal(20, seed=1)
    for extractor, kernel, frechet in (
        ("inception", "KID", "FID"),
        ("lite0", "KID-lite0", "FD-lite0"),
        ("onnx:mine", "KID-onnx:mine", "FD-onnx:mine"),
    ):
        first, second, *_ = compute_scores(FeatureSets(*some, some, ""), extractor)
        assert (first.name, second.name) == (kernel, frechet)


def test_the_baseline_is_other_real_pictures_or_two_halves():
    """Training pictures against held-out ones, as many as there are samples; else halves."""
    real = torch.arange(150.0).view(-1, 1)
    parts = np.arange(90), np.arange(90, 150)
    held_out = feature_sets(torch.zeros(70, 1), real, ReferencePictures("held-out", *parts))
    assert held_out.baseline == "70 training pictures"
    assert set(held_out.references.flatten().tolist()) == set(range(90, 150))
    some, others = held_out.real
    assert torch.equal(others, held_out.references)
    assert len(set(some.flatten().tolist()) & set(range(90))) == 70
    training = feature_sets(torch.zeros(70, 1), real, ReferencePictures("training", *parts))
    assert training.baseline == "60 held-out pictures"
    assert len(training.references) == 90
    everything = feature_sets(torch.zeros(70, 1), real, ReferencePictures("all", *parts))
    assert everything.baseline == "halves of 75"
    halves = torch.cat(everything.real).flatten().tolist()
    assert sorted(halves) == list(range(150))
    assert halves != sorted(halves)


def test_warnings_of_few_samples_and_incomparable_extractors():
    clock = Clock()
    few, foreign = score_warnings(Numbers(clock), 1_000, 1_280)
    assert "1,000 samples, fewer than the usual 50,000" in few
    assert "1,280 x 1,280" in few
    assert "biased upwards" in few
    assert "not comparable with the FID and KID of papers" in foreign
    own = score_warnings(Numbers(clock, name="learned", comparable=False), 50_000, 96)
    assert any("not between data sets" in sentence for sentence in own)
    assert score_warnings(Numbers(clock, name="inception"), 50_000, 2_048) == own[:1]
    assert f"{MAX_PAIRWISE:,} of the pictures" in own[0]
