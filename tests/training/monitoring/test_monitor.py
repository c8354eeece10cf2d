"""While a run trains: what it costs to ask how good it is, when it is done, and what is kept."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.oracles import column
from helpers.runs import digits, start
from unnoise.data.batches import split
from unnoise.runs.checkpoint import Progress
from unnoise.runs.config import Budget
from unnoise.runs.plan import Wishes, plan
from unnoise.training.loop import train
from unnoise.training.monitoring import (
    LevelLoss,
    Monitor,
    Point,
    Quality,
    TimeShare,
    best,
    best_step,
    converged,
    level_losses,
    monitor,
    read_monitor,
    verdict,
)
from unnoise.training.monitoring import sample_quality as quality
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tables import read_table, write_table
from unnoise.utils.tensor_files import read_tensors


def curve(*values: float, every: int = 100) -> list[Point]:
    return [Point(every * place, value) for place, value in enumerate(values, start=1)]


# --- when to stop ------------------------------------------------------------------------------------------


def test_a_curve_that_falls_has_not_converged():
    assert converged({"KID": curve(5, 4, 3, 2, 1)}) is None
    assert converged({}) is None
    assert converged({"KID": []}) is None


def test_it_waits_for_a_part_of_the_run():
    falling = [10.0 - place for place in range(10)]
    assert converged({"KID": curve(*falling, 2)}) is None  # best at 1,000, now 1,100
    sentence = converged({"KID": curve(*falling, 2, 3)})
    assert sentence is not None
    assert "KID was lowest at step 1,000 (1)" in sentence
    assert "step 1,200" in sentence
    many = [1.0] + [2.0] * 10
    assert converged({"KID": curve(*([3.0] * 99), *many[:1], *[2.0] * 11)}) is None  # 11,100 < 1.12 x 10,000
    assert converged({"KID": curve(*([3.0] * 99), *many[:1], *[2.0] * 13)}) is not None


def test_two_measures_are_too_few():
    assert converged({"KID": curve(1, 2)}) is None
    assert converged({"KID": curve(1, 2, 3)}) is not None


def test_every_curve_has_a_say():
    risen = curve(3, 2, 1, 2, 2, 2)
    falling = curve(6, 5, 4, 3, 2, 1)
    assert converged({"KID": risen}) is not None
    assert converged({"KID": risen, "the held-out loss": falling}) is None


def test_copies_are_never_the_best():
    rows = [
        Quality(100 * place, 0, 0.0, kid, 0.0, 1.0, copied, 0.5, "given")
        for place, (kid, copied) in enumerate([(4, 0), (3, 0.05), (1, 0.5), (0.5, 0.9), (0.4, 1)], start=1)
    ]
    assert best_step(rows) == 200
    assert best_step(rows[2:]) == 500  # where all are copies, the nearest
    rising = [LevelLoss(row.step, 0.0, float(row.step)) for row in rows]
    assert "step 200" in verdict(rows[:4], rising)


@pytest.mark.parametrize("turn", [800, 3_000, 20_000])
@pytest.mark.parametrize("seed", range(5))
def test_the_stop_comes_within_a_quarter_of_the_best_step(turn, seed):
    """Curves that fall until `turn` and rise after it, with wobbles, measured at each 20th of the turn."""
    rng, spacing = np.random.default_rng(seed), turn // 20
    kid, held_out = [], []
    for step in range(spacing, 3 * turn, spacing):
        kid.append(Point(step, abs(np.log(step / turn)) + 0.02 * rng.normal()))
        held_out.append(Point(step, abs(np.log(2 * step / turn)) + 0.001 * rng.normal()))  # turns much earlier
        if converged({"KID": kid, "held-out loss": held_out}):
            break
    lowest = best(kid)
    assert lowest.step <= kid[-1].step <= 1.25 * lowest.step
    assert abs(kid[-1].step - turn) <= 0.25 * turn


@pytest.mark.parametrize("share", [monitor.SHARE, monitor.SHARE_TO_STOP])
def test_watching_takes_at_most_its_share(share):
    """Simulated: each measure takes 3 to 9 seconds, of which the first was guessed too short."""
    thrift, rng, now, spent = TimeShare(share), np.random.default_rng(0), 0.0, 0.0
    for _ in range(20_000):
        now += 0.5
        if thrift.affordable(now, guess=1.0):
            seconds = float(rng.uniform(3, 9))
            thrift.record(seconds)
            now, spent = now + seconds, spent + seconds
    assert 0.9 * share < spent / now <= 1.01 * share


@pytest.mark.parametrize("stops", [False, True])
def test_a_run_that_is_to_stop_by_what_is_measured_is_measured_more_often(tmp_path, stops):
    run, images = start(tmp_path / "run", steps=6), digits()
    config = replace(run.config, data=replace(run.config.data, held_out=60), until_converged=stops)
    run, parts = run.with_config(config), split(len(images), 60, 0)
    watching = monitor.Monitor(run, config.build(), images, parts, Progress())
    earned = 1.5 / monitor.SHARE_TO_STOP  # the least that a first measure is guessed to take
    after = Progress(10**6, 10**9, 1.1 * earned)
    assert watching.due(after) == stops
    assert watching.due(after._replace(seconds=5 * earned))


# --- what is measured --------------------------------------------------------------------------------------


def test_the_loss_at_each_level_is_that_of_test_step(tmp_path):
    run, images = start(tmp_path / "run"), digits()
    model = run.config.build()
    taken = images.take(range(32))
    rows = level_losses(model.ema, taken, None, step=7)
    assert [row.step for row in rows] == [7] * len(rows)
    log_snrs = [row.log_snr for row in rows]
    assert log_snrs == sorted(log_snrs, reverse=True)
    again = level_losses(model.ema, taken, None, step=7)
    assert again == rows  # the same noises each time
    noises = torch.randn(32, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    rates = model.schedule(column(0.5 / len(rows)).double())
    expected = model.ema.losses(
        model.normalizer.normalize(taken), noises, *(rate.float().expand(32, 1, 1, 1) for rate in rates)
    )
    assert rows[0].loss == pytest.approx(float(expected.losses.mean()), rel=1e-5)


def test_quick_samples_are_the_same_each_time_and_leave_no_trace(tmp_path):
    run = start(tmp_path / "run")
    model = run.config.build()
    state = torch.get_rng_state()
    first, second = (quality.quick_samples(model.ema, run.config) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (quality.NUM_SAMPLES, 1, 8, 8)
    assert torch.equal(torch.get_rng_state(), state)
    alone = model.ema.generate(
        initial_noises=model.ema.noises(range(quality.FIRST_SEED, quality.FIRST_SEED + 2))(), num_steps=400
    )
    coarse = (first[:2].float() / 255 - alone).abs().mean()
    assert coarse < 0.1  # ten calls come near to what the flow leads to


@pytest.fixture
def judged(tmp_path, monkeypatch):
    """A run with 60 pictures held out, and a monitor that asks at each step."""
    monkeypatch.setattr(quality, "NUM_SAMPLES", 24)
    monkeypatch.setattr(monitor.Monitor, "due", lambda self, progress: progress.step % 2 == 0)
    run, images = start(tmp_path / "run", steps=6), digits()
    config = replace(run.config, data=replace(run.config.data, held_out=60))
    return run.with_config(config), images


def test_a_run_keeps_its_quality_and_its_best_weights(judged):
    run, images = judged
    yielded = list(train(run, images))
    assert [step.progress.step for step in yielded if step.quality is not None] == [2, 4, 6]
    rows, levels = read_monitor(run.path)
    assert [row.step for row in rows] == [2, 4, 6]
    assert all(row.low <= row.kid <= row.high for row in rows)
    assert all(0 <= row.copied <= 1 and 0 <= row.nearer <= 1 for row in rows)
    assert {row.step for row in levels} == {2, 4, 6}
    tensors, facts = read_tensors(run.path / "best.safetensors")
    assert int(facts["step"]) == best_step(rows) == min(rows, key=lambda row: row.kid).step
    loaded = run.load(best=True).network.state_dict()
    assert all(torch.equal(loaded[name], value) for name, value in tensors.items())
    for name in ("quality.png", "noise_levels.png"):
        with Image.open(run.path / name) as chart:
            assert np.asarray(chart).std() > 5


def test_watching_changes_nothing_in_what_is_learned(judged, tmp_path):
    run, images = judged
    list(train(run, images))
    other = start(tmp_path / "unwatched", steps=6)
    config = replace(other.config, data=replace(other.config.data, held_out=60))
    other = other.with_config(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(monitor.Monitor, "due", lambda *_: False)
        list(train(other, images))
    left, right = (one.load().network.state_dict() for one in (run, other))
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert not (other.path / "quality.csv").exists()


def test_what_was_measured_after_the_saved_state_is_forgotten(judged):
    run, images = judged
    list(train(run, images))
    parts = split(len(images), 60, 0)
    reopened = Monitor(run, run.config.build(), images, parts, Progress(step=4))
    assert [row.step for row in reopened.rows] == [2, 4]
    assert {row.step for row in reopened.levels} == {2, 4}


def test_best_is_refused_where_nothing_was_judged(tmp_path):
    run = start(tmp_path / "run")
    with pytest.raises(UnnoiseError, match="leave --best out"):
        run.load(best=True)


def test_few_held_out_pictures_are_no_judge(tmp_path):
    run, images = start(tmp_path / "run"), digits()
    few = Monitor(run, run.config.build(), images, split(len(images), 9, 0), Progress())
    enough = Monitor(run, run.config.build(), images, split(len(images), 10, 0), Progress())
    later = Progress(10_000, 640_000, 10_000.0)
    assert not few.due(later)
    assert enough.due(later)
    assert not enough.due(Progress(10, 640, 1.0))


# --- stopping for real ---------------------------------------------------------------------------------------


def fake_quality(values):
    """A judge whose kernel distances follow `values`, and a held-out loss that rises from the start."""
    given = iter(values)

    def look(self, progress):
        found = Quality(*progress, next(given), 0.0, 1.0, 0.0, 0.5, "given")
        self.rows.append(found)
        self.levels.append(LevelLoss(progress.step, 0.0, float(progress.step)))
        self.verdict = verdict(self.rows, self.levels)
        return found

    return look


def test_a_run_that_has_converged_ends_and_says_so(judged, monkeypatch):
    run, images = judged
    monkeypatch.setattr(monitor.Monitor, "due", lambda *_: True)
    monkeypatch.setattr(monitor.Monitor, "look", fake_quality([5, 4, 3, 2, 1, 2, 2, 2, 2, 2]))
    run = run.with_config(replace(run.config, until_converged=True, budget=Budget(unit="steps", amount=50)))
    yielded = list(train(run, images))
    assert yielded[-1].progress.step == 6  # best at 5, and 6 is more than 12 % later
    assert yielded[-1].held_out_loss is not None
    assert run.states()[0].stem == f"{6:010d}"
    goes_on = run.with_config(replace(run.config, until_converged=False))
    monkeypatch.setattr(monitor.Monitor, "look", fake_quality([2.0] * 50))
    assert len(list(train(goes_on, images))) == 44


def test_the_plan_of_a_run_without_a_known_end():
    config = plan(digits(), Wishes(until_converged=True))
    assert config.until_converged
    assert config.recipe.optimizer.decay == "constant"
    assert config.recipe.optimizer.warmup == 0
    assert config.budget.amount == 480
    limited = plan(digits(), Wishes(until_converged=True, budget=Budget(unit="steps", amount=10)))
    assert limited.budget == Budget(unit="steps", amount=10)
    assert not plan(digits(), Wishes()).until_converged


# --- tables ------------------------------------------------------------------------------------------------


def test_a_table_comes_back_as_it_was_written(tmp_path):
    rows = [
        Quality(1, 2, 3.5, -0.25, -1.0, 1e-9, 0.0, 1.0, "lite0"),
        Quality(4, 5, 6.0, 0.1, 0, 1, 0, 1, "a,b"),
    ]
    write_table(tmp_path / "quality.csv", Quality, rows)
    assert read_table(tmp_path / "quality.csv", Quality) == rows
    assert read_table(tmp_path / "none.csv", Quality) == []


@pytest.mark.parametrize("text", ["step\n1\n", "step,log_snr,loss\n1,2\n", "step,log_snr,loss\n1,x,3\n"])
def test_a_damaged_table_is_named(tmp_path, text):
    path = tmp_path / "noise_levels.csv"
    path.write_text(text)
    with pytest.raises(UnnoiseError, match=r"noise_levels\.csv is damaged"):
        read_table(path, LevelLoss)
