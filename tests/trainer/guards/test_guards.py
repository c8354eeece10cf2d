"""Guards of a run: after a fault it goes back, and ends as a run with the same adjustments and no fault."""

import itertools
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from helpers.previews import draw_previews
from helpers.runs import digits, start
from unnoise.data.batches import Batches, split
from unnoise.diffusion.diffusion import Diffusion
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import EVENTS, EventRow, read_events, read_history
from unnoise.trainer import loop as training
from unnoise.trainer import recorder as recording
from unnoise.trainer.guards import Adjustments, Fault, Guards, spikes
from unnoise.trainer.loop import steps, train
from unnoise.trainer.monitoring import Monitor
from unnoise.trainer.train_step import TrainStep
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.timers import BudgetTimer

STEPS = 24


@pytest.fixture
def images():
    return digits()


@pytest.fixture
def saves(monkeypatch) -> set[int]:
    """The steps after which a state is saved and a preview drawn; losses are reported after each step."""
    chosen: set[int] = set()
    monkeypatch.setattr(
        BudgetTimer, "due", lambda interval, spent, _: interval.fraction == 0 or round(spent * STEPS) in chosen
    )
    draw_previews(monkeypatch, lambda spent: round(spent * STEPS) in chosen)
    monkeypatch.setattr(Monitor, "due", lambda *_: False)
    return chosen


def inject(monkeypatch, step: int, where: str, *, times: int = 1, only=lambda _: True) -> None:
    """Makes the loss of a training step, or its gradient, NaN or infinite, so many times."""
    losses, left = Diffusion.losses, iter(range(times))

    def spoilt(diffusion, *some, **more):
        loss, found = losses(diffusion, *some, **more)
        if diffusion.weights.average.steps != step - 1 or not torch.is_grad_enabled() or not only(diffusion):
            return loss, found
        if next(left, None) is None:
            return loss, found
        if where == "loss":
            return loss * math.nan, found
        loss.register_hook(lambda gradient: gradient * math.inf)
        return loss, found

    monkeypatch.setattr(Diffusion, "losses", spoilt)


def weights(run: Run) -> dict[str, torch.Tensor]:
    return {**load_file(run.states()[0]), **load_file(run.path / "model.safetensors")}


def same(left: Run, right: Run) -> bool:
    ours, theirs = weights(left), weights(right)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def begun(path, images, count: int, **changes) -> Run:
    """A run that was stopped and saved after so many steps."""
    run = start(path, STEPS, **changes)
    some(run, images, count)
    return run


def some(run: Run, images, count: int) -> list[TrainStep]:
    iterator = train(run, images)
    done = list(itertools.islice(iterator, count))
    iterator.close()
    return done


def warned(sentence: str, run: Run, images, count: int | None = None) -> list[TrainStep]:
    with pytest.warns(UserWarning, match=sentence):
        return list(train(run, images)) if count is None else some(run, images, count)


def copied(run: Run, path) -> Run:
    shutil.copytree(run.path, path)
    return Run.open(path)


def numbers(done) -> list[int]:
    return [step.progress.step for step in done]


@pytest.mark.usefixtures("saves")
@pytest.mark.parametrize(
    ("where", "changes"),
    [("loss", []), ("gradient", ["optimizer.name=adamw", "optimizer.max_gradient_norm=null"])],
)
def test_a_non_finite_loss_or_gradient_is_undone_and_does_not_come_again(
    tmp_path, images, monkeypatch, where, changes
):
    run = begun(tmp_path / "run", images, 7, recipe_changes=changes)
    never, resumed = copied(run, tmp_path / "never"), copied(run, tmp_path / "resumed")
    inject(monkeypatch, 9, where)
    done = warned(f"^The {where} became nan at step 9: going on from step 7 with 0.5 of", run, images)
    assert numbers(done) == [8, *range(8, STEPS + 1)]
    (event,) = read_events(run.path)
    assert event._replace(seconds=0.0) == EventRow(
        9,
        0.0,
        f"non-finite {where}",
        f"The {where} became nan",
        "going on from step 7 with 0.5 of the recipe's learning rate",
        7,
        0.5,
        "float32",
    )
    shutil.copy(run.path / EVENTS, never.path)  # the same changes, but nothing ever went wrong
    calm = list(train(never, images))
    assert [step.learning_rate for step in calm] == [step.learning_rate for step in done[1:]]
    rate = run.config.recipe.optimizer.learning_rate_at(7 / STEPS)
    assert calm[0].learning_rate == pytest.approx(rate / 2)
    assert same(run, never)
    assert all(bool(tensor.isfinite().all()) for tensor in weights(run).values())
    rows = [row.step for row in read_history(run.path / "history.csv") if row.training_loss]
    assert rows == [*range(1, STEPS + 1)]
    inject(monkeypatch, 9, where)
    assert numbers(warned("going on", resumed, images, 6))[-1] == 12
    assert numbers(train(Run.open(resumed.path), images))[0] == 13
    assert same(resumed, run)


@pytest.mark.usefixtures("saves")
def test_a_fault_before_the_first_state_starts_the_run_again(tmp_path, images, monkeypatch):
    run = start(tmp_path / "run", STEPS)
    inject(monkeypatch, 3, "loss")
    done = warned(r"at step 3: going on from the start with 0\.5 of", run, images, 6)[2:]
    assert numbers(done) == [1, 2, 3, 4]
    recipe = run.config.recipe
    slower = replace(recipe.optimizer, learning_rate=recipe.optimizer.learning_rate / 2)
    diffusion = replace(run.config, recipe=replace(recipe, optimizer=slower)).build()
    batches = Batches(images, split(len(images), run.config.data.held_out, 0).training, 16, seed=0)
    plain = steps(diffusion, batches, run.config.budget, seed=Adjustments(rollbacks=1).seed(0))
    for ours, theirs in zip(done, plain, strict=False):
        assert (ours.result.loss, ours.learning_rate) == (theirs.result.loss, theirs.learning_rate)


@pytest.mark.usefixtures("saves")
def test_a_fault_in_bfloat16_continues_in_float32(tmp_path, images, monkeypatch):
    run = begun(tmp_path / "run", images, 2, precision="bfloat16")
    inject(monkeypatch, 4, "loss", times=99, only=lambda diffusion: diffusion.denoiser.precision == "bfloat16")
    done = warned("going on from step 2 with float32 instead of bfloat16", run, images, 4)
    (event,) = read_events(run.path)
    assert (event.precision, event.learning_rate_factor) == ("float32", 1.0)
    rate = run.config.recipe.optimizer.learning_rate_at(4 / STEPS)
    assert (done[-1].progress.step, done[-1].learning_rate) == (5, rate)
    assert some(run, images, 1)[0].progress.step == 6
    diffusion = run.config.build()
    Adjustments.of(read_events(run.path)).apply(diffusion, Progress())
    assert diffusion.denoiser.precision == diffusion.ema.precision == "float32"


@pytest.mark.usefixtures("saves")
def test_a_fault_that_comes_four_times_ends_the_run(tmp_path, images, monkeypatch):
    run = begun(tmp_path / "run", images, 7)
    saved = weights(run)
    inject(monkeypatch, 9, "loss", times=99)
    sentence = r"^The loss became nan at step 9, after 3 rollbacks from about there\. The last good"
    with pytest.warns(UserWarning, match="The loss") as told, pytest.raises(UnnoiseError, match=sentence):
        list(train(run, images))
    factors = [0.5, 0.25, 0.125]
    assert [float(str(one.message).split()[13]) for one in told] == factors
    events = read_events(run.path)
    assert [event.learning_rate_factor for event in events] == [*factors, 0.125]
    assert [event.back_to for event in events] == [7, 7, 7, None]
    assert events[-1].action == "gave up"
    assert all(torch.equal(tensor, saved[name]) for name, tensor in weights(run).items())


def test_events_of_a_run_that_never_saved_are_deleted(tmp_path, images):
    run = start(tmp_path / "run", STEPS)
    fault = Fault("non-finite loss", "The loss became nan", step=3, last_good_step=2)
    with pytest.warns(UserWarning, match="from the start"):
        Guards(run, images, np.arange(9)).roll_back(fault, Progress(3, 48, 1.0))
    assert Adjustments.of(read_events(run.path)).learning_rate_factor == 0.5
    Guards(run, images, np.arange(9))
    assert read_events(run.path) == []


def test_a_loss_spike_is_undone(tmp_path, images, monkeypatch, saves):
    """The output is far too large from step 22 on: noticed at 24, when a state with it was saved already."""
    saves |= {19, 23}
    run, train_step, left = start(tmp_path / "run", STEPS), Diffusion.train_step, iter([True])
    never = begun(tmp_path / "never", images, 19)
    monkeypatch.setattr(spikes, "USUAL", 12)

    def spoilt(diffusion, *some, **more):
        if diffusion.weights.average.steps == 21 and next(left, None):
            with torch.no_grad():
                last = list(diffusion.network.parameters())[-2]
                last.mul_(300.0)
        return train_step(diffusion, *some, **more)

    monkeypatch.setattr(Diffusion, "train_step", spoilt)
    monkeypatch.setattr(recording.Recorder, "preview", lambda *_, **__: None)
    done = warned(
        r"^The loss rose from about \S+ to \S+ and stayed there at step 24: .* from step 19", run, images
    )
    assert numbers(done) == [*range(1, 24), *range(20, STEPS + 1)]
    (event,) = read_events(run.path)
    assert (event.kind, event.step, event.back_to) == ("loss spike", 24, 19)
    shutil.copy(run.path / EVENTS, never.path)
    list(train(never, images))
    assert same(run, never)


PICTURES = {
    "black": lambda real: real * 0,
    "grey": lambda real: real * 0 + 0.5,
    "pale": lambda real: 0.7 + real * 0.2,
}
SENTENCES = {
    "black": "All samples became all black",
    "grey": "All samples became all grey",
    "pale": r"The samples' \w+",
}


@pytest.mark.parametrize("fault", PICTURES)
def test_collapsed_samples_and_colour_shifts_are_undone(tmp_path, images, monkeypatch, saves, fault):
    """Of a network this young samples are noise, so real pictures stand for them, and spoilt ones at step 9."""
    saves |= {3, 6, 9}
    run, never, left = start(tmp_path / "run", STEPS), start(tmp_path / "never", STEPS), iter([True])
    real = images.take(np.arange(36)).float() / 255

    def draw(*_, **__):
        at_9 = {path.stem for path in run.states()} >= {"0000000009"} and next(left, None)
        return PICTURES[fault](real) if at_9 else real

    monkeypatch.setattr(training, "draw_samples", draw)
    done = warned(f"^{SENTENCES[fault]} .*at step 9: going on from step 6 with 0.5", run, images, 11)
    assert numbers(done) == [*range(1, 9), 7, 8, 9]
    (event,) = read_events(run.path)
    assert event.kind == ("colour shift" if fault == "pale" else "collapsed samples")
    assert (event.back_to, run.states()[0].stem) == (6, "0000000009")
    some(never, images, 6)
    shutil.copy(run.path / EVENTS, never.path)
    some(never, images, 3)
    assert same(run, never)


@pytest.mark.usefixtures("saves")
def test_a_fault_found_by_the_last_save_is_undone(tmp_path, images, monkeypatch):
    """A weight of the average that is no number after the last step is found when it is to be saved."""
    run, train_step, left = start(tmp_path / "run", 4), Diffusion.train_step, iter([True])

    def spoilt(diffusion, *some, **more):
        result = train_step(diffusion, *some, **more)
        if diffusion.weights.average.steps == 4 and next(left, None):
            with torch.no_grad():
                next(diffusion.weights.average.network.parameters()).fill_(math.inf)
        return result

    monkeypatch.setattr(Diffusion, "train_step", spoilt)
    done = warned("^A weight became NaN or infinite at step 4: going on from the start", run, images)
    assert numbers(done) == [1, 2, 3, 1, 2, 3, 4]
    assert all(bool(tensor.isfinite().all()) for tensor in weights(run).values())


def test_closing_at_a_fault_saves_nothing_and_keeps_the_adjustment(tmp_path, images, monkeypatch, saves):
    run = begun(tmp_path / "run", images, 2)
    inject(monkeypatch, 4, "loss")
    monkeypatch.setattr(recording, "known_to_have_failed", lambda _: False)  # as on a GPU, which is read seldom
    monkeypatch.setattr(BudgetTimer, "due", lambda *_: False)
    iterator = train(run, images)
    assert [next(iterator).progress.step for _ in range(2)] == [3, 4]
    with pytest.warns(UserWarning, match="^The loss became nan at step 4: going on from step 2"):
        iterator.close()
    assert [path.stem for path in run.states()] == ["0000000002"]
    rate = run.config.recipe.optimizer.learning_rate_at(2 / STEPS)
    assert some(run, images, 1)[0].learning_rate == pytest.approx(rate / 2)


def test_a_rollback_does_not_give_time_back(tmp_path, images):
    run = start(tmp_path / "run", STEPS)
    guards = Guards(run, images, np.arange(9))
    with pytest.warns(UserWarning, match="going on"):
        guards.roll_back(Fault("loss spike", "The loss rose", step=9, last_good_step=5), Progress(9, 144, 77.0))
    diffusion = run.config.build()
    adjustments = Adjustments.of(read_events(run.path))
    assert adjustments.apply(diffusion, Progress(5, 80, 40.0)) == Progress(5, 80, 77.0)
    assert adjustments.apply(diffusion, Progress(9, 144, 90.0)) == Progress(9, 144, 90.0)


def test_a_colour_shift_that_stays_is_reported_and_training_goes_on(tmp_path, images):
    run = start(tmp_path / "run", STEPS)
    guards = Guards(run, images, np.arange(200))
    real, now = images.take(np.arange(36)), Progress(9, 144, 1.0)
    for step in (3, 6):
        guards.check_samples(real, now._replace(step=step), name="sheet")
    for _ in range(3):
        with pytest.raises(Fault) as found:
            guards.check_samples(255 - real, now, name="sheet")
        with pytest.warns(UserWarning, match="going on from the start"):
            guards.roll_back(found.value, now)
    with pytest.warns(UserWarning, match="at step 9: going back did not help, so training goes on"):
        guards.check_samples(255 - real, now, name="sheet")
    assert [event.back_to for event in read_events(run.path)] == [0, 0, 0, None]


def test_a_healthy_run_has_no_events(tmp_path, images, monkeypatch):
    """With a report after each step and a preview after each fourth; a warning would be an error."""
    monkeypatch.setattr(
        BudgetTimer, "due", lambda interval, spent, _: interval.fraction == 0 or round(spent * 40) % 4 == 0
    )
    draw_previews(monkeypatch, lambda spent: round(spent * 40) % 4 == 0)
    monkeypatch.setattr(recording.Recorder, "write_history", lambda _: None)
    run = start(tmp_path / "run", 40)
    assert len(list(train(run, images))) == 40
    assert not (run.path / EVENTS).exists()


def test_a_run_that_gives_up_keeps_the_last_good_state(tmp_path, images):
    """Both what one resumes from and what one samples from are from before the fault."""
    run = begun(tmp_path / "run", images, 2)
    good = weights(run)
    some(run, images, 2)
    guards = Guards(run, images, np.arange(9))
    for _ in range(3):
        with pytest.warns(UserWarning, match="going on from step 2"):
            guards.roll_back(
                Fault("loss spike", "The loss rose", step=5, last_good_step=3), Progress(5, 80, 1.0)
            )
    some(run, images, 2)
    assert run.states()[0].stem == "0000000004"
    with pytest.raises(
        UnnoiseError, match=r"after 3 rollbacks .* The last good state is kept\. Train again with a lower"
    ):
        guards.roll_back(Fault("loss spike", "The loss rose", step=5, last_good_step=3), Progress(5, 80, 1.0))
    assert [path.stem for path in run.states()] == ["0000000002"]
    assert all(torch.equal(tensor, good[name]) for name, tensor in weights(run).items())


def test_a_fault_of_quality_samples_goes_back_to_the_last_sound_sheet(tmp_path, images):
    """Whose state is pinned; the quality may have been measured last long before."""
    guards = Guards(start(tmp_path / "run", STEPS), images, np.arange(200))
    real, now = images.take(np.arange(36)), Progress(9, 144, 1.0)
    for step, name in ((1, "quality"), (2, "quality"), (3, "sheet"), (6, "sheet")):
        assert guards.check_samples(real, now._replace(step=step), name=name) == "healthy"
    assert guards.sound_step == 6
    with pytest.raises(Fault) as found:
        guards.check_samples(0 * real, now, name="quality")
    assert found.value.last_good_step == 6
    guards.begin(3, [])
    assert guards.sound_step == 3


def test_spikes_of_long_steps_leave_a_state_before_them(tmp_path, images, monkeypatch, saves):
    """Where a step takes minutes each one is saved, and a spike is known only after three."""
    saves |= set(range(1, STEPS))
    run, train_step, left = start(tmp_path / "run", STEPS), Diffusion.train_step, iter([True])
    monkeypatch.setattr(spikes, "USUAL", 12)
    monkeypatch.setattr(recording.Recorder, "preview", lambda *_, **__: None)

    def spoilt(diffusion, *some, **more):
        if diffusion.weights.average.steps == 18 and next(left, None):
            with torch.no_grad():
                list(diffusion.network.parameters())[-2].mul_(300.0)
        return train_step(diffusion, *some, **more)

    monkeypatch.setattr(Diffusion, "train_step", spoilt)
    done = warned("^The loss rose from about .* stayed there at step 21: .* from step 17", run, images)
    assert numbers(done) == [*range(1, 21), *range(18, STEPS + 1)]
