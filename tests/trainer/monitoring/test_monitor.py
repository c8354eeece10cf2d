"""Monitoring of a run: quality of samples, loss at each noise level, convergence."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.previews import draw_previews
from helpers.runs import digits, start
from helpers.sampling import column
from unnoise.api.training_progress import tell_results
from unnoise.data.batches import split
from unnoise.runs.checkpoint import Progress
from unnoise.runs.config import Budget
from unnoise.runs.history import QUALITY, LevelRow, QualityRow, read_measurements
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer.loop import train
from unnoise.trainer.monitoring import Monitor, best_step, convergence_reason, monitor
from unnoise.trainer.monitoring import sample_quality as quality
from unnoise.trainer.monitoring.convergence import CurvePoint, converged, lowest
from unnoise.trainer.monitoring.level_losses import level_losses
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tables import read_table, write_table
from unnoise.utils.tensor_files import read_facts, read_tensors
from unnoise.utils.timers import BudgetTimer


def curve(*values: float, every: int = 100) -> list[CurvePoint]:
    return [CurvePoint(every * place, value) for place, value in enumerate(values, start=1)]


# --- when to stop ------------------------------------------------------------------------------------------


def test_a_curve_that_falls_has_not_converged():
    assert converged({"KID": curve(5, 4, 3, 2, 1)}) is None
    assert converged({}) is None
    assert converged({"KID": []}) is None


def test_a_curve_converges_after_12_percent_more_steps_without_improvement():
    falling = [10.0 - place for place in range(10)]
    assert converged({"KID": curve(*falling, 2)}) is None  # best at 1,000, now 1,100
    sentence = converged({"KID": curve(*falling, 2, 3)})
    assert sentence is not None
    assert "KID was lowest at step 1,000 (1)" in sentence
    assert "step 1,200" in sentence
    many = [1.0] + [2.0] * 10
    assert converged({"KID": curve(*([3.0] * 99), *many[:1], *[2.0] * 11)}) is None  # 11,100 < 1.12 x 10,000
    assert converged({"KID": curve(*([3.0] * 99), *many[:1], *[2.0] * 13)}) is not None


def test_two_points_of_a_curve_are_too_few_to_converge():
    assert converged({"KID": curve(1, 2)}) is None
    assert converged({"KID": curve(1, 2, 3)}) is not None


def test_a_run_converges_only_where_every_curve_has():
    risen = curve(3, 2, 1, 2, 2, 2)
    falling = curve(6, 5, 4, 3, 2, 1)
    assert converged({"KID": risen}) is not None
    assert converged({"KID": risen, "the held-out loss": falling}) is None


def test_pictures_that_repeat_two_are_too_few_to_find_copies_among():
    class Means:
        name, side = "means", 8

        def __call__(self, pictures):
            return pictures.float().mean((2, 3))

    two = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(50, 1)
    scorer = quality.SampleScorer(Means(), torch.rand(30, 3), training=two, held_out=two[:0])
    row = scorer(torch.randint(0, 256, (40, 3, 8, 8), dtype=torch.uint8), 1, 1, 1.0)
    assert (row.copied, row.nearer, row.extractor) == (0, 0.5, "means at 8 px")


def test_samples_that_are_copies_are_never_the_best():
    rows = [
        QualityRow(100 * place, 0, 0.0, kid, 0.0, 1.0, copied, 0.5, "given")
        for place, (kid, copied) in enumerate([(4, 0), (3, 0.05), (1, 0.5), (0.5, 0.9), (0.4, 1)], start=1)
    ]
    assert best_step(rows) == 200
    assert best_step(rows[2:]) == 500  # where all are copies, the nearest
    rising = [LevelRow(row.step, 0.0, float(row.step)) for row in rows]
    assert "step 200" in convergence_reason(rows[:4], rising)


@pytest.mark.parametrize("turn", [800, 3_000, 20_000])
@pytest.mark.parametrize("seed", range(5))
def test_the_stop_comes_within_a_quarter_of_the_best_step(turn, seed):
    """Curves that fall until `turn` and rise after it, with noise, measured at each 20th of it.

    The held-out loss turns much earlier.
    """
    rng, spacing = np.random.default_rng(seed), turn // 20
    kid, held_out = [], []
    for step in range(spacing, 3 * turn, spacing):
        kid.append(CurvePoint(step, abs(np.log(step / turn)) + 0.02 * rng.normal()))
        held_out.append(CurvePoint(step, abs(np.log(2 * step / turn)) + 0.001 * rng.normal()))
        if converged({"KID": kid, "held-out loss": held_out}):
            break
    best = lowest(kid)
    assert best.step <= kid[-1].step <= 1.25 * best.step
    assert abs(kid[-1].step - turn) <= 0.25 * turn


@pytest.mark.parametrize("stops", [False, True])
def test_a_run_that_stops_once_converged_is_measured_more_often(tmp_path, stops):
    run, images = start(tmp_path / "run", steps=6), digits()
    config = replace(run.config, data=replace(run.config.data, held_out=60), until_converged=stops)
    run, parts = run.with_config(config), split(len(images), 60, 0)
    watched = Monitor(run, config.build(), images, parts, Progress())
    enough = 1.5 / monitor.CONVERGENCE_SHARE  # the guess for the first measurement is more than this
    after = Progress(10**6, 10**9, 1.1 * enough)
    assert watched.due(after) == stops
    assert watched.due(after._replace(seconds=5 * enough))


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


def test_quick_samples_repeat_and_leave_the_global_generator_alone(tmp_path):
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
    assert coarse < 0.1  # six steps come near the solution of the ODE


@pytest.mark.parametrize(
    ("copied", "told", "earlier"), [((0, 0), False, False), ((0, 0.25), True, True), ((0.5, 0.25), True, False)]
)
def test_copies_are_told_at_the_end(tmp_path, capsys, copied, told, earlier):
    """With the earlier weights that draw none, where there are such."""
    run = start(tmp_path / "run")
    rows = [
        QualityRow(step, 1, 1.0, 1.0, 0.9, 1.1, share, 0.5, "lite0") for step, share in enumerate(copied, 1)
    ]
    write_table(run.path / QUALITY, QualityRow, rows)
    tell_results(run, stopped=False)
    said = capsys.readouterr().err
    assert ("25% of the samples at step 2 are copies of training pictures" in said) == told
    assert ("Those of step 1 are not" in said) == earlier


@pytest.fixture
def measured(tmp_path, monkeypatch):
    """A run with 60 held-out pictures, and a monitor that measures at every second step."""
    monkeypatch.setattr(quality, "NUM_SAMPLES", 24)
    monkeypatch.setattr(Monitor, "due", lambda self, progress: progress.step % 2 == 0)
    run, images = start(tmp_path / "run", steps=6), digits()
    config = replace(run.config, data=replace(run.config.data, held_out=60))
    return run.with_config(config), images


def test_a_run_stores_its_quality_and_its_best_weights(measured):
    run, images = measured
    yielded = list(train(run, images))
    assert [step.progress.step for step in yielded if step.quality is not None] == [2, 4, 6]
    rows, levels = read_measurements(run.path)
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


def test_a_run_that_is_measured_has_a_state_to_go_on_from(measured, monkeypatch):
    """Its best weights would be all that is left of it where it is killed before the first save."""
    monkeypatch.setattr(BudgetTimer, "due", lambda *_: False)
    draw_previews(monkeypatch, lambda _: False)
    run, images = measured
    iterator = train(run, images)
    next(iterator)
    assert not run.states()
    next(iterator)
    assert run.best_weights.exists()
    assert [path.stem for path in run.states()] == ["0000000002"]
    iterator.close()


def test_monitoring_does_not_change_the_weights(measured, tmp_path):
    run, images = measured
    list(train(run, images))
    other = start(tmp_path / "unwatched", steps=6)
    config = replace(other.config, data=replace(other.config.data, held_out=60))
    other = other.with_config(config)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Monitor, "due", lambda *_: False)
        list(train(other, images))
    left, right = (one.load().network.state_dict() for one in (run, other))
    assert all(torch.equal(left[name], right[name]) for name in left)
    assert not (other.path / "quality.csv").exists()


def test_measurements_after_the_saved_state_are_dropped(measured, monkeypatch):
    monkeypatch.setattr(BudgetTimer, "due", lambda interval, spent, _: round(6 * spent) == 4)
    run, images = measured
    list(train(run, images))
    parts = split(len(images), 60, 0)
    reopened = Monitor(run, run.config.build(), images, parts, Progress(step=4))
    assert [row.step for row in reopened.rows] == [2, 4]
    assert {row.step for row in reopened.levels} == {2, 4}
    rows, _ = read_measurements(run.path)
    assert rows == reopened.rows
    assert int(read_facts(run.best_weights)["step"]) == best_step(rows)


def test_loading_the_best_weights_is_refused_before_a_measurement(tmp_path):
    run = start(tmp_path / "run")
    with pytest.raises(UnnoiseError, match=r"has no best\.safetensors.*Leave --best out"):
        run.load(best=True)


def test_nothing_is_measured_with_fewer_than_ten_held_out_pictures(tmp_path):
    run, images = start(tmp_path / "run"), digits()
    few = Monitor(run, run.config.build(), images, split(len(images), 9, 0), Progress())
    enough = Monitor(run, run.config.build(), images, split(len(images), 10, 0), Progress())
    later = Progress(10_000, 640_000, 10_000.0)
    assert not few.due(later)
    assert enough.due(later)
    assert not enough.due(Progress(10, 640, 1.0))


# --- stopping for real ---------------------------------------------------------------------------------------


def fake_quality(values):
    """A measurement whose kernel distances follow `values`, with a held-out loss that rises from the start."""
    given = iter(values)

    def measure(self, progress):
        found = QualityRow(*progress, next(given), 0.0, 1.0, 0.0, 0.5, "given")
        self.rows.append(found)
        self.levels.append(LevelRow(progress.step, 0.0, float(progress.step)))
        self.convergence_reason = convergence_reason(self.rows, self.levels)
        return found

    return measure


def test_a_run_ends_once_it_has_converged(measured, monkeypatch):
    run, images = measured
    monkeypatch.setattr(Monitor, "due", lambda *_: True)
    monkeypatch.setattr(Monitor, "measure", fake_quality([5, 4, 3, 2, 1, 2, 2, 2, 2, 2]))
    run = run.with_config(replace(run.config, until_converged=True, budget=Budget(unit="steps", amount=50)))
    yielded = list(train(run, images))
    assert yielded[-1].progress.step == 6  # best at 5, and 6 is more than 12 % later
    assert yielded[-1].held_out_loss is not None
    assert run.states()[0].stem == f"{6:010d}"
    goes_on = run.with_config(replace(run.config, until_converged=False))
    monkeypatch.setattr(Monitor, "measure", fake_quality([2.0] * 50))
    assert len(list(train(goes_on, images))) == 44


def test_a_plan_until_converged_has_a_constant_learning_rate_and_480_minutes():
    config = plan(digits(), TrainOptions(until_converged=True))
    assert config.until_converged
    assert config.recipe.optimizer.decay == "constant"
    assert config.recipe.optimizer.warmup == 0
    assert config.budget.amount == 480
    limited = plan(digits(), TrainOptions(until_converged=True, budget=Budget(unit="steps", amount=10)))
    assert limited.budget == Budget(unit="steps", amount=10)
    assert not plan(digits(), TrainOptions()).until_converged


# --- tables ------------------------------------------------------------------------------------------------


def test_quality_rows_are_read_as_they_were_written(tmp_path):
    rows = [
        QualityRow(1, 2, 3.5, -0.25, -1.0, 1e-9, 0.0, 1.0, "lite0"),
        QualityRow(4, 5, 6.0, 0.1, 0, 1, 0, 1, "a,b"),
    ]
    write_table(tmp_path / "quality.csv", QualityRow, rows)
    assert read_table(tmp_path / "quality.csv", QualityRow) == rows
    assert read_table(tmp_path / "none.csv", QualityRow) == []


@pytest.mark.parametrize("text", ["step\n1\n", "step,log_snr,loss\n1,2\n", "step,log_snr,loss\n1,x,3\n"])
def test_a_damaged_table_is_refused_by_name(tmp_path, text):
    path = tmp_path / "noise_levels.csv"
    path.write_text(text)
    with pytest.raises(UnnoiseError, match=r"noise_levels\.csv is damaged"):
        read_table(path, LevelRow)
