"""Tests of the benchmark of samplers: spreads, grids, tables, and measurements that are not repeated."""

import numpy as np
import pytest
import torch

from benchmarks import json_rows, judges, solver_report, solvers
from benchmarks.solver_report import LONG, OWN, REAL, Row
from helpers.runs import start
from unnoise.data import load
from unnoise.pictures.charts import painted


def row(solver="ddim", calls=8, kid=1.0, seed=0, spacing="uniform", **values):
    given = {"taken": calls, "samples": 16, "weights": "w", "frechet": 10 * kid, "seconds": 1.0} | values
    return Row(solver=solver, spacing=spacing, calls=calls, seed=seed, kid=kid, **given)


def rows():
    """Three seeds: 250 steps at 0.30, 0.32, 0.34 (spread 0.02), one sampler just inside, one outside."""
    found = []
    for seed, off in enumerate((-0.02, 0.0, 0.02)):
        found += [row(LONG, 250, 0.32 + off, seed), row(OWN, 60, 0.25, seed)]
        found += [row("dpmpp_2m", 8, 0.335 + off, seed), row("dpmpp_2m", 4, 0.9, seed)]
        found += [row("heun", 8, 0.4 + off, seed), row("heun", 4, 2.0, seed)]
    return found


def tuning():
    return [row("dpmpp_2m", kid=0.4, spacing="karras"), row("dpmpp_2m", kid=0.5), row("heun", kid=0.45)]


def test_means_and_spreads_are_over_seeds():
    spread = solver_report.scores(rows(), "kid")["heun"][8]
    assert spread == (pytest.approx(0.4), pytest.approx(0.02))
    assert spread.text(3) == "0.400 ± 0.020"
    assert solver_report.Spread.of([0.5]).text(2) == "0.50"


def test_each_sampler_gets_the_grid_that_was_best_on_the_tuning_seed():
    assert solver_report.grids_of(tuning()) == {"dpmpp_2m": "karras", "heun": "uniform"}
    assert solver_report.recommended(tuning()).solver == "dpmpp_2m"


def test_the_table_has_the_best_sampler_first_and_the_lowest_numbers_bold():
    lines = solver_report.results(rows(), "kid", solver_report.grids_of(tuning()), [4, 8]).splitlines()
    assert lines[2] == "| dpmpp_2m | karras | **0.900 ± 0.000** | **0.335 ± 0.020** |"
    assert lines[3] == "| heun | uniform | 2.000 ± 0.000 | 0.400 ± 0.020 |"


def test_the_recommendation_is_the_best_on_the_tuning_seed_beside_the_reference():
    assert solver_report.recommendation(rows(), tuning()).splitlines()[2:] == [
        "| best on the tuning seed | dpmpp_2m | 8 | 0.335 ± 0.020 |",
        "| best in the table | dpmpp_2m | 8 | 0.335 ± 0.020 |",
        "| fewest calls, no worse than DDIM 250 within its spread | dpmpp_2m | 8 | 0.335 ± 0.020 |",
        "| reference | ddim 250 | 250 | 0.320 ± 0.020 |",
    ]
    worse = [one if one.solver != "dpmpp_2m" else row("dpmpp_2m", one.calls, 0.45, one.seed) for one in rows()]
    lines = solver_report.recommendation(worse, tuning()).splitlines()
    assert lines[3] == "| best in the table | heun | 8 | 0.400 ± 0.020 |"
    assert "fewest calls" not in "".join(lines)


def test_the_references_are_a_table_and_the_plot_has_its_size():
    tables = solver_report.tables(rows(), tuning())
    assert "| DDIM, deterministic, 250 calls | 0.320 ± 0.020" in tables["references"]
    assert painted(lambda figure: solver_report.draw(rows(), figure), (7.0, 4.6)).size == (1050, 690)


@pytest.fixture
def planned(tmp_path, monkeypatch):
    opened = start(tmp_path / "run")
    monkeypatch.setattr(solvers, "SAMPLERS", ("ddim", "heun"))
    return solvers.Plan(opened, opened.config.build().ema, 16, 2, (4, 8), "w")


def test_tasks_come_seed_by_seed_with_8_calls_first(planned):
    tasks = planned.tables({"ddim": "karras", "heun": "uniform"})
    assert [(task.solver, task.calls) for task in tasks[:6]] == [
        (LONG, 250),
        (OWN, 3),
        ("ddim", 8),
        ("heun", 8),
        ("ddim", 4),
        ("heun", 4),
    ]
    assert [task.seed for task in tasks] == [0] * 6 + [1] * 6
    assert {task.sampling.spacing for task in tasks if task.solver == "ddim"} == {"karras"}
    assert tasks[3].sampling.num_steps == 4


def test_no_measurement_is_repeated(planned, tmp_path, monkeypatch):
    log, measured = tmp_path / "log.jsonl", []

    def measure(task, run, denoiser, judge, progress):
        measured.append(task)
        progress(task.cost)
        return row(task.solver, task.calls, 1.0, task.seed, task.sampling.spacing, taken=task.taken)

    monkeypatch.setattr(solvers, "measure", measure)
    solvers.measure_all(planned, None, log, 0.0)
    assert len(measured) == 1
    found = solvers.measure_all(planned, None, log, float("inf"))
    assert len(measured) == len(set(measured)) == len(found) == 6 + 12
    assert json_rows.read_rows(log, Row) == found
    assert solvers.measure_all(planned, None, log, float("inf")) == found
    assert len(measured) == 18


@pytest.fixture
def mean_judge():
    """A judge whose features are the mean and the deviation of a picture."""

    def see(pictures):
        flat = pictures.flatten(1).double()
        return torch.stack([flat.mean(1), flat.std(1)], 1)

    digits = load("digits")
    pictures = judges.PictureSet("digits", digits, digits)
    return pictures, judges.Judge("classes", "", see, see(digits.take(np.arange(400))))


def test_training_pictures_in_place_of_samples_are_near_to_the_references(mean_judge):
    found = solvers.real_rows(*mean_judge, 2, 200)
    assert [(one.solver, one.seed, one.samples) for one in found] == [(REAL, 0, 200), (REAL, 1, 200)]
    noise = mean_judge[1].score(mean_judge[1].see(judges.noise_pictures(mean_judge[0], 200)))
    assert all(one.frechet < noise.fd / 10 for one in found)


def test_all_samplers_of_a_seed_start_from_the_same_noises(planned, mean_judge, monkeypatch):
    seeds = []
    generate = type(planned.denoiser).generate

    def spy(self, count, *, seed, **more):
        seeds.append((count, seed))
        return generate(self, count, seed=seed, **more)

    monkeypatch.setattr(type(planned.denoiser), "generate", spy)
    for task in planned.tables({})[2:4]:
        solvers.measure(task, planned.run, planned.denoiser, mean_judge[1], lambda _: None)
    assert seeds == [(16, 1_000_000)] * 2
