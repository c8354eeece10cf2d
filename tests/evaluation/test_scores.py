"""Samples are compared with the right real pictures, for as long as there is time, under the right names."""

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
    Circumstances,
    Panel,
    Sets,
    Stopwatch,
    affordable,
    check_colours,
    classes_like,
    draw,
    drawn_share,
    in_words,
    panel,
    scores,
    sets,
    warnings,
    weights_of,
)
from unnoise.evaluation.metrics import frechet_distance, kernel_distance, manifold
from unnoise.evaluation.scores import PAIRWISE
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
def test_samples_are_drawn_until_their_share_of_the_minutes_is_spent(trained, monkeypatch, minutes, drawn):
    """A second each: 420 and 210 seconds are over after 7 and 4 batches of 64, and 64 are drawn in any case."""
    diffusion, clock, asked = drawing(trained, monkeypatch, 1.0)
    watch = Stopwatch(minutes, clock)
    assert sum(map(len, draw(diffusion, Sampling(), watch, seed=3))) == drawn
    assert [seed for _, seed, _ in asked] == list(range(3, 3 + drawn, 64))
    assert watch.spent() == pytest.approx(drawn / 60 / minutes)


def test_what_is_done_with_a_batch_counts_and_so_many_means_so_many(trained, monkeypatch):
    diffusion, clock, _ = drawing(trained, monkeypatch, 1.0)
    count = 0
    for batch in draw(diffusion, Sampling(), Stopwatch(5, clock)):
        clock.now += 64
        count += len(batch)
    assert count == 128
    late = Stopwatch(1e-9, clock)
    assert [len(batch) for batch in draw(diffusion, Sampling(), late, num_samples=150)] == [64, 64, 22]
    diffusion, clock, _ = drawing(trained, monkeypatch, 0.0)
    assert sum(map(len, draw(diffusion, Sampling(), Stopwatch(1, clock), batch_size=2048))) == 10_000


def test_the_bar_follows_whichever_ends_the_drawing():
    clock = Clock()
    watch = Stopwatch(1, clock)
    assert drawn_share(30, 40, watch) == 0.75
    assert drawn_share(5_000, None, watch) == 0.5
    clock.now += 21.0
    assert drawn_share(64, None, watch) == pytest.approx(0.5)
    clock.now += 60.0
    assert drawn_share(16, None, watch) == 0.25  # 64 are drawn in any case
    assert drawn_share(64, None, watch) == 1.0


def test_samples_that_are_no_numbers_are_refused(trained, monkeypatch):
    diffusion, clock, _ = drawing(trained, monkeypatch, 1.0, float("nan"))
    watch = Stopwatch(1, clock)
    with pytest.raises(UnnoiseError, match="finite numbers"):
        next(draw(diffusion, Sampling(), watch))
    with pytest.raises(UnnoiseError, match="at least 12 samples, but 3"):
        next(draw(diffusion, Sampling(), watch, num_samples=3))
    with pytest.raises(UnnoiseError, match="more than 0 minutes, but got 0"):
        Stopwatch(0)


def test_features_of_real_pictures_take_a_fifth_of_the_time_at_most():
    """0.2 * 60 seconds are enough for 1,200 pictures of a hundredth of a second: 1,000 in round numbers."""
    clock = Clock()
    watch = Stopwatch(1, clock)
    assert affordable(Numbers(clock, 0.01), digits(), watch) == 1_000
    assert affordable(Numbers(clock, 1e-6), digits(), watch) == 10_000
    assert affordable(Numbers(clock, 9.0), digits(), watch) == 500


# --- real pictures -------------------------------------------------------------------------------------------


def test_the_panel(trained):
    config, images = trained.config, digits()
    found = panel(config, images)
    assert (found.compared, len(found.held_out), len(found.training)) == ("held-out", 89, 1708)
    assert np.array_equal(found.references, found.held_out)
    assert set(found.everything) == set(range(1797))
    assert not found.notes
    few = panel(config, images, limit=500)
    assert len(few.training) == 500
    assert "500 of 1,708 training pictures" in few.notes[0]
    assert np.array_equal(few.training, panel(config, images, limit=500).training)
    assert not np.array_equal(few.training, panel(config, images, limit=500, seed=1).training)
    for wanted, count in (("training", 1708), ("all", 1797)):
        assert len(panel(config, images, wanted).references) == count


def test_too_few_held_out_pictures_give_way_to_training_ones(trained):
    config = replace(trained.config, data=replace(trained.config.data, held_out=49))
    found = panel(config, digits())
    assert found.compared == "training"
    assert "49 held-out ones are too few" in found.notes[0]
    assert panel(config, digits(), "all").compared == "all"
    others = ImageSet(digits().pixels[:30], "others", "unlike")
    found = panel(config, others)
    assert (found.compared, len(found.training)) == ("held-out", 0)
    assert "30 real pictures tell little" in found.notes[0]
    with pytest.raises(UnnoiseError, match="at least 12 real pictures to compare with, but there are 11"):
        panel(config, ImageSet(digits().pixels[:11], "others", "unlike"))
    with pytest.raises(UnnoiseError, match="--split training"):
        panel(config, others, "training")


def test_classes_are_as_frequent_as_in_the_data(trained):
    labels = np.repeat(np.array([0, 1, 2]), [60, 30, 10])
    images = ImageSet(digits().pixels[:100], "some", "", labels=labels, class_names=("a", "b", "c"))
    config = replace(trained.config, data=replace(trained.config.data, classes=("a", "b", "c")))
    choose = classes_like(config, images, np.arange(100))
    assert torch.bincount(choose(range(100))).tolist() == [60, 30, 10]
    assert torch.bincount(choose(range(50, 250))).tolist() == [120, 60, 20]
    assert torch.equal(torch.cat([choose(range(7)), choose(range(7, 20))]), choose(range(20)))
    unknown = classes_like(config, digits(), np.arange(100))
    assert unknown(range(5)).tolist() == [0, 1, 2, 0, 1]
    assert classes_like(trained.config, digits(), np.arange(9))(range(5)) is None


# --- scores --------------------------------------------------------------------------------------------------


def normal(count: int, shift: float = 0.0, seed: int = 0) -> torch.Tensor:
    return shift + torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))


def test_scores_are_of_the_right_sets_in_the_right_order():
    samples, references, others = normal(80, 0.5), normal(70, seed=1), normal(90, seed=2)
    found = list(scores(Sets(samples, references, (others, references), "90 pictures"), "learned"))
    names = ["KID-learned", "FD-learned", "precision", "recall", "density", "coverage"]
    assert [score.name for score in found] == names
    assert [score.better for score in found] == ["lower"] * 2 + ["higher"] * 4
    assert found[0].value == pytest.approx(float(kernel_distance(samples, references)))
    assert found[1].value == pytest.approx(float(frechet_distance(samples, references)))
    assert found[1].real == pytest.approx(float(frechet_distance(others, references)))
    assert [score.value for score in found[2:]] == [one.value for one in manifold(references, samples)]
    assert [score.real for score in found[2:]] == [one.value for one in manifold(references, others)]
    assert all(score.low <= score.value <= score.high for score in found)
    assert found[0].value > found[0].real


def test_only_inception_measures_kid_and_fid():
    some = normal(20), normal(20, seed=1)
    for extractor, kernel, frechet in (
        ("inception", "KID", "FID"),
        ("lite0", "KID-lite0", "FD-lite0"),
        ("onnx:mine", "KID-onnx:mine", "FD-onnx:mine"),
    ):
        first, second, *_ = scores(Sets(*some, some, ""), extractor)
        assert (first.name, second.name) == (kernel, frechet)


def test_what_stands_for_a_perfect_model():
    """Training pictures against held-out ones, as many as there are samples; else halves."""
    real = torch.arange(150.0).view(-1, 1)
    parts = np.arange(90), np.arange(90, 150)
    held_out = sets(torch.zeros(70, 1), real, Panel("held-out", *parts))
    assert held_out.floor == "70 training pictures"
    assert set(held_out.references.flatten().tolist()) == set(range(90, 150))
    some, others = held_out.real
    assert torch.equal(others, held_out.references)
    assert len(set(some.flatten().tolist()) & set(range(90))) == 70
    training = sets(torch.zeros(70, 1), real, Panel("training", *parts))
    assert training.floor == "60 held-out pictures"
    assert len(training.references) == 90
    everything = sets(torch.zeros(70, 1), real, Panel("all", *parts))
    assert everything.floor == "halves of 75"
    halves = torch.cat(everything.real).flatten().tolist()
    assert sorted(halves) == list(range(150))
    assert halves != sorted(halves)


def test_warnings_say_what_the_numbers_are_worth():
    clock = Clock()
    few, foreign = warnings(Numbers(clock), 1_000, 1_280)
    assert "1,000 samples are fewer than the usual 50,000" in few
    assert "1,280 x 1,280" in few
    assert "biased upwards" in few
    assert "not the FID and KID of papers" in foreign
    own = warnings(Numbers(clock, name="learned", comparable=False), 50_000, 96)
    assert any("not comparable between data sets" in sentence for sentence in own)
    assert warnings(Numbers(clock, name="inception"), 50_000, 2_048) == own[:1]
    assert f"{PAIRWISE:,} of them" in own[0]


def test_every_number_has_its_circumstances(trained, tmp_path):
    weights = weights_of(trained)
    assert weights == (2, f"EMA, decay {trained.config.recipe.ema.decay:g}")
    around = Circumstances(
        weights, panel(trained.config, digits()), digits(), Numbers(Clock()), Sampling(), False, 7
    )
    facts = around.facts(64, "64 training pictures")
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
    assert in_words({"samples": 1234, "eta": 0.5, "digest": "0123", "split": "all"}) == (
        "samples 1,234; eta 0.5; split all"
    )
    sampling = Sampling(sampler="ancestral", clip="static")
    facts = replace(around, sampling=sampling, classes=True).facts(64, "")
    assert "eta" not in facts
    assert (facts["variance"], facts["clip"], facts["guidance"]) == ("small", "static", 1.0)


def test_the_weights_of_another_average_say_so(trained, tmp_path):
    tensors, _ = read_tensors(trained.path / "model.safetensors")
    other = replace(trained, path=tmp_path)
    write_tensors(Path(tmp_path / "model.safetensors"), tensors, {"step": "9", "sigma_rel": "0.1"})
    assert weights_of(other) == (9, "EMA, sigma_rel 0.1")


# --- colours -------------------------------------------------------------------------------------------------


def coloured(means, spread: float = 0.2, count: int = 60, seed: int = 0) -> torch.Tensor:
    noise = torch.randn(count, len(means), 12, 12, generator=torch.Generator().manual_seed(seed))
    images = torch.tensor(means).view(1, -1, 1, 1) + spread * noise
    return (255 * images.clamp(0, 1)).round().to(torch.uint8)


def test_colours_are_called_by_what_is_wrong_with_them():
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
    row = red.plain()["channels"][0]
    assert list(row) == ["name", "mean", "std", "data_mean", "data_std", "distance"]
    assert row["mean"] == pytest.approx(0.6, abs=0.01)
    assert row["distance"] == pytest.approx(0.1, abs=0.01)


def test_chance_and_transparency_are_no_colours():
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
