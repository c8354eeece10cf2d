"""Tests of the contenders: unnoise and diffusers train, restore weights and draw; samplers are compared."""

import re
from types import SimpleNamespace
from typing import ClassVar

import pytest
import torch

from benchmarks import contenders, peer_samplers, time_to_quality
from benchmarks.judges import Judge, PictureSet
from benchmarks.other_libraries import OtherLibrary
from unnoise.data import load
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tensor_files import write_tensors


@pytest.fixture(scope="module")
def ours():
    return contenders.Unnoise(load("digits"), 1.0, 0)


def test_our_learning_rate_follows_the_fraction_of_the_budget_that_is_spent(ours):
    for spent in (0.01, 0.5, 1.0):
        ours.step(spent)
        rate = ours.diffusion.weights.optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(ours.diffusion.weights.config.learning_rate_at(spent), abs=1e-6)


def test_samples_are_drawn_with_the_weights_that_were_restored(ours, monkeypatch):
    assert not any(name.startswith("weaker/") for name in ours.weights())  # as a run of so few steps draws
    monkeypatch.setattr(contenders, "LEARNED_STEPS", 1)
    kept = {name: tensor.clone() for name, tensor in ours.weights().items()}
    assert any(name.startswith("weaker/") for name in kept)  # by which its pictures are guided
    ours.restore(kept)
    (before,) = contenders.sample(ours, 2, 7)
    ours.step(0.5)
    ours.restore({name: 0 * tensor for name, tensor in kept.items()})
    (other,) = contenders.sample(ours, 2, 7)
    ours.restore(kept)
    (after,) = contenders.sample(ours, 2, 7)
    assert before.dtype == torch.uint8
    assert torch.equal(before, after)
    assert not torch.equal(before, other)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # theirs
def test_diffusers_trains_and_every_sampler_draws():
    peer = contenders.Diffusers(load("digits"), 1.0, 0)
    rates = []
    for spent in (0.0, 0.05, 1.0):
        peer.step(spent)
        rates.append(peer.optimizer.param_groups[0]["lr"] / peer.learning_rate)
    assert rates == pytest.approx([0.01, 1.0, 0.0], abs=1e-9)
    weights = {name: tensor.clone() for name, tensor in peer.weights().items()}
    assert weights.keys() == dict(peer.network.named_parameters()).keys()
    peer.restore(weights)
    for sampler in peer.samplers:
        peer.use(sampler)
        assert peer.calls == int(re.search(r"(\d+) steps", sampler)[1])
        peer.calls = 3
        (drawn,) = contenders.sample(peer, 2, 0)
        assert drawn.shape == (2, 1, 8, 8)
        assert drawn.float().std() > 1


def test_the_best_of_a_librarys_samplers_is_bold(monkeypatch, tmp_path):
    class Shades(OtherLibrary):
        """Its samplers draw one shade each."""

        samplers: ClassVar = {"dark, 1 steps": (1, {"shade": 0.1}), "light, 2 steps": (2, {"shade": 0.9})}

        def restore(self, weights):
            self.weight = float(weights["weight"])

        def draw(self, count, seed):
            return torch.full((count, *self.shape), self.options["shade"] + self.weight)

    images = load("digits")
    judge = Judge("classes", "the mean", lambda pictures: pictures.double().mean((1, 2, 3))[:, None], None)
    monkeypatch.setattr(Judge, "score", lambda self, seen: SimpleNamespace(fd=float(seen.mean()), kid=0.5))
    monkeypatch.setattr(peer_samplers, "build", lambda job, name: Shades(job.pictures.training, job.seed))
    job = time_to_quality.Job(PictureSet("digits", images, images), 0, time_to_quality.Amounts(), tmp_path)
    with pytest.raises(UnnoiseError, match=r"Run python -m benchmarks\.time_to_quality first"):
        list(peer_samplers.measure(job, ["diffusers"], [judge], 2))
    write_tensors(job.file("diffusers", 10.0), {"weight": torch.tensor(0.05)}, {})
    found = list(peer_samplers.measure(job, ["diffusers"], [judge], 2))
    assert [(one.sampler, one.calls, *one.distances) for one in found] == [
        ("dark, 1 steps", 1, 38, 0.5),
        ("light, 2 steps", 2, 242, 0.5),
    ]
    text = peer_samplers.sampler_table(found[::-1], [judge])
    assert "| diffusers | **dark, 1 steps** | 1 | 38.0 | 0.500 |" in text
    assert "| diffusers | light, 2 steps | 2 | 242 | 0.500 |" in text


def test_a_library_that_is_not_installed_is_left_out_with_a_message(monkeypatch, capsys):
    entry = contenders.Entry("Other", "no-such-library", None)
    monkeypatch.setattr(contenders, "ENTRIES", {"other": entry, "unnoise": contenders.ENTRIES["unnoise"]})
    assert contenders.installed(["other", "unnoise"]) == ["unnoise"]
    assert "Other is left out, because it is not installed" in capsys.readouterr().err
