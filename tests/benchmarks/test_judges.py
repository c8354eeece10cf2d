"""Tests of the judges: their data sets, their classifier, and their check on spoilt pictures."""

import numpy as np
import pytest
import torch

from benchmarks import classifier, judge_check, judges, time_to_quality
from unnoise.data import load


def test_a_classifier_tells_noise_from_real_pictures_and_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(judges.lite0, "is_installed", lambda: False)
    pictures = judges.picture_set("digits", None)
    assert not pictures.held_out
    (judge,) = judges.judges(pictures, tmp_path, quick=True)
    real = judge.features([judges.real_pictures(pictures, 300, 0)])
    noise = judge.features([judges.noise_pictures(pictures, 300)])
    at_best = judge.score_of_real(real, 0, held_out=pictures.held_out)
    at_worst = judge.score(noise)
    assert at_best.fd_low < at_best.fd < at_best.fd_high < at_worst.fd_low / 3
    assert at_best.kid_low < 0.05 < at_worst.kid_low
    assert judge.references.std(0).mean() == pytest.approx(1, abs=0.01)
    (again,) = judges.judges(pictures, tmp_path, quick=True)
    assert torch.equal(again.references, judge.references)


def test_balanced_training_sees_all_classes_equally_often_but_never_those_of_a_handful():
    labels = np.repeat([0, 1, 2], [100, 25, 5])
    weights = classifier.sampling_weights(labels)
    assert np.bincount(labels, weights) == pytest.approx([1, 1, 0])


def test_the_check_ranks_spoilt_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(judges.lite0, "is_installed", lambda: False)
    pictures = judges.picture_set("digits", None)
    picture = judges.noise_pictures(pictures, 300)
    time_to_quality.keep(tmp_path / "digits-8-10" / "0" / "diffusers" / "10.pictures.safetensors", picture)
    lines = judge_check.compared(pictures, tmp_path, quick=True).splitlines()
    assert lines[0] == "|  | classes | classes, plain training |"
    found = {line.split(" | ")[0].strip("| "): line for line in lines[2:]}
    distances = {kind: float(line.split(" | ")[1]) for kind, line in found.items()}
    kinds = ["real", "noise of 0.2", "noise of 0.4", "nothing but noise"]
    assert [distances[kind] for kind in kinds] == sorted(distances[kind] for kind in kinds)
    assert distances["diffusers"] > 3 * distances["noise of 0.4"]


def test_held_out_pictures_of_a_large_set_are_not_trained_on():
    pictures = judges.picture_set("digits", None, large=100)
    assert pictures.held_out
    assert len(pictures.training) + len(pictures.references) == 1797
    both = np.concatenate([pictures.training.labels, pictures.references.labels])
    assert np.array_equal(np.bincount(both), np.bincount(load("digits", labels=True).labels))
    assert pictures.training.moments.sum() + pictures.references.moments.sum() == load("digits").moments.sum()
