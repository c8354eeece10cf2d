"""Bits per dimension of pictures that a run was not trained on."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.cli import run as command
from unnoise.data import ImageSet, load
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.schedules import LinearBeta
from unnoise.diffusion.seeds import SeededNoises
from unnoise.evaluation import (
    MeanEstimate,
    dataset_likelihood,
    default_steps,
    measure_bound,
    measure_flow,
    unseen_pictures,
    write_evaluation,
)
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 2)
    last(train(made, digits()))
    return made


@pytest.fixture(autouse=True, scope="module")
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNNOISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def ok(*arguments: object) -> None:
    assert command([str(argument) for argument in arguments]) == 0


def refused(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert command([str(argument) for argument in arguments]) == 2
    return capsys.readouterr().err.splitlines()[-1]


def test_unseen_pictures_are_the_held_out_ones(trained):
    images, config = digits(), trained.config
    chosen = unseen_pictures(config, images, 1000, 0)
    assert len(chosen) == config.data.held_out == 89
    few = unseen_pictures(config, images, 7, 0)
    assert len(few) == 7
    assert set(few) < set(chosen)
    assert set(unseen_pictures(config, images, 7, 1)) != set(few)
    with pytest.raises(UnnoiseError, match="held out no pictures"):
        unseen_pictures(replace(config, data=replace(config.data, held_out=0)), images, 7, 0)
    with pytest.raises(UnnoiseError, match="at least 1 picture"):
        unseen_pictures(config, images, 0, 0)
    np.save("other.npy", images.pixels[:5])
    assert len(unseen_pictures(config, load("other.npy"), 100, 0)) == 5


def test_bits_of_a_picture_do_not_depend_on_the_batch_size(trained):
    diffusion, indices = trained.load(), unseen_pictures(trained.config, digits(), 5, 0)
    costs = []
    for batch_size in (5, 2):
        steps = list(
            measure_bound(diffusion, digits(), indices, num_steps=50, num_terms=3, batch_size=batch_size)
        )
        assert [step.done for step in steps] == pytest.approx(sorted(step.done for step in steps))
        assert steps[-1].done == 1
        costs.append(steps[-1].bits)
    assert list(costs[0]) == ["prior", "steps", "decoder", "total"]
    for name in costs[0]:
        torch.testing.assert_close(costs[0][name], costs[1][name], rtol=1e-4, atol=1e-5)
    every = last(measure_bound(diffusion, digits(), indices, num_steps=3)).bits["total"]
    assert every.shape == (5,)
    assert torch.isfinite(every).all()


def test_bound_and_flow_of_the_exact_denoiser_of_a_gaussian_equal_its_entropy(trained, monkeypatch):
    """With the exact denoiser of N(0, 1) in the network's place the bits are those of N(0, 1)."""
    diffusion = trained.load()
    monkeypatch.setattr(type(diffusion), "denoise", lambda self, *arguments: Gaussian()(*arguments))
    grey = diffusion.normalizer.mean[0] + 0.2 * torch.randn(6, 1, 8, 8)
    pixels = (grey * 255).round().clamp(1, 254).to(torch.uint8)  # the bins of 0 and 255 are no density's
    pictures = ImageSet(pixels.permute(0, 2, 3, 1).numpy(), "here", "")
    indices = np.arange(6)
    found = last(measure_flow(diffusion, pictures, indices, batch_size=4)).bits["flow"]
    values = diffusion.normalizer.normalize(pixels)
    exact = (values.square() / 2 + math.log(2 * math.pi) / 2).flatten(1).mean(1).double() / math.log(2)
    exact += math.log2(255 * diffusion.normalizer.std[0])
    torch.testing.assert_close(found, exact, rtol=0, atol=5e-3)  # the bins are narrow: 1 of 255
    bound = last(measure_bound(diffusion, pictures, indices, num_steps=1000, num_terms=300)).bits["total"]
    assert bound.mean().item() == pytest.approx(exact.mean().item(), abs=0.2)


def test_standard_error_equals_numpys():
    values = torch.tensor([1.0, 2.0, 3.0, 6.0], dtype=torch.float64)
    mean, error = MeanEstimate.of(values)
    assert (mean, error) == (3.0, pytest.approx(np.std([1, 2, 3, 6], ddof=1) / 2))
    assert MeanEstimate.of(values[:1]) == (1.0, math.inf)


def test_uniform_numbers_of_a_seed_do_not_depend_on_the_batch():
    together, alone = SeededNoises([3, 7], (1, 2, 2)), SeededNoises([7], (1, 2, 2))
    for _ in range(3):
        pair, one = together.uniforms(), alone.uniforms()
        assert pair.shape == (2, 1, 1, 1)
        assert torch.equal(pair[1:], one)
        assert (pair >= 0).all() and (pair < 1).all()  # noqa: PT018


def test_evaluate_prints_bits_and_keeps_other_results_in_evaluation_json(trained, capsys, monkeypatch):
    monkeypatch.setattr(dataset_likelihood, "FLOW_STEPS", 2)
    write_evaluation(trained, {"other": 1})
    options = ("--num-images", 6, "--num-steps", 20, "--num-terms", 2, "--device", "cpu")
    ok("evaluate", trained.path, "--bits-per-dim", *options, "--batch-size", 4)
    shown = capsys.readouterr()
    assert all(
        word in shown.out for word in ("prior", "steps", "decoder", "total", "bits/dim", "evaluation.json")
    )
    written = json.loads((trained.path / "evaluation.json").read_text())
    assert written["other"] == 1
    facts = written["bits_per_dim"]
    assert (facts["num_images"], facts["num_steps"], facts["num_terms"], facts["source"]) == (
        6,
        20,
        2,
        "digits",
    )
    parts = [facts[name]["mean"] for name in ("prior", "steps", "decoder")]
    assert facts["total"]["mean"] == pytest.approx(sum(parts))
    assert facts["total"]["standard_error"] > 0
    ok("evaluate", trained.path, "--ode", "--num-images", 1, "--device", "cpu")
    written = json.loads((trained.path / "evaluation.json").read_text())
    assert written["ode_bits_per_dim"]["flow"]["standard_error"] is None
    assert written["bits_per_dim"] == facts


def test_evaluate_takes_other_pictures_and_refuses_wrong_options(trained, capsys, tmp_path):
    np.save("other.npy", np.random.default_rng(0).integers(0, 256, (3, 8, 8, 1), dtype=np.uint8))
    options = ("--bits-per-dim", "--num-steps", 3, "--device", "cpu")
    ok("evaluate", trained.path, "other.npy", *options)
    assert "all of them count as unseen" in capsys.readouterr().err
    assert json.loads((trained.path / "evaluation.json").read_text())["bits_per_dim"]["num_images"] == 3
    assert "no run" in refused(capsys, "evaluate", "nowhere", "--bits-per-dim")
    for option, sentence in (
        ("--num-images", "picture"),
        ("--num-steps", "1 step"),
        ("--batch-size", "batch size"),
    ):
        assert sentence in refused(capsys, "evaluate", trained.path, "--bits-per-dim", option, 0)
    (trained.path / "evaluation.json").write_text("[]")
    assert "damaged" in refused(capsys, "evaluate", trained.path, *options, "--num-images", 1)
    (trained.path / "evaluation.json").unlink()


def test_evaluate_refuses_pictures_that_changed_since_training(trained, capsys):
    config = trained.config
    trained.with_config(replace(config, data=replace(config.data, fingerprint="another")))
    try:
        options = ("--bits-per-dim", "--num-steps", 1, "--device", "cpu")
        assert "has changed since this run was trained" in refused(capsys, "evaluate", trained.path, *options)
    finally:
        trained.with_config(config)


def test_default_chain_has_the_length_of_the_discrete_schedule(trained):
    diffusion = trained.load()
    assert default_steps(diffusion) == 1000
    diffusion.schedule = LinearBeta(300)
    assert default_steps(diffusion) == 300
