"""Tests of the ablations: variants, measures, marks, and runs that are not repeated."""

import math
import shlex
import warnings
from dataclasses import replace

import pytest
import torch

import unnoise
from benchmarks import ablation_measures, ablation_variants, ablations, json_rows
from unnoise.cli import run
from unnoise.data import load
from unnoise.diffusion.objectives import Objective
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import plan
from unnoise.runs.presets import recipe


def row(seed: int = 0, changes: tuple[str, ...] = (), **values) -> ablations.Row:
    given = dict.fromkeys(("noise_error", "image_error", "frechet", "confident"), 0.5) | values
    return ablations.Row(changes=changes, seed=seed, steps=300, parameters=1234, seconds=60.0, **given)


@pytest.mark.parametrize("normalization", ["dataset", "imagenet", "symmetric"])
def test_errors_are_of_the_same_noisy_pixels_under_every_normalisation(normalization):
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
    errors = ablation_measures.held_out_errors(diffusion.ema, pictures, 0.4)
    noises = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    truth = pictures.float() / 255
    # No noise predicted: the image is x_t / alpha, in pixels x + level * 0.4 * noises, whatever the normalizer.
    exact = [
        ((truth + level * 0.4 * noises).clamp(0, 1) - truth).square().mean()
        for level in ablation_measures.NOISE_LEVELS
    ]
    assert errors.images == pytest.approx(float(torch.stack(exact).mean()), rel=1e-4)
    assert errors.noises == pytest.approx(float(noises.square().mean()), rel=1e-5)


def test_every_variant_changes_the_recipe_and_has_a_name_of_its_own():
    base = recipe("default", 1, 16, 16).changed(ablation_variants.COMMON)
    recipes = [base.changed(variant.changes) for variant in ablation_variants.VARIANTS]
    assert recipes[0] == base
    assert all(recipes.count(one) == 1 for one in recipes)
    assert len({variant.name for variant in ablation_variants.VARIANTS}) == len(recipes)
    assert recipes[-2].ema == replace(base.ema, decay=0.0)


def test_variants_are_chosen_by_name_or_by_question():
    assert [one.name for one in ablation_variants.chosen(["loss", "block-resnet"])] == [
        "loss-l1",
        "loss-huber",
        "block-resnet",
    ]
    assert ablation_variants.chosen([]) == list(ablation_variants.VARIANTS)
    with pytest.raises(ValueError, match="no variant 'l3'"):
        ablation_variants.chosen(["l3"])


def test_a_variants_command_is_understood_by_the_command_line(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)  # which `run` takes over
    variant = ablation_variants.chosen(["attention-linear-above-full"])[0]
    name, *words = shlex.split(variant.command(300))
    assert name == "unnoise"
    assert run([*words, "--precision", "float32", "--dry-run"]) == 0
    printed = RunConfig.from_json(capsys.readouterr().out, tmp_path)
    planned = plan(load("digits", size=(16, 16), labels=True), variant.options(0, 300))
    assert printed == planned


def test_a_difference_beyond_the_spread_is_marked():
    noise, confident = ablations.MEASURES[0], ablations.MEASURES[3]
    baseline = [row(seed, noise_error=value) for seed, value in enumerate((0.9, 1.0, 1.1))]  # spread 0.1

    def marked(mean, measure=noise):
        field = measure.field
        return ablations.cell(
            measure, [row(s, **{field: mean + d}) for s, d in enumerate((-0.1, 0, 0.1))], baseline
        )

    edge = math.sqrt(2) * 0.1
    assert marked(1.0) == "1.0000 ± 0.1000"
    assert marked(1 - 0.9 * edge) == "0.8727 ± 0.1000"
    assert marked(1 - 1.1 * edge) == "0.8444 ± 0.1000 ▲"
    assert marked(1 + 2.1 * edge) == "1.2970 ± 0.1000 ▼▼"
    assert marked(0.9, confident).endswith("▲▲")
    assert ablations.cell(noise, [row(noise_error=9.0)], baseline) == "9.0000"  # one seed has no spread


def test_the_table_has_the_baseline_first_and_the_changes_of_each_variant():
    l1 = ablation_variants.chosen(["loss-l1"])[0]
    rows = [row(seed, l1.changes, noise_error=0.6 + 0.001 * seed) for seed in range(3)]
    rows += [row(seed, noise_error=0.5 + 0.001 * seed) for seed in range(3)]
    lines = ablations.results(rows).splitlines()
    assert len(lines) == 4
    assert lines[2].startswith("| baseline |")
    assert "| l1 | 0.6010 ± 0.0010 ▼▼ |" in lines[3]
    assert lines[3].endswith("| 3 | 1,234 | `objective.loss=l1` |")
    assert len(ablations.results(rows[:3]).splitlines()) == 2  # no baseline to compare with


def test_finished_runs_are_kept_and_not_repeated(tmp_path):
    path = tmp_path / "rows.jsonl"
    assert json_rows.read_rows(path, ablations.Row) == []
    rows = [row(0), row(1, ("objective.loss=l1",))]
    json_rows.write_rows(path, rows)
    assert json_rows.read_rows(path, ablations.Row) == rows
    l1 = ablation_variants.chosen(["loss-l1"])[0]
    assert ablations.Task(l1, 1, 300).done_in(rows)
    assert not ablations.Task(l1, 0, 300).done_in(rows)
    assert not ablations.Task(l1, 1, 200).done_in(rows)


def test_an_exact_denoiser_has_no_error():
    class Truth(torch.nn.Module):
        """Predicts the noises that all runs are given."""

        def forward(self, noisy_images, conditions):
            return torch.randn(noisy_images.shape, generator=torch.Generator().manual_seed(0))

    diffusion = unnoise.Diffusion(
        with_a_weight(Truth()),
        (1, 4, 4),
        normalizer=unnoise.Normalizer((0.3,), (0.4,)),
        objective=Objective("noise", "noise", "l2"),
    )
    pictures = torch.randint(0, 256, (2, 1, 4, 4), dtype=torch.uint8)
    errors = ablation_measures.held_out_errors(diffusion.ema, pictures, 0.4)
    assert errors.noises == 0
    assert errors.images < 1e-10


def with_a_weight(module):
    module.weight = torch.nn.Parameter(torch.zeros(1))
    return module
