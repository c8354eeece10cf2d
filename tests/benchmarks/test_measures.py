"""What the benchmarks make of their measurements is right; the measurements are not repeated here."""

import math
import shlex
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch

import unnoise
from benchmarks import ablation_page, ablations, attention_cost, judging, reports, variants
from unnoise.cli import run
from unnoise.data import load
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.tensors import Prediction
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import plan
from unnoise.runs.presets import recipe


def row(seed: int = 0, changes: tuple[str, ...] = (), **values) -> ablation_page.Row:
    given = dict.fromkeys(("noise_error", "image_error", "frechet", "confident"), 0.5) | values
    return ablation_page.Row(changes=changes, seed=seed, steps=300, parameters=1234, seconds=60.0, **given)


def test_the_slope_of_a_power_law_is_its_power():
    line = attention_cost.fit({n: 3e-6 * n**1.75 for n in (1024, 2304, 4096)})
    assert line.slope == pytest.approx(1.75, abs=1e-12)
    assert line.at(9216) == pytest.approx(3e-6 * 9216**1.75, rel=1e-9)


def test_slopes_look_at_the_larger_sizes_only():
    times = {side: {"linear": 1 + side**2, "full": 7.0} for side in (8, 16)}
    times |= {side: {"linear": 2.0 * side**2, "full": 5.0 * side**4} for side in (32, 48, 64)}
    linear, full = attention_cost.lines(times).values()
    assert (linear.slope, full.slope) == (pytest.approx(1), pytest.approx(2))
    assert attention_cost.column(times, "linear", 48) == {48**2: 2.0 * 48**2, 64**2: 2.0 * 64**2}
    assert attention_cost.column(times, "full, scores written out") == {}
    text = "\n".join(attention_cost.page(times, 5, "command"))
    assert "(H W)^1.00" in text
    assert "(H W)^2.00" in text
    assert f"takes {5 * 64**2 / 2:.1f} times" in text


def test_one_turn_of_each_layer_gives_times_and_gradients():
    times = attention_cost.measure(4, 1)
    assert set(times) == {"linear", "full", "full, scores written out"}
    assert min(times.values()) > 0
    layers = attention_cost._layers(4)
    images = torch.randn(2, 64, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
    fused, written_out = (layers[name](images)[0] for name in ("full", "full, scores written out"))
    torch.testing.assert_close(fused, written_out, atol=1e-5, rtol=1e-5)


def test_tables_are_markdown():
    text = reports.table(["what", "1", "2"], [["a|b", "0.5", "10"]])
    assert text == "| what | 1 | 2 |\n| --- | ---: | ---: |\n| a\\|b | 0.5 | 10 |\n"


def test_the_distance_of_two_gaussians_is_its_closed_form():
    """Where covariances commute it is |m - n|^2 + sum (s_i - t_i)^2, and turning both changes nothing."""
    generator = np.random.default_rng(0)
    mean, other = generator.normal(size=(2, 5))
    left, right = generator.uniform(0.1, 2, size=(2, 5))
    exact = np.square(mean - other).sum() + np.square(left - right).sum()
    turn, _ = np.linalg.qr(generator.normal(size=(5, 5)))
    turned = [turn @ np.diag(std**2) @ turn.T for std in (left, right)]
    found = judging.gaussian_distance(turn @ mean, turned[0], turn @ other, turned[1])
    assert found == pytest.approx(exact, rel=1e-10)


def test_the_distance_does_not_ask_that_covariances_commute():
    """The trace of (C D)^(1/2) is the sum of the square roots of the eigenvalues of C D."""
    factors = np.random.default_rng(1).normal(size=(2, 4, 4))
    left, right = (factor @ factor.T for factor in factors)
    cross = np.sqrt(np.linalg.eigvals(left @ right).real).sum()
    found = judging.gaussian_distance(np.zeros(4), left, np.zeros(4), right)
    assert found == pytest.approx(np.trace(left) + np.trace(right) - 2 * cross, rel=1e-9)


def test_features_that_are_only_moved_are_as_far_apart_as_they_were_moved():
    features = np.random.default_rng(2).normal(size=(50, 3))
    assert judging.frechet_distance(features, features) == pytest.approx(0, abs=1e-9)
    assert judging.frechet_distance(features, features + np.array([1, 2, 2])) == pytest.approx(9, rel=1e-9)


@pytest.mark.parametrize("normalization", ["dataset", "imagenet", "symmetric"])
def test_errors_meet_the_same_noisy_pixels_under_every_normalisation(normalization):
    """A denoiser that always answers x_t has pixel errors that no normalisation changes, until they clip."""
    normalizer = {
        "dataset": unnoise.Normalizer((0.3,), (0.4,)),
        "imagenet": unnoise.Normalizer.imagenet(1),
        "symmetric": unnoise.Normalizer.symmetric(1),
    }[normalization]

    class Seen(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, noisy_images, conditions):
            return 0 * noisy_images

    diffusion = unnoise.Diffusion(
        Seen(), (1, 4, 4), normalizer=normalizer, objective=Objective("noise", "noise", "l2")
    )
    pictures = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8)
    errors = judging.held_out_errors(diffusion, pictures, 0.4)
    noises = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    truth = pictures.float() / 255
    # No noise predicted: the image is x_t / alpha, in pixels x + level * 0.4 * noises, whatever the normalizer.
    exact = [
        ((truth + level * 0.4 * noises).clamp(0, 1) - truth).square().mean() for level in judging.NOISE_LEVELS
    ]
    assert errors.images == pytest.approx(float(torch.stack(exact).mean()), rel=1e-4)
    assert errors.noises == pytest.approx(float(noises.square().mean()), rel=1e-5)


def test_every_variant_changes_the_recipe_and_has_a_name_of_its_own():
    base = recipe("default", 1, 16, 16).changed(variants.COMMON)
    recipes = [base.changed(variant.changes) for variant in variants.VARIANTS]
    assert recipes[0] == base
    assert all(recipes.count(one) == 1 for one in recipes)
    assert len({variant.name for variant in variants.VARIANTS}) == len(recipes)
    assert recipes[-2].ema == replace(base.ema, decay=0.0)


def test_variants_are_chosen_by_name_or_by_question():
    assert [one.name for one in variants.chosen(["loss", "block-resnet"])] == [
        "loss-l1",
        "loss-huber",
        "block-resnet",
    ]
    assert variants.chosen([]) == list(variants.VARIANTS)
    with pytest.raises(ValueError, match="no variant 'l3'"):
        variants.chosen(["l3"])


def test_a_variants_command_is_understood_by_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which `run` takes over
    variant = variants.chosen(["attention-linear-above-full"])[0]
    name, *words = shlex.split(variant.command(300))
    assert name == "unnoise"
    assert run([*words, "--dry-run"]) == 0
    printed = RunConfig.from_json(capsys.readouterr().out, tmp_path)
    planned = plan(load("digits", size=(16, 16), labels=True), variant.wishes(0, 300))
    assert printed == planned


def test_marks_stand_where_a_difference_exceeds_the_spread():
    noise, confident = ablation_page.MEASURES[0], ablation_page.MEASURES[3]
    baseline = [row(seed, noise_error=value) for seed, value in enumerate((0.9, 1.0, 1.1))]  # spread 0.1

    def marked(mean, measure=noise):
        field = measure.field
        return ablation_page.cell(
            measure, [row(s, **{field: mean + d}) for s, d in enumerate((-0.1, 0, 0.1))], baseline
        )

    edge = math.sqrt(2) * 0.1
    assert marked(1.0) == "1.0000 ± 0.1000"
    assert marked(1 - 0.9 * edge) == "0.8727 ± 0.1000"
    assert marked(1 - 1.1 * edge) == "0.8444 ± 0.1000 ▲"
    assert marked(1 + 2.1 * edge) == "1.2970 ± 0.1000 ▼▼"
    assert marked(0.9, confident).endswith("▲▲")
    assert ablation_page.cell(noise, [row(noise_error=9.0)], baseline) == "9.0000"  # one seed has no spread


def test_chance_marks_as_often_as_students_distribution_says():
    """Two samples of 3: t = d / (s^2 + s_0^2)^(1/2) * 3^(1/2) with 4 degrees of freedom, beyond 3^(1/2)."""

    def beyond(t):  # the closed form of both tails for 4 degrees of freedom
        x = t / math.sqrt(4 + t * t)
        return 1 - 1.5 * (x - x**3 / 3)

    assert ablation_page.chances(3) == pytest.approx((beyond(3**0.5), beyond(12**0.5)), abs=0.004)


def test_the_page_tells_what_its_rows_say():
    l1 = variants.chosen(["loss-l1"])[0]
    rows = [row(seed, noise_error=0.5 + 0.001 * seed) for seed in range(3)]
    rows += [row(seed, l1.changes, noise_error=0.6 + 0.001 * seed) for seed in range(3)]
    lines = ablation_page.results(rows, 300).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| baseline |")
    assert l1.command(300) in lines[3]
    assert list(ablation_page.findings(rows)) == ["- **loss**, l1: noise error clearly worse (+20%)."]


def test_the_headline_counts_the_choices_whose_pictures_differ():
    def runs(distance, *changes):
        return [row(seed, tuple(changes), frechet=distance + 0.1 * seed) for seed in range(3)]

    choices = {one.name: one.changes for one in variants.VARIANTS}
    rows = runs(10.0) + runs(9.0, *choices["loss-l1"]) + runs(10.05, *choices["loss-huber"])
    said = ablation_page.headline(rows)
    assert said.startswith("Of 2 choices changed one at a time, 1 (l1) brought the Fréchet distance below")
    assert said.endswith("and none above it.")


def test_finished_runs_are_kept_and_not_done_again(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert ablations.read_rows(path) == []
    rows = [row(0), row(1, ("objective.loss=l1",))]
    ablations.write_rows(path, rows)
    assert ablations.read_rows(path) == rows
    l1 = variants.chosen(["loss-l1"])[0]
    assert ablations.Task(l1, 1, 300).done_in(rows)
    assert not ablations.Task(l1, 0, 300).done_in(rows)
    assert not ablations.Task(l1, 1, 200).done_in(rows)


def test_an_exact_denoiser_would_have_no_error():
    """`Prediction` of the truth gives errors of 0, so that errors measure the network and nothing else."""

    class Truth(unnoise.Diffusion):
        def denoise(self, noisy_images, noise_rates, signal_rates, **_):
            noises = torch.randn(noisy_images.shape, generator=torch.Generator().manual_seed(0))
            return Prediction(noises, (noisy_images - noise_rates * noises) / signal_rates)

    diffusion = Truth(torch.nn.Conv2d(1, 1, 1), (1, 4, 4), normalizer=unnoise.Normalizer((0.3,), (0.4,)))
    errors = judging.held_out_errors(diffusion, torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8), 0.4)
    assert errors.noises == 0
    assert errors.images < 1e-10
