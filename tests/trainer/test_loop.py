"""Training loop: it learns, keeps its folder up to date, and resumes bit for bit."""

import itertools
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from helpers.previews import draw_previews
from helpers.runs import digits, start
from unnoise.data import load
from unnoise.data.batches import Batches, split
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.diffusion import StepResult
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.config import Budget
from unnoise.runs.history import read_history
from unnoise.runs.plan import TrainOptions, plan
from unnoise.trainer import loop as training
from unnoise.trainer import recorder as recording
from unnoise.trainer.loop import choose_device, steps, train
from unnoise.trainer.previews import previews as drawing
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.timers import BudgetTimer


@pytest.fixture
def images():
    return digits()


def state(run: Run):
    return load_file(run.states()[0])


def same(left, right) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.row("T8")
def test_a_run_writes_every_file_of_its_folder(tmp_path, images, monkeypatch):
    monkeypatch.setattr(BudgetTimer, "due", lambda *_: False)  # only the end reports, however slow the machine
    draw_previews(monkeypatch, lambda _: False)
    run = start(tmp_path / "run", steps=5)
    yielded = list(train(run, images))
    assert [step.progress.step for step in yielded] == [1, 2, 3, 4, 5]
    assert yielded[-1].progress.images == 80
    assert [step.spent for step in yielded] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert yielded[-1].held_out_loss > 0
    files = {str(path.relative_to(run.path)).split("/")[0] for path in run.path.rglob("*") if path.is_file()}
    assert files == {
        "config.json",
        "model.safetensors",
        "training",
        "history.csv",
        "previews.csv",
        "progress.jsonl",
        "loss.png",
        "log",
        "samples",
    }
    assert list((run.path / "log").glob("events.out.tfevents.*"))
    with Image.open(next(run.samples.glob("*.png"))) as sheet:
        assert np.asarray(sheet).std() > 10
    rows = read_history(run.path / "history.csv")
    assert rows[-1].step == 5
    assert rows[-1].held_out_loss == pytest.approx(yielded[-1].held_out_loss)
    mean = torch.stack([step.result.loss for step in yielded]).mean().item()
    assert rows[0].training_loss == pytest.approx(mean)
    assert rows[0].noise_loss == pytest.approx(
        torch.stack([step.result.noise_loss for step in yielded]).mean().item()
    )
    assert rows[0].image_loss > 0


@pytest.mark.row("J2", "L8")
@pytest.mark.parametrize(
    ("preset", "changes", "precision"),
    [
        ("default", [], "float32"),
        ("default", [], "bfloat16"),
        ("default", ["network.widths=[8,96]"], "bfloat16"),  # matrices that Muon takes in bfloat16, too
        ("default", ["optimizer.name=adamw"], "float32"),
        (
            "default",
            ['noise_levels={"kind": "LossAware", "num_slices": 4, "memory": 2, "uniform": 0.1}'],
            "float32",
        ),
        (
            "default",
            ["network.self_conditioning=true", "network.uncertainty=true", "network.dropout=0.1"],
            "float32",
        ),
        ("default", ["network.step_length=true", "network.dropout=0.1", "mean_velocity={}"], "bfloat16"),
        ("keras-ddim", [], "float32"),
    ],
)
def test_resume_is_bit_identical(tmp_path, images, preset, changes, precision):
    whole, halves = (
        start(tmp_path / name, 8, preset, changes, precision=precision) for name in ("whole", "halves")
    )
    expected = [step.result.loss.item() for step in train(whole, images)]
    iterator = train(halves, images)
    losses = [step.result.loss.item() for step in itertools.islice(iterator, 3)]
    iterator.close()
    assert Run.open(halves.path).states()[0].stem == "0000000003"
    torch.rand(100)  # what happens in between must not matter
    losses += [step.result.loss.item() for step in train(Run.open(halves.path), images)]
    assert losses == expected
    assert same(state(whole), state(halves))
    assert same(load_file(whole.path / "model.safetensors"), load_file(halves.path / "model.safetensors"))


def test_a_finished_run_takes_no_further_step(tmp_path, images):
    run = start(tmp_path / "run", 2)
    list(train(run, images))
    before = state(run)
    assert list(train(run, images)) == []
    assert same(state(run), before)


def test_a_finished_run_continues_with_a_larger_budget(tmp_path, images):
    run = start(tmp_path / "run", 2)
    list(train(run, images))
    longer = run.with_config(replace(run.config, budget=Budget(unit="images", amount=64.0)))
    assert [step.progress.step for step in train(Run.open(longer.path), images)] == [3, 4]


def test_only_the_last_two_states_are_kept(tmp_path, images, monkeypatch):

    class Always(BudgetTimer):
        def due(self, spent: float, seconds: float) -> bool:
            return True

    monkeypatch.setattr(recording, "BudgetTimer", Always)
    draw_previews(monkeypatch)
    run = start(tmp_path / "run", 4)
    list(train(run, images))
    assert [path.stem for path in run.states()] == ["0000000004", "0000000003"]
    assert len(list(run.samples.glob("*.png"))) == 4
    assert len(read_history(run.path / "history.csv")) == 8


def test_history_after_the_saved_step_is_dropped_on_resume(tmp_path, images):
    run = start(tmp_path / "run", 3)
    list(train(run, images))
    run.states()[0].rename(run.path / "training" / "0000000002.safetensors")
    history = run.path / "history.csv"
    rows = read_history(history)
    assert rows[-1].step == 3
    with recording.Recorder(run, run.config.build(), [], Progress(2, 32, 1.0)) as recorder:
        assert all(row.step <= 2 for row in recorder.history)


def test_training_on_digits_lowers_the_loss(tmp_path, images):
    run = start(tmp_path / "run", 300)
    yielded = list(train(run, images))
    losses = [step.result.loss.item() for step in yielded]
    assert losses[0] == pytest.approx(1, abs=0.15)  # velocity of unit variance, and a head of zeros
    assert np.mean(losses[-20:]) < 0.6
    assert yielded[-1].held_out_loss < 0.6
    rates = [step.learning_rate for step in yielded]
    assert 0 < rates[0] < 0.02 * max(rates)
    assert max(rates) == pytest.approx(run.config.recipe.optimizer.learning_rate, rel=0.01)
    assert rates[-1] < 0.02 * max(rates)


def test_a_budget_of_minutes_ends_in_time_with_a_learning_rate_near_0(tmp_path, images, monkeypatch):
    """On a clock that ticks 20 ms whenever it is read, 1.8 seconds are 90 steps."""
    ticks = itertools.count()
    monkeypatch.setattr(training, "time", SimpleNamespace(monotonic=lambda: 0.02 * next(ticks)))
    run = start(tmp_path / "run", 1)
    run = run.with_config(replace(run.config, budget=Budget(unit="minutes", amount=0.03)))
    yielded = list(train(run, images))
    assert yielded[-1].spent == 1
    assert 90 <= len(yielded) <= 91
    assert yielded[-1].progress.seconds == pytest.approx(1.8, abs=0.021)
    height = run.config.recipe.optimizer.learning_rate
    assert max(step.learning_rate for step in yielded) == pytest.approx(height, rel=0.05)
    assert yielded[-1].learning_rate < 0.03 * height


def test_stopping_saves_the_current_step(tmp_path, images):
    run = start(tmp_path / "run", 50)
    asked = iter([False] * 4 + [True])
    assert len(list(train(run, images, "cpu", lambda: next(asked)))) == 4
    assert [path.stem for path in run.states()] == ["0000000004"]
    assert read_history(run.path / "history.csv")[-1].step == 4


def test_an_error_in_a_preview_loses_no_weights(tmp_path, images, monkeypatch):
    run = start(tmp_path / "run", 3)
    monkeypatch.setattr(recording.Recorder, "preview", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(train(run, images))
    assert [path.stem for path in run.states()] == ["0000000003"]


def test_pictures_of_six_channels_train(tmp_path):
    np.save(tmp_path / "six.npy", np.random.default_rng(0).integers(0, 256, (12, 6, 6, 6), dtype=np.uint8))
    six = load(str(tmp_path / "six.npy"), layout="NCHW")
    assert six.channels == 6
    config = plan(six, TrainOptions(batch_size=4, budget=Budget(unit="steps", amount=1.0)))
    run = Run.create(tmp_path / "run", config)
    list(train(run, six))
    assert run.load().generate(2, 2).shape == (2, 6, 6, 6)
    assert len(list(run.samples.glob("*.png"))) == 1


def test_a_nan_loss_that_stays_ends_the_run_and_keeps_the_saved_state(tmp_path, images):
    run = start(tmp_path / "run", 50)
    iterator = train(run, images)
    next(iterator)
    iterator.close()
    saved = state(run)
    optimizer = replace(run.config.recipe.optimizer, learning_rate=1e30, warmup=0.0, max_gradient_norm=None)
    broken = run.with_config(replace(run.config, recipe=replace(run.config.recipe, optimizer=optimizer)))
    sentence = r"The loss became nan at step \d+, after 3 rollbacks from about there\. The last good"
    with pytest.warns(UserWarning, match="going on from"), pytest.raises(UnnoiseError, match=sentence):
        list(train(broken, images))
    assert same(state(run), saved)


def test_non_finite_weights_are_never_saved(tmp_path, images):
    run = start(tmp_path / "run", 2)
    diffusion = run.config.build()
    with torch.no_grad():
        next(diffusion.network.parameters()).fill_(float("inf"))
    recorder = recording.Recorder(run, diffusion, [], Progress())
    with recorder, pytest.raises(UnnoiseError, match="A weight became NaN or infinite"):
        recorder.save()
    assert not run.states()


def test_steps_writes_nothing_and_needs_no_run(tmp_path, images):
    run = start(tmp_path / "run", 4)
    diffusion = run.config.build()
    batches = Batches(images, split(len(images), 89, 0).training, 16, seed=0)
    losses = [step.result.loss.item() for step in steps(diffusion, batches, run.config.budget)]
    assert sorted(path.name for path in run.path.iterdir()) == ["config.json"]
    assert losses == [step.result.loss.item() for step in train(run, images)]


@pytest.mark.row("T7")
def test_a_budget_of_images_is_a_number_of_epochs(tmp_path, images, monkeypatch):
    """The book trains for 50 epochs: every picture that is trained on comes 50 times, and no other ever."""
    training = split(len(images), len(images) - 40, 0).training
    diffusion = start(tmp_path / "run").config.build()
    seen: list[torch.Tensor] = []

    def look(batch, classes, **_):
        seen.append(batch)
        return StepResult(*(torch.zeros(()),) * 3)

    monkeypatch.setattr(diffusion, "train_step", look)
    batches = Batches(images, training, 16, seed=0)
    done = list(steps(diffusion, batches, Budget(unit="images", amount=50 * 40)))
    assert (len(done), done[-1].progress.images) == (125, 50 * 40)
    pictures, counts = torch.cat(seen).unique(dim=0, return_counts=True)
    assert (counts == 50).all()
    assert torch.equal(pictures, images.take(training).unique(dim=0))


@pytest.mark.row("D3", "D5")
def test_the_held_out_loss_uses_the_same_pictures_each_time(tmp_path, images, monkeypatch):
    """So two losses differ by the network alone.

    The Keras example shuffles them anew each time, because its distance is a mean over batches and depends on
    who meets in one; no measure here does.
    """
    seen, measure = [], drawing.held_out_loss

    def spy(diffusion, held_out):
        seen.append(torch.cat([pictures for pictures, _ in held_out]))
        loss = measure(diffusion, held_out)
        assert measure(diffusion, held_out) == loss  # and so are their noises
        return loss

    monkeypatch.setattr(drawing, "held_out_loss", spy)
    draw_previews(monkeypatch)
    run = start(tmp_path / "run", 4)
    run = run.with_config(replace(run.config, data=replace(run.config.data, flip=True, held_out=64)))
    list(itertools.islice(train(run, images), 2))
    list(train(Run.open(run.path), images))
    assert len(seen) >= 4
    held_out = images.take(split(len(images), 64, 0).held_out)
    assert all(torch.equal(pictures, held_out) for pictures in seen)


def test_previews_take_a_third_of_the_sampling_steps_and_the_last_one_all(tmp_path, images, monkeypatch):
    draw_previews(monkeypatch)
    asked = []

    def spy(_self, num_images, *, sampling, **_options):
        asked.append(sampling.num_steps)
        return torch.rand(num_images, 1, 8, 8)

    monkeypatch.setattr(Denoiser, "generate", spy)
    for steps_of_all, coarse in ((90, 30), (30, 20), (4, 4)):
        run = start(tmp_path / f"run-{steps_of_all}", 3, recipe_changes=[f"sampling.num_steps={steps_of_all}"])
        list(train(run, images))
        assert asked == [coarse, coarse, steps_of_all]
        asked.clear()


def test_history_is_written_with_each_state_before_the_preview(tmp_path, images, monkeypatch):
    monkeypatch.setattr(BudgetTimer, "due", lambda *_: True)
    draw_previews(monkeypatch, lambda _: False)
    run = start(tmp_path / "run", 9)
    list(itertools.islice(train(run, images), 3))
    assert not list(run.samples.glob("*.png"))
    assert [row.step for row in read_history(run.path / "history.csv")] == [1, 2, 3]
    assert [path.stem for path in run.states()] == ["0000000003", "0000000002"]


def test_a_damaged_history_is_refused_in_one_sentence(tmp_path):
    path = tmp_path / "history.csv"
    path.write_text("step,images\nx,2\n")
    with pytest.raises(UnnoiseError, match="is damaged"):
        read_history(path)
    assert read_history(tmp_path / "none.csv") == []


def test_choose_device_refuses_devices_that_do_not_work():
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    assert choose_device("cpu") == torch.device("cpu")
    for name in ("gpu", "cuda:99"):
        with pytest.raises(UnnoiseError, match=f"The device '{name}' cannot be used here"):
            choose_device(name)


def test_a_request_to_stop_interrupts_sampling(tmp_path, images, monkeypatch):
    """A sheet may take minutes to draw, and who asks a machine back waits for seconds."""
    monkeypatch.setattr(BudgetTimer, "due", lambda *_: True)
    draw_previews(monkeypatch)
    asked, calls, walk = [False], [], Denoiser.reverse_diffusion

    def interrupted(*arguments, **options):
        for prediction in walk(*arguments, **options):
            calls.append(1)
            asked[0] = True
            yield prediction

    monkeypatch.setattr(Denoiser, "reverse_diffusion", interrupted)
    run = start(tmp_path / "run", 50)
    assert len(list(train(run, images, "cpu", lambda: asked[0]))) == 1
    assert len(calls) == 1  # of three that a sheet takes
    assert [path.stem for path in run.states()] == ["0000000001"]
    assert not list(run.samples.glob("*.png"))
