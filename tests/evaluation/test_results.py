"""Conditions that are written with the scores."""

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.fake_extractors import Clock, Numbers
from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation import (
    ScoringConditions,
    choose_references,
    conditions_text,
    evaluated_weights,
)
from unnoise.trainer.loop import train
from unnoise.utils.tensor_files import read_tensors, write_tensors


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 2)
    last(train(made, digits()))
    return made


def test_scores_are_written_with_their_conditions(trained, tmp_path):
    weights = evaluated_weights(trained)
    assert weights == (2, f"EMA, decay {trained.config.recipe.ema.decay:g}")
    conditions = ScoringConditions(
        weights, choose_references(trained.config, digits()), digits(), Numbers(Clock()), Sampling(), False, 7
    )
    facts = conditions.facts(64, "64 training pictures")
    assert facts == {
        "samples": 64,
        "references": 89,
        "split": "held-out",
        "source": "digits",
        "extractor": "lite0",
        "resize": "as they are",
        "sampler": "ddim",
        "steps": 20,
        "spacing": "trailing",
        "eta": 0.0,
        "precision": "float32",
        "weights": weights.words,
        "step": 2,
        "seed": 7,
        "real pictures": "64 training pictures",
        "digest": "0123",
        "fingerprint": digits().fingerprint,
    }
    assert conditions_text({"samples": 1234, "eta": 0.5, "digest": "0123", "split": "all"}) == (
        "samples 1,234; eta 0.5; split all"
    )
    guided = replace(conditions, autoguidance={"autoguidance": 1.5, "weaker": "runs/small"}).facts(64, "")
    assert (guided["autoguidance"], guided["weaker"]) == (1.5, "runs/small")
    sampling = Sampling(sampler="ancestral", clip="static", polish=0.25)
    facts = replace(conditions, sampling=sampling, classes=True).facts(64, "")
    assert "eta" not in facts
    assert (facts["variance"], facts["clip"], facts["guidance"]) == ("small", "static", 1.0)
    assert facts["polish"] == 0.25


def test_power_function_averages_are_named_by_sigma_rel(trained, tmp_path):
    tensors, _ = read_tensors(trained.path / "model.safetensors")
    other = replace(trained, path=tmp_path)
    write_tensors(Path(tmp_path / "model.safetensors"), tensors, {"step": "9", "sigma_rel": "0.1"})
    assert evaluated_weights(other) == (9, "EMA, sigma_rel 0.1")
