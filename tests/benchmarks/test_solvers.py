"""The page about samplers says what its rows say, and no measurement is made twice."""

import numpy as np
import pytest
from benchmarks.solver_page import LONG, OWN, Row

from benchmarks import solver_judge, solver_page, solvers
from helpers.runs import start
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
    spread = solver_page.scores(rows(), "kid")["heun"][8]
    assert spread == (pytest.approx(0.4), pytest.approx(0.02))
    assert spread.text(3) == "0.400 ± 0.020"
    assert solver_page.Spread.of([0.5]).text(2) == "0.50"


def test_each_sampler_has_the_grid_that_was_best_on_the_seed_of_its_own():
    assert solver_page.grids_of(tuning()) == {"dpmpp_2m": "karras", "heun": "uniform"}
    assert solver_page.recommended(tuning()).solver == "dpmpp_2m"


def test_the_table_has_the_best_first_and_in_bold():
    lines = solver_page.results(rows(), "kid", solver_page.grids_of(tuning()), [4, 8]).splitlines()
    assert lines[2] == "| dpmpp_2m | karras | **0.900 ± 0.000** | **0.335 ± 0.020** |"
    assert lines[3] == "| heun | uniform | 2.000 ± 0.000 | 0.400 ± 0.020 |"


def test_no_worse_means_within_the_spread_of_the_reference():
    found = solver_page.findings(rows(), tuning())
    assert "0.335 ± 0.020, and 250 steps of DDIM one of 0.320 ± 0.020: no worse within its spread." in found[0]
    assert found[-1].endswith("250-step DDIM: 8, by dpmpp_2m.")
    worse = [one if one.solver != "dpmpp_2m" else row("dpmpp_2m", one.calls, 0.45, one.seed) for one in rows()]
    found = solver_page.findings(worse, tuning())
    assert found[0].endswith("worse by more than its spread.")
    assert found[-1] == "On the seeds of the table heun is ahead of it: 0.400 ± 0.020."
    assert solver_page.findings(rows(), []) == ["Not enough was measured to recommend anything."]


def test_the_page_names_what_was_measured():
    text = "\n".join(solver_page.page(rows(), tuning(), "A run", "command", "The judge.", "2026-01-02"))
    for words in (
        "3 seeds of 16 pictures each",
        "| DDIM, deterministic, 250 calls | 0.320 ± 0.020",
        "The judge.",
    ):
        assert words in text
    assert painted(lambda figure: solver_page.draw(rows(), figure), (7.0, 4.6)).size == (1050, 690)


@pytest.fixture
def planned(tmp_path, monkeypatch):
    opened = start(tmp_path / "run")
    monkeypatch.setattr(solvers, "all_samplers", lambda: ("ddim", "heun"))
    return solvers.Plan(opened, opened.config.build(), 16, 2, (4, 8), "w")


def test_seeds_follow_one_another_and_8_calls_come_first(planned):
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


def test_what_was_measured_is_not_measured_again(planned, tmp_path, monkeypatch):
    log, measured = tmp_path / "log.jsonl", []

    def measure(task, run, diffusion, judge, shown):
        measured.append(task)
        shown(task.cost)
        return row(task.solver, task.calls, 1.0, task.seed, task.sampling.spacing, taken=task.taken)

    monkeypatch.setattr(solvers, "measure", measure)
    solvers.measure_all(planned, None, log, 0.0)
    assert len(measured) == 1
    found = solvers.measure_all(planned, None, log, float("inf"))
    assert len(measured) == len(set(measured)) == len(found) == 6 + 12
    assert solvers.read_rows(log) == found
    assert solvers.measure_all(planned, None, log, float("inf")) == found
    assert len(measured) == 18


def test_a_judge_gives_training_pictures_no_distance_to_themselves():
    features = np.random.default_rng(0).normal(3.0, 2.0, size=(400, 5))
    raw = solver_judge.Judge(None, features.mean(0), features.std(0), features, features, 1.0)
    scaled = raw.standardised(features)
    np.testing.assert_allclose((scaled.mean(0), scaled.std(0)), ([0] * 5, [1] * 5), atol=1e-12)
    judge = raw._replace(training=scaled, references=scaled)
    assert judge.distances(scaled)["frechet"] == pytest.approx(0, abs=1e-9)
    moved = judge.distances(scaled + 1)["frechet"]
    assert moved == pytest.approx(5, rel=1e-9)
    assert all(abs(one.kid) < 0.2 for one in judge.real(2, 200))


def test_the_same_start_noises_serve_all_samplers_of_a_seed(planned, monkeypatch):
    """The first random numbers of each picture are its start, whatever walks from it."""
    seeds = []
    monkeypatch.setattr(type(planned.diffusion), "noises", _spy(type(planned.diffusion).noises, seeds))
    features = np.random.default_rng(0).normal(size=(20, 32))
    judge = solver_judge.Judge(None, 0.0, 1.0, features, features, 1.0)
    monkeypatch.setattr(solver_judge, "features_of", lambda _, pictures: features[: len(pictures)])
    for task in planned.tables({})[2:4]:
        solvers.measure(task, planned.run, planned.diffusion, judge, lambda _: None)
    assert seeds[0] == seeds[1] == range(1_000_000, 1_000_016)


def _spy(noises, seeds):
    def spy(self, wanted):
        seeds.append(wanted)
        return noises(self, wanted)

    return spy
