"""Samples within a time budget, reference pictures, scores with their conditions, and colour reports."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from helpers.oracles import last
from helpers.runs import digits, start
from unnoise.data import ImageSet
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation import (
    FeatureSets,
    ReferencePictures,
    ScoringConditions,
    TimeBudget,
    affordable_pictures,
    check_colours,
    choose_references,
    classes_as_in,
    compute_scores,
    conditions_text,
    draw_progress,
    draw_samples,
    evaluated_weights,
    feature_sets,
    score_warnings,
)
from unnoise.evaluation.metrics import frechet_distance, kernel_distance, manifold_metrics
from unnoise.evaluation.scores import MAX_PAIRWISE
from unnoise.training.loop import train
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tensor_files import read_tensors, write_tensors


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 2)
    last(train(made, digits()))
    return made


class Clock:
    """Stands still until something takes its time."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Numbers(NamedTuple):
    """An extractor that has its pixels for features, and takes so many seconds for each picture."""

    clock: Clock
    seconds: float = 0.0
    name: str = "lite0"
    comparable: bool = True
    side: int = 8
    resize: str = "as they are"
    digest: str = "0123"

    def __call__(self, pictures):
        self.clock.now += self.seconds * len(pictures)
        return pictures.float().flatten(1)


def drawing(trained, monkeypatch, seconds: float, value: float = 0.5):
    """A diffusion that takes so long for each sample by the clock, and what it was asked for."""
    diffusion, clock, asked = trained.load(), Clock(), []

    def generate(count, *, seed, sampling, classes, batch_size):
        clock.now += count * seconds
        asked.append((count, seed, classes))
        return torch.full((count, 1, 8, 8), value)

    monkeypatch.setattr(diffusion, "generate", generate)
    return diffusion, clock, asked


# --- the budget ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("minutes", "drawn"), [(10.0, 448), (5.0, 256), (0.1, 64)])
def test_samples_are_drawn_until_their_share_of_the_time_has_passed(trained, monkeypatch, minutes, drawn):
    """A second each: 420 and 210 seconds are over after 7 and 4 batches of 64, and 64 are drawn in any case."""
    diffusion, clock, asked = drawing(trained, monkeypatch, 1.0)
    budget = TimeBudget(minutes, clock)
    assert sum(map(len, draw_samples(diffusion, Sampling(), budget, seed=3))) == drawn
    assert [seed for _, seed, _ in asked] == list(range(3, 3 + drawn, 64))
    assert budget.spent() == pytest.approx(drawn / 60 / minutes)


def test_time_between_batches_counts_and_a_number_of_samples_is_exact(trained, monkeypatch):
    diffusion, clock, _ = drawing(trained, monkeypatch, 1.0)
    count = 0
    for batch in draw_samples(diffusion, Sampling(), TimeBudget(5, clock)):
        clock.now += 64
        count += len(batch)
    assert count == 128
    late = TimeBudget(1e-9, clock)
    assert [len(batch) for batch in draw_samples(diffusion, Sampling(), late, num_samples=150)] == [64, 64, 22]
    diffusion, clock, _ = drawing(trained, monkeypatch, 0.0)
    assert sum(map(len, draw_samples(diffusion, Sampling(), TimeBudget(1, clock), batch_size=2048))) == 10_000


def test_progress_of_drawing_is_of_the_number_or_of_the_time():
    clock = Clock()
    budget = TimeBudget(1, clock)
    assert draw_progress(30, 40, budget) == 0.75
    assert draw_progress(5_000, None, budget) == 0.5
    clock.now += 21.0
    assert draw_progress(64, None, budget) == pytest.approx(0.5)
    clock.now += 60.0
    assert draw_progress(16, None, budget) == 0.25  # 64 are drawn in any case
    assert draw_progress(64, None, budget) == 1.0


def test_samples_with_nan_and_too_few_samples_are_refused(trained, monkeypatch):
    diffusion, clock, _ = drawing(trained, monkeypatch, 1.0, float("nan"))
    budget = TimeBudget(1, clock)
    with pytest.raises(UnnoiseError, match="contain NaN or infinity"):
        next(draw_samples(diffusion, Sampling(), budget))
    with pytest.raises(UnnoiseError, match="at least 12 samples, but got --num-samples 3"):
        next(draw_samples(diffusion, Sampling(), budget, num_samples=3))
    with pytest.raises(UnnoiseError, match="more than 0 minutes, but got 0"):
        TimeBudget(0)


def test_features_of_real_pictures_take_at_most_a_fifth_of_the_time():
    """0.2 * 60 seconds are enough for 1,200 pictures of a hundredth of a second: 1,000 in round numbers."""
    clock = Clock()
    budget = TimeBudget(1, clock)
    assert affordable_pictures(Numbers(clock, 0.01), digits(), budget) == 1_000
    assert affordable_pictures(Numbers(clock, 1e-6), digits(), budget) == 10_000
    assert affordable_pictures(Numbers(clock, 9.0), digits(), budget) == 500


# --- real pictures -------------------------------------------------------------------------------------------


def test_references_are_held_out_pictures_within_the_limit(trained):
    config, images = trained.config, digits()
    found = choose_references(config, images)
    assert (found.split, len(found.held_out), len(found.training)) == ("held-out", 89, 1708)
    assert np.array_equal(found.indices, found.held_out)
    assert set(found.all_indices) == set(range(1797))
    assert not found.notes
    few = choose_references(config, images, limit=500)
    assert len(few.training) == 500
    assert "500 of the 1,708 training pictures" in few.notes[0]
    assert np.array_equal(few.training, choose_references(config, images, limit=500).training)
    assert not np.array_equal(few.training, choose_references(config, images, limit=500, seed=1).training)
    for wanted, count in (("training", 1708), ("all", 1797)):
        assert len(choose_references(config, images, wanted).indices) == count


def test_too_few_held_out_pictures_are_replaced_with_training_pictures(trained):
    config = replace(trained.config, data=replace(trained.config.data, held_out=49))
    found = choose_references(config, digits())
    assert found.split == "training"
    assert "only 49 held-out ones" in found.notes[0]
    assert choose_references(config, digits(), "all").split == "all"
    others = ImageSet(digits().pixels[:30], "others", "unlike")
    found = choose_references(config, others)
    assert (found.split, len(found.training)) == ("held-out", 0)
    assert "only 30 real pictures" in found.notes[0]
    with pytest.raises(UnnoiseError, match="at least 12 real pictures to compare with, but there are 11"):
        choose_references(config, ImageSet(digits().pixels[:11], "others", "unlike"))
    with pytest.raises(UnnoiseError, match="--split training"):
        choose_references(config, others, "training")


def test_classes_have_the_frequencies_of_the_data(trained):
    labels = np.repeat(np.array([0, 1, 2]), [60, 30, 10])
    images = ImageSet(digits().pixels[:100], "some", "", labels=labels, class_names=("a", "b", "c"))
    config = replace(trained.config, data=replace(trained.config.data, classes=("a", "b", "c")))
    choose = classes_as_in(config, images, np.arange(100))
    assert torch.bincount(choose(range(100))).tolist() == [60, 30, 10]
    assert torch.bincount(choose(range(50, 250))).tolist() == [120, 60, 20]
    assert torch.equal(torch.cat([choose(range(7)), choose(range(7, 20))]), choose(range(20)))
    unknown = classes_as_in(config, digits(), np.arange(100))
    assert unknown(range(5)).tolist() == [0, 1, 2, 0, 1]
    assert classes_as_in(trained.config, digits(), np.arange(9))(range(5)) is None


# --- scores --------------------------------------------------------------------------------------------------


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
        "eta": 0.0,
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
    sampling = Sampling(sampler="ancestral", clip="static")
    facts = replace(conditions, sampling=sampling, classes=True).facts(64, "")
    assert "eta" not in facts
    assert (facts["variance"], facts["clip"], facts["guidance"]) == ("small", "static", 1.0)


def test_power_function_averages_are_named_by_sigma_rel(trained, tmp_path):
    tensors, _ = read_tensors(trained.path / "model.safetensors")
    other = replace(trained, path=tmp_path)
    write_tensors(Path(tmp_path / "model.safetensors"), tensors, {"step": "9", "sigma_rel": "0.1"})
    assert evaluated_weights(other) == (9, "EMA, sigma_rel 0.1")


# --- colours -------------------------------------------------------------------------------------------------


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
