"""Tests of `time_to_quality` and `preset_scores`: no measurement is repeated, and tables hold the rows."""

import re
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import contenders, preset_scores, quality_report, time_to_quality
from benchmarks.judges import Judge, PictureSet
from benchmarks.quality_results import Comparison, Row, Spread, comparisons, merged, minutes_to_reach
from helpers.slow_contender import Clock, Slow
from unnoise.data import load
from unnoise.utils.tables import read_table, write_table


@pytest.fixture
def job(tmp_path, monkeypatch):
    """A job with two contenders whose steps take 1 s; features are the mean and deviation of a picture."""
    clock, images = Clock(), load("digits")
    entries = {name: contenders.Entry(name, "unnoise", None) for name in ("unnoise", "lucidrains")}
    monkeypatch.setattr(time_to_quality, "ENTRIES", entries)
    monkeypatch.setattr(time_to_quality.time, "perf_counter", clock)
    monkeypatch.setattr(time_to_quality.train, "__defaults__", (clock,))
    built = []

    def build(job, name):
        built.append((name, Slow(clock, 1.0)))
        return built[-1][1]

    def see(pictures):
        flat = pictures.flatten(1).double() / 255
        return torch.stack([flat.mean(1), flat.std(1)], 1)

    judge = Judge("classes", "two numbers", see, see(images.take(np.arange(200))))
    monkeypatch.setattr(time_to_quality, "build", build)
    monkeypatch.setattr(time_to_quality, "judges", lambda *_, **__: [judge])
    amounts = time_to_quality.Amounts(minutes=1.0, slice_seconds=20.0, early=5, late=10, between=(0.5,))
    return SimpleNamespace(
        job=time_to_quality.Job(PictureSet("digits", images, images), 0, amounts, tmp_path),
        log=tmp_path / "results.csv",
        built=built,
    )


NAMES = ["unnoise", "lucidrains"]


def test_a_job_is_measured_at_its_marks_and_not_repeated(job):
    time_to_quality.measure(job.job, NAMES, job.log)
    rows = read_table(job.log, Row)
    mine = [(row.minutes, row.samples, row.steps, row.images) for row in rows if row.contender == "lucidrains"]
    assert mine == [(0.5, 5, 30, 240), (1.0, 5, 60, 480), (1.0, 10, 60, 480)]
    assert all(row.rate == 8 for row in rows if row.contender in NAMES)
    assert {row.contender for row in rows} == {*NAMES, "real", "noise"}
    contender = dict(job.built)["unnoise"]
    assert contender.restored == [30, 60]
    time_to_quality.measure(job.job, NAMES, job.log)
    assert len(job.built) == 2
    assert read_table(job.log, Row) == rows


def test_an_interrupted_job_continues_where_it_stopped(job, monkeypatch):
    sample, drawn = time_to_quality.sample, []

    def stopped(contender, count, seed):
        drawn.append(count)
        if len(drawn) == 3:
            raise KeyboardInterrupt
        return sample(contender, count, seed)

    monkeypatch.setattr(time_to_quality, "sample", stopped)
    with pytest.raises(KeyboardInterrupt):
        time_to_quality.measure(job.job, NAMES, job.log)
    kept = read_table(job.log, Row)
    assert [row.minutes for row in kept if row.contender == "unnoise"] == [0.5, 1.0, 1.0]
    time_to_quality.measure(job.job, NAMES, job.log)
    rows = read_table(job.log, Row)
    assert rows[: len(kept)] == kept
    assert len(drawn) == 3 + 2
    assert [name for name, _ in job.built] == [*NAMES, "lucidrains"]
    assert not job.built[-1][1].spent  # it had trained


def test_samples_are_kept_for_another_judge_and_drawn_again_for_another_sampler(job, monkeypatch):
    time_to_quality.measure(job.job, NAMES, job.log)
    rows = read_table(job.log, Row)
    monkeypatch.setattr(time_to_quality, "sample", None)
    write_table(job.log, Row, [])
    time_to_quality.measure(job.job, NAMES, job.log)
    assert [row._replace(machine="") for row in read_table(job.log, Row)] == [
        row._replace(machine="") for row in rows
    ]
    monkeypatch.setattr(Slow, "sampler", "another")
    write_table(job.log, Row, [])
    with pytest.raises(TypeError):
        time_to_quality.measure(job.job, NAMES, job.log)


def test_contenders_that_were_stopped_during_training_begin_anew(job):
    job.job.file("unnoise", 0.5).parent.mkdir(parents=True)
    job.job.file("unnoise", 0.5).write_bytes(b"of an earlier start")
    time_to_quality.measure(job.job, ["unnoise"], job.log)
    assert job.built[0][1].restored == [30, 60]
    time_to_quality.measure(job.job, NAMES, job.log)  # another one later: nothing of the first is repeated
    assert [name for name, _ in job.built] == NAMES
    time_to_quality.forget(job.job, ["unnoise"], job.log)
    assert {row.contender for row in read_table(job.log, Row)} == {"lucidrains", "real", "noise"}
    time_to_quality.measure(job.job, NAMES, job.log)
    assert len(job.built[-1][1].spent) == 60


# --- tables -------------------------------------------------------------------------------------------------


def row(contender="unnoise", minutes=10.0, fd=10.0, seed=0, samples=500, **values) -> Row:
    given = {
        "dataset": "clothes",
        "pictures": 60000,
        "side": 28,
        "channels": 1,
        "budget": 10.0,
        "version": "1.0",
        "features": "classes",
        "judge": "32 features of a classifier",
        "fd_low": 0.9 * fd,
        "fd_high": 1.1 * fd,
        "kid": fd / 100,
        "kid_low": fd / 110,
        "kid_high": fd / 90,
        "steps": 100,
        "images": 6400,
        "rate": 12.5,
        "parameters": 1234,
        "sampler": "steps",
        "calls": 20,
        "seconds": 0.25,
        "measured": "2026-01-02",
        "machine": "a machine",
    }
    known = {"contender": contender, "minutes": minutes, "fd": fd, "seed": seed, "samples": samples}
    return Row(**(given | known | values))


def rows(seeds=3):
    """Ours falls from 40 through 20 and 10 to 5; the best of the others ends at 14."""
    found = []
    for seed in range(seeds):
        for minutes, mine, its in ((1.0, 40, 80), (2.0, 20, 50), (4.0, 10, 30), (10.0, 5, 14)):
            found += [row(minutes=minutes, fd=mine + seed, seed=seed)]
            found += [row("diffusers", minutes, its + seed, seed), row("smalldiffusion", minutes, 90, seed)]
        found += [row(fd=4.0 + seed, seed=seed, samples=1000)]
        found += [row("diffusers", fd=12.0 + seed, seed=seed, samples=1000)]
        found += [row(name, fd=fd, seed=seed, images=0) for name, fd in (("real", 0.5), ("noise", 80.0))]
    return found


def test_a_spread_is_over_seeds_or_the_interval_of_a_single_seed():
    assert Spread.of([row(fd=fd) for fd in (3.0, 9.0, 4.0)], "fd") == (4, 3, 9)
    assert Spread.of([row(fd=10.0)], "fd") == (10, 9, 11)
    assert Spread(0.1234, 0.1, 0.2).text == "0.123 (0.100 to 0.200)"


def test_a_curve_has_equally_many_samples_at_all_marks():
    comparison = Comparison(rows())
    assert {mark: one.middle for mark, one in comparison.curve("unnoise", "classes", "fd").items()} == {
        1: 41,
        2: 21,
        4: 11,
        10: 6,
    }
    assert comparison.last("unnoise", "classes", "fd") == (5, 4, 6)
    alone = Comparison([*rows(), row(fd=1.0, samples=5000)])
    assert alone.last("unnoise", "classes", "fd") == (5, 4, 6)  # no other has as many


def test_sides_and_budgets_of_a_set_are_comparisons_of_their_own():
    found = comparisons([row(side=32), row(side=64), row(side=64, budget=20.0, minutes=20.0)])
    assert [one.slug for one in found] == ["clothes", "clothes-64px", "clothes-64px-20"]


def test_minutes_to_reach_a_distance_are_interpolated_between_marks():
    curve = {mark: Spread(value, value, value) for mark, value in ((1.0, 40.0), (4.0, 10.0), (8.0, 2.5))}
    assert minutes_to_reach(curve, 20.0) == pytest.approx(2)
    assert minutes_to_reach(curve, 50.0) == 1
    assert minutes_to_reach(curve, 5.0) == pytest.approx(4 * 2**0.5)
    assert minutes_to_reach(curve, 1.0) is None


def test_a_new_row_replaces_the_old_one_of_the_same_measurement():
    old = [row(fd=9.0), row("diffusers", fd=8.0)]
    new = [row(fd=7.0), row(fd=6.0, budget=4.0, minutes=4.0)]
    assert [one.fd for one in merged(old, new)] == [7, 8, 6]


def test_the_page_has_the_summary_distances_speeds_and_plots(tmp_path):
    docs = tmp_path / "docs"
    write_table(docs / "time_to_quality.csv", Row, rows()[:5])
    picture = torch.randint(0, 256, (12, 1, 28, 28), dtype=torch.uint8)
    time_to_quality.keep(tmp_path / "clothes-28-10" / "0" / "unnoise" / "pictures.safetensors", picture)
    quality_report.publish_page(rows(), tmp_path, docs)
    text = (docs / "time_to_quality.md").read_text()
    for words in (
        "| clothes | classes | 5.00 (4.00 to 6.00) | diffusers | 13.0 (12.0 to 14.0) | **0.38** "
        "| 0.33, 0.38, 0.43 | 2.9 |",
        "| unnoise | 41.0 (40.0 to 42.0) | 21.0 (20.0 to 22.0) | 11.0 (10.0 to 12.0) | 6.00 (5.00 to 7.00) |",
        "| real pictures |  |  |  | 0.500 (0.500 to 0.500) |",
        "| diffusers 1.0 | steps | 1,234 | 12 | 6,400 | 20 | 250 | 3 |",
        "32 features of a classifier.",
        "a machine",
    ):
        assert words in text
    assert len(read_table(docs / "time_to_quality.csv", Row)) == len(rows())
    for name in ("time_to_quality-clothes.png", "time_to_quality-clothes-samples.png"):
        assert name in text
        assert (docs / name).stat().st_size < 100_000
        with Image.open(docs / name) as image:
            assert image.width > 400


def test_the_page_alone_is_written_from_the_rows_that_are_there(tmp_path, monkeypatch, capsys):
    write_table(tmp_path / "docs" / "time_to_quality.csv", Row, rows(1))
    options = ["--page-only", "--threads", "1", "--work", str(tmp_path / "w"), "--docs", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", ["time_to_quality", *options])
    time_to_quality.main()
    assert "time_to_quality.md" in capsys.readouterr().out
    assert "| unnoise | 40.0 (36.0 to 44.0) |" in (tmp_path / "docs" / "time_to_quality.md").read_text()
    monkeypatch.setattr(sys, "argv", ["time_to_quality", *options[:-1], str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="Measure first"):
        time_to_quality.main()


# --- presets ------------------------------------------------------------------------------------------------


def test_each_preset_trains_once_and_is_scored(job, monkeypatch):
    asked = []

    def built(images, minutes, seed, preset):
        asked.append(preset)
        return job.built[0][1]

    judge = time_to_quality.judges()[0]
    time_to_quality.build(job.job, "unnoise")
    monkeypatch.setattr(preset_scores, "Unnoise", built)
    monkeypatch.setattr(preset_scores, "judges", lambda *_, **__: [judge])
    found = preset_scores.measure(job.job, ["nano", "small"], job.log)
    assert asked == ["nano", "small"]
    assert {row.contender for row in found} == {"nano", "small", "real", "noise"}
    assert preset_scores.measure(job.job, ["nano", "small"], job.log) == read_table(job.log, Row) == found
    assert asked == ["nano", "small"]
    text = preset_scores.score_table(found)
    assert re.search(r"\| `small` \| 3 \| 8 \| 480 \|", text)


def test_the_scores_of_presets_are_a_table_and_a_text_for_each():
    found = [row(name, fd=fd, features=features, samples=1000) for name, fd, features in SIZES]
    text = preset_scores.score_table(found)
    assert "| `large` | 1,234 | 12 | 6,400 | 250 | 9.00 (8.10 to 9.90) |  |  |" in text
    assert "| real pictures |  |  |  |  | 0.500" in text
    assert dict(preset_scores.scores(found)) == {"nano": "FD 2.00 in 10 min", "large": "FD 9.00 in 10 min"}
    assert "1,000 pictures drawn after 10 minutes of training on clothes" in preset_scores.explanation(found)
    assert preset_scores.explanation(found).endswith("real pictures get 0.50.")
    assert preset_scores.scores([]) == {}


SIZES = [
    ("nano", 2.0, "classes"),
    ("nano", 90.0, "lite0"),
    ("large", 9.0, "classes"),
    ("real", 0.5, "classes"),
]
