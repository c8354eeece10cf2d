"""Contenders take fair turns, no row is measured twice, and the page says what its rows say."""

import re
import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks import (
    contenders,
    judge_check,
    judging,
    peer_samplers,
    picture_judge,
    preset_scores,
    quality_page,
    time_to_quality,
)
from benchmarks.interleaving import Runner, turns
from benchmarks.peers import Peer
from benchmarks.picture_judge import Exam, Judge
from benchmarks.quality_rows import Part, Row, Spread, merged, passing
from unnoise.data import load
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tables import read_table, write_table
from unnoise.utils.tensor_files import write_tensors


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Slow:
    """A contender whose steps take so many seconds."""

    batch_size = 8
    sampler, calls = "none", 3

    def __init__(self, clock, seconds, log=None, name=""):
        self.clock, self.seconds, self.log, self.name = clock, seconds, [] if log is None else log, name
        self.network = torch.nn.Linear(2, 1)
        self.spent, self.restored = [], []

    def step(self, spent):
        self.clock.now += self.seconds
        self.spent.append(spent)
        self.log.append(self.name)

    def weights(self):
        return {"steps": torch.tensor([float(len(self.spent))])}

    def restore(self, weights):
        self.restored.append(float(weights["steps"]))

    def draw(self, count, seed):
        return torch.rand(count, 1, 8, 8)


# --- turns --------------------------------------------------------------------------------------------------


def test_turns_alternate_and_add_up_to_the_budget():
    clock, log = Clock(), []
    runners = [Runner(name, Slow(clock, seconds, log, name)) for name, seconds in (("a", 1.0), ("b", 0.25))]
    found = [(runner.name, mark) for runner, mark in turns(runners, [3.0, 8.0], 2.0, clock)]
    assert [name for name, mark in found if mark is None] == ["a", "b"] * 4
    assert [one for one in found if one[1]] == [("a", 3.0), ("b", 3.0), ("a", 8.0), ("b", 8.0)]
    assert log[:12] == ["a"] * 2 + ["b"] * 8 + ["a"] * 2
    assert [runner.seconds for runner in runners] == [8.0, 8.0]
    assert [(runner.steps, runner.images) for runner in runners] == [(8, 64), (32, 256)]
    assert runners[0].contender.spent == [step / 8 for step in range(8)]


def test_a_step_that_overruns_shortens_the_next_turn():
    clock = Clock()
    runner = Runner("a", Slow(clock, 3.0))
    spent = [(runner.seconds, mark) for _, mark in turns([runner], [1.0, 10.0], 2.0, clock)]
    assert spent == [(3, 1), (3, None), (6, None), (6, None), (9, None), (12, 10), (12, None)]


def test_no_clock_runs_while_weights_are_handed_over():
    clock = Clock()
    runner = Runner("a", Slow(clock, 1.0))
    for _ in turns([runner], [2.0, 4.0], 3.0, clock):
        clock.now += 100
    assert runner.seconds == 4


# --- contenders ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ours():
    return contenders.Unnoise(load("digits"), 1.0, 0)


def test_our_learning_rate_follows_the_share_of_the_budget_that_is_spent(ours):
    for spent in (0.01, 0.5, 1.0):
        ours.step(spent)
        rate = ours.diffusion.optimizer.param_groups[0]["lr"]
        assert rate == pytest.approx(ours.diffusion.optimizer_config.learning_rate_at(spent), abs=1e-6)


def test_what_is_drawn_is_drawn_with_the_weights_of_the_mark(ours):
    kept = {name: tensor.clone() for name, tensor in ours.weights().items()}
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
def test_a_peer_trains_and_draws():
    peer = contenders.Diffusers(load("digits"), 1.0, 0)
    rates = []
    for spent in (0.0, 0.05, 1.0):
        peer.step(spent)
        rates.append(peer._optimizer.param_groups[0]["lr"] / peer.learning_rate)
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


def test_the_best_of_a_librarys_samplers_is_told(monkeypatch, tmp_path):
    class Shades(Peer):
        """Its samplers draw one shade each."""

        samplers: ClassVar = {"dark, 1 steps": (1, {"shade": 0.1}), "light, 2 steps": (2, {"shade": 0.9})}

        def restore(self, weights):
            self.weight = float(weights["weight"])

        def draw(self, count, seed):
            return torch.full((count, *self.shape), self.options["shade"] + self.weight)

    images = load("digits")
    judge = Judge("classes", "the mean", lambda pictures: pictures.double().mean((1, 2, 3))[:, None], None)
    monkeypatch.setattr(Judge, "score", lambda self, seen: SimpleNamespace(fd=float(seen.mean()), kid=0.5))
    monkeypatch.setattr(peer_samplers, "build", lambda job, name: Shades(job.questions.training, job.seed))
    job = time_to_quality.Job(Exam("digits", images, images), 0, time_to_quality.Amounts(), tmp_path)
    with pytest.raises(UnnoiseError, match=r"run python -m benchmarks\.time_to_quality first"):
        list(peer_samplers.measure(job, ["diffusers"], [judge], 2))
    write_tensors(job.file("diffusers", 10.0), {"weight": torch.tensor(0.05)}, {})
    found = list(peer_samplers.measure(job, ["diffusers"], [judge], 2))
    assert [(one.sampler, one.calls, *one.distances) for one in found] == [
        ("dark, 1 steps", 1, 38, 0.5),
        ("light, 2 steps", 2, 242, 0.5),
    ]
    text = "\n".join(peer_samplers.page(found[::-1], [judge], "digits", 2))
    assert "- diffusers: dark, 1 steps (38.0)." in text
    assert "| diffusers | light, 2 steps | 2 | 242 | 0.500 |" in text


def test_a_library_that_is_missing_is_left_out_with_a_sentence(monkeypatch, capsys):
    entry = contenders.Entry("Other", "no-such-library", None, "")
    monkeypatch.setattr(contenders, "ENTRIES", {"other": entry, "unnoise": contenders.ENTRIES["unnoise"]})
    assert contenders.installed(["other", "unnoise"]) == ["unnoise"]
    assert "Other is not installed, and left out" in capsys.readouterr().err


# --- judges -------------------------------------------------------------------------------------------------


def test_a_judge_tells_noise_from_real_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_judge.lite0, "is_installed", lambda: False)
    questions = picture_judge.exam("digits", None)
    assert not questions.kept_apart
    (judge,) = picture_judge.judges(questions, tmp_path, quick=True)
    real = judge.features([picture_judge.real_pictures(questions, 300, 0)])
    noise = judge.features([picture_judge.noise_pictures(questions, 300)])
    at_best = judge.score_of_real(real, 0, apart=questions.kept_apart)
    at_worst = judge.score(noise)
    assert at_best.fd_low < at_best.fd < at_best.fd_high < at_worst.fd_low / 3
    assert at_best.kid_low < 0.05 < at_worst.kid_low
    assert judge.references.std(0).mean() == pytest.approx(1, abs=0.01)
    (again,) = picture_judge.judges(questions, tmp_path, quick=True)
    assert torch.equal(again.references, judge.references)


def test_a_balanced_classifier_meets_all_classes_equally_often_but_a_handful_of_pictures_never():
    labels = np.repeat([0, 1, 2], [100, 25, 5])
    chances = judging._chances(SimpleNamespace(labels=labels), np.arange(130)[::-1].copy())
    assert np.bincount(labels[::-1], chances) == pytest.approx([1, 1, 0])


def test_a_check_puts_spoilt_pictures_in_their_order(tmp_path, monkeypatch):
    monkeypatch.setattr(picture_judge.lite0, "is_installed", lambda: False)
    questions = picture_judge.exam("digits", None)
    picture = picture_judge.noise_pictures(questions, 300)
    time_to_quality.keep(tmp_path / "digits-10" / "0" / "diffusers" / "10.pictures.safetensors", picture)
    lines = judge_check.compared(questions, tmp_path, quick=True).splitlines()
    assert lines[0] == "|  | classes | classes, learned plainly |"
    found = {line.split(" | ")[0].strip("| "): line for line in lines[2:]}
    distances = {kind: float(line.split(" | ")[1]) for kind, line in found.items()}
    kinds = ["real", "noise of 0.2", "noise of 0.4", "nothing but noise"]
    assert [distances[kind] for kind in kinds] == sorted(distances[kind] for kind in kinds)
    assert distances["diffusers"] > 3 * distances["noise of 0.4"]


def test_nobody_trains_on_what_is_held_out(monkeypatch):
    monkeypatch.setattr(picture_judge, "_LARGE", 100)
    questions = picture_judge.exam("digits", None)
    assert questions.kept_apart
    assert len(questions.training) + len(questions.references) == 1797
    both = np.concatenate([questions.training.labels, questions.references.labels])
    assert np.array_equal(np.bincount(both), np.bincount(load("digits", labels=True).labels))
    assert questions.training.moments.sum() + questions.references.moments.sum() == load("digits").moments.sum()


# --- rows ---------------------------------------------------------------------------------------------------


@pytest.fixture
def job(tmp_path, monkeypatch):
    """Two contenders whose steps take 1 s, and a judge who sees means and deviations."""
    clock, images = Clock(), load("digits")
    entries = {name: contenders.Entry(name, "unnoise", None, "") for name in ("unnoise", "lucidrains")}
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
        job=time_to_quality.Job(Exam("digits", images, images), 0, amounts, tmp_path),
        log=tmp_path / "results.csv",
        built=built,
    )


NAMES = ["unnoise", "lucidrains"]


def test_a_job_is_measured_at_its_marks_and_only_once(job):
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


def test_what_was_stopped_goes_on(job, monkeypatch):
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


def test_another_judge_sees_the_same_pictures_and_nothing_is_drawn_again(job, monkeypatch):
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


def test_contenders_that_were_stopped_amidst_training_begin_anew(job):
    job.job.file("unnoise", 0.5).parent.mkdir(parents=True)
    job.job.file("unnoise", 0.5).write_bytes(b"of another start")
    time_to_quality.measure(job.job, ["unnoise"], job.log)
    assert job.built[0][1].restored == [30, 60]
    time_to_quality.measure(job.job, NAMES, job.log)  # another one later: nothing of the first is repeated
    assert [name for name, _ in job.built] == NAMES
    time_to_quality.forget(job.job, ["unnoise"], job.log)
    assert {row.contender for row in read_table(job.log, Row)} == {"lucidrains", "real", "noise"}
    time_to_quality.measure(job.job, NAMES, job.log)
    assert len(job.built[-1][1].spent) == 60


# --- the page -----------------------------------------------------------------------------------------------


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


def test_the_spread_is_over_seeds_or_of_one_seed_its_interval():
    assert Spread.of([row(fd=fd) for fd in (3.0, 9.0, 4.0)], "fd") == (4, 3, 9)
    assert Spread.of([row(fd=10.0)], "fd") == (10, 9, 11)
    assert Spread(0.1234, 0.1, 0.2).text == "0.123 (0.100 to 0.200)"


def test_a_curve_has_equally_many_pictures_at_all_marks():
    part = Part(rows())
    assert {mark: one.middle for mark, one in part.curve("unnoise", "classes", "fd").items()} == {
        1: 41,
        2: 21,
        4: 11,
        10: 6,
    }
    assert part.last("unnoise", "classes", "fd") == (5, 4, 6)


def test_passing_is_read_off_between_marks():
    curve = {mark: Spread(value, value, value) for mark, value in ((1.0, 40.0), (4.0, 10.0), (8.0, 2.5))}
    assert passing(curve, 20.0) == (pytest.approx(2), 4)
    assert passing(curve, 50.0) == (1, 1)
    assert passing(curve, 5.0) == (pytest.approx(4 * 2**0.5), 8)
    assert passing(curve, 1.0) is None


def test_new_rows_take_the_place_of_old_ones_of_the_same_measurement():
    old = [row(fd=9.0), row("diffusers", fd=8.0)]
    new = [row(fd=7.0), row(fd=6.0, budget=4.0, minutes=4.0)]
    assert [one.fd for one in merged(old, new)] == [7, 8, 6]


def test_the_page_says_what_its_rows_say(tmp_path):
    docs = tmp_path / "docs"
    write_table(docs / "time_to_quality.csv", Row, rows()[:5])
    picture = torch.randint(0, 256, (12, 1, 28, 28), dtype=torch.uint8)
    time_to_quality.keep(tmp_path / "clothes-10" / "0" / "unnoise" / "pictures.safetensors", picture)
    quality_page.publish_page(rows(), tmp_path, docs)
    text = (docs / "time_to_quality.md").read_text()
    for words in (
        "After 10 minutes ours has a distance of 5.00 (4.00 to 6.00), and the best of the others, diffusers, "
        "one of 13.0 (12.0 to 14.0): ours / theirs is **0.38**; the spreads do not overlap.",
        "Ours passes it after about 2.9 minutes (the first mark below it: 4), by 500 pictures of each.",
        "| unnoise | 41.0 (40.0 to 42.0) | 21.0 (20.0 to 22.0) | 11.0 (10.0 to 12.0) | 6.00 (5.00 to 7.00) |",
        "| real pictures |  |  |  | 0.500 (0.500 to 0.500) |",
        "| diffusers 1.0 | steps | 1,234 | 12 | 6,400 | 20 | 250 |",
        "Seed by seed ours / theirs is 0.33, 0.38, 0.43.",
        "Medians of 3 seeds, in brackets the lowest and the highest.",
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


def test_a_page_says_of_how_many_seeds_each_number_is():
    found = [row(seed=0), row(seed=1), row("diffusers"), row("smalldiffusion"), row(seed=2)]
    others = "one seed of diffusers and smalldiffusion, in brackets the 95 % interval over pictures"
    told = f"Medians of 3 seeds, in brackets the lowest and the highest; of {others}."
    assert quality_page.seeds(Part(found)) == told
    found.append(row("diffusers", seed=1))
    assert "Medians of 3 seeds, 2 of diffusers, in brackets" in quality_page.seeds(Part(found))


def test_the_page_alone_is_drawn_of_what_is_there(tmp_path, monkeypatch, capsys):
    write_table(tmp_path / "docs" / "time_to_quality.csv", Row, rows(1))
    options = ["--page-only", "--threads", "1", "--work", str(tmp_path / "w"), "--docs", str(tmp_path / "docs")]
    monkeypatch.setattr(sys, "argv", ["time_to_quality", *options])
    time_to_quality.main()
    assert "time_to_quality.md" in capsys.readouterr().out
    assert "the 95 % interval over pictures" in (tmp_path / "docs" / "time_to_quality.md").read_text()
    monkeypatch.setattr(sys, "argv", ["time_to_quality", *options[:-1], str(tmp_path / "none")])
    with pytest.raises(SystemExit, match="measure first"):
        time_to_quality.main()


# --- sizes of our own ----------------------------------------------------------------------------------------


def test_each_size_trains_alone_and_once_and_is_scored(job, monkeypatch):
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
    texts = "\n".join(preset_scores.page(found, "nano"))
    assert re.search(r"\| `small` \| 3 \| 8 \| 480 \|", texts)


def test_the_page_of_sizes_says_which_is_best():
    found = [row(name, fd=fd, features=features, samples=1000) for name, fd, features in SIZES]
    text = "\n".join(preset_scores.page(found, "nano"))
    assert "After 10 minutes on a CPU `nano` draws best, which is what `default` is" in text
    assert "while `small` is what `default` is" in "\n".join(preset_scores.page(found, "small"))
    assert "| `large` | 1,234 | 12 | 6,400 | 250 | 9.00 (8.10 to 9.90) |  |  |" in text
    assert "| real pictures |  |  |  |  | 0.500" in text
    assert dict(preset_scores.scores(found)) == {"nano": "FD 2.00 in 10 min", "large": "FD 9.00 in 10 min"}
    assert "1,000 pictures drawn after 10 minutes of training on clothes" in preset_scores.how(found)
    assert preset_scores.how(found).endswith("real pictures get 0.50.")
    assert preset_scores.scores([]) == {}


SIZES = [
    ("nano", 2.0, "classes"),
    ("nano", 90.0, "lite0"),
    ("large", 9.0, "classes"),
    ("real", 0.5, "classes"),
]
