"""best.safetensors and quality.csv name the same step, whatever happens to the run."""

import numpy as np
import pytest
import torch

from helpers.runs import digits, start
from unnoise.data.batches import split
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.history import LevelRow, QualityRow, read_measurements
from unnoise.trainer.monitoring import Monitor, best_step, monitor
from unnoise.trainer.monitoring import best_weights as keeping
from unnoise.utils.files import WriteError
from unnoise.utils.tensor_files import read_facts, read_tensors


class Killed(BaseException):
    """The process was killed."""


@pytest.fixture
def measuring(tmp_path, monkeypatch):
    """A run whose weights hold the step that they are of, and a function that opens its monitor at a step."""
    run, images = start(tmp_path / "run"), digits()
    diffusion, parts = run.config.build(), split(len(images), run.config.data.held_out, 0)
    values, numbers = {}, np.random.default_rng(0)
    monkeypatch.setattr(monitor.SampleScorer, "of", lambda *_, **__: score)
    monkeypatch.setattr(monitor, "quick_samples", lambda *_: torch.zeros(1))
    monkeypatch.setattr(monitor, "level_losses", lambda *arguments: [LevelRow(arguments[-1], 0.0, 1.0)])

    def score(_, step, images, seconds):
        kid = values.setdefault(step, float(numbers.uniform()))
        return QualityRow(step, images, seconds, kid, 0.0, 1.0, 0.0, 0.5, "given")

    def measure(opened: Monitor, step: int) -> None:
        with torch.no_grad():
            for weight in diffusion.ema.network.parameters():
                weight.fill_(step)
        opened.measure(Progress(step, 16 * step, float(step)))

    def at(step: int) -> Monitor:
        return Monitor(run, diffusion, images, parts, Progress(step, 16 * step, float(step)))

    (run.path / "training").mkdir()
    return run, at, measure, values


def save(run: Run, step: int, keep: int = 3) -> None:
    (run.path / "training" / f"{step:010d}.safetensors").write_bytes(b"")
    for old in run.states()[keep:]:
        old.unlink()


def agree(run: Run) -> bool:
    """Whether both name the same step, and the weights are those of it."""
    rows, levels = read_measurements(run.path)
    if not rows:
        return not run.best_weights.exists()
    tensors, facts = read_tensors(run.best_weights)
    best = best_step(rows)
    same = int(facts["step"]) == best and all(bool((value == best).all()) for value in tensors.values())
    return same and {row.step for row in levels} == {row.step for row in rows}


def test_a_rollback_brings_the_best_weights_of_then_back(measuring):
    run, at, measure, values = measuring
    values.update({10: 0.5, 20: 0.9, 30: 0.1, 40: 0.05})
    opened = at(0)
    for step in (10, 20, 30, 40):
        measure(opened, step)
        save(run, step)
    assert read_facts(run.best_weights)["step"] == "40"
    for path in run.states()[:2]:  # a rollback to step 20
        path.unlink()
    assert [row.step for row in at(20).rows] == [10, 20]
    assert read_facts(run.best_weights)["step"] == "10"
    assert agree(run)
    assert not list(run.path.glob("training/best-*"))


@pytest.mark.parametrize("place", ["best", "aside", "quality.csv", "noise_levels.csv"])
@pytest.mark.parametrize("after", [False, True])
def test_a_kill_between_writes_is_put_right_by_the_next_start(measuring, monkeypatch, place, after):
    run, at, measure, values = measuring
    values.update({10: 0.5, 20: 0.4, 30: 0.1})
    opened = at(0)
    for step in (10, 20):
        measure(opened, step)
        save(run, step)

    def deadly(action, wanted):
        def done(*arguments, **options):
            if wanted(arguments) and not after:
                raise Killed
            action(*arguments, **options)
            if wanted(arguments):
                raise Killed

        return done

    with monkeypatch.context() as patch:
        if place in ("best", "aside"):
            module, name = (keeping, "write_tensors") if place == "best" else (keeping.shutil, "copyfile")
            patch.setattr(module, name, deadly(getattr(module, name), lambda _: True))
        else:
            wanted = lambda arguments: arguments[0].name == place  # noqa: E731
            patch.setattr(monitor, "write_table", deadly(monitor.write_table, wanted))
        with pytest.raises(Killed):
            measure(opened, 30)
    reopened = at(20)
    assert agree(run)
    assert [row.step for row in reopened.rows] == [10, 20]
    measure(reopened, 30)
    assert agree(run)
    assert read_facts(run.best_weights)["step"] == "30"


def test_random_measurements_states_rollbacks_and_restarts_agree(measuring):
    run, at, measure, _ = measuring
    numbers = np.random.default_rng(1)
    opened, step = at(0), 0
    for _ in range(150):
        step += 1
        match numbers.choice(["measure", "save", "back", "restart"], p=[0.5, 0.3, 0.1, 0.1]):
            case "measure":
                measure(opened, step)
            case "save":
                save(run, step)
            case "back" | "restart" as what:
                states = run.states()
                if what == "back" and len(states) > 1:
                    states[0].unlink()
                step = int(run.states()[0].stem) if states else 0
                opened = at(step)
        assert agree(run)
    assert len(list(run.path.glob("training/best-*"))) <= 3


def test_without_weights_set_aside_the_best_ones_keep_their_row(measuring):
    """As in runs of before they were, and where the weights set aside are damaged."""
    run, at, measure, values = measuring
    values.update({10: 0.5, 30: 0.1})
    opened = at(0)
    for step in (10, 30):
        measure(opened, step)
    assert not list(run.path.glob("training/best-*"))
    assert [row.step for row in at(20).rows] == [10, 30]
    assert agree(run)
    run.best_weights.write_bytes(b"damaged")
    assert at(20).rows == []
    assert agree(run)


def test_a_disk_that_is_full_at_the_start_is_no_error(measuring, monkeypatch):
    run, at, measure, values = measuring
    values.update({10: 0.5, 30: 0.7})
    opened = at(0)
    for step in (10, 30):
        measure(opened, step)

    def full(*_):
        raise WriteError("Cannot write")

    with monkeypatch.context() as patch:
        patch.setattr(monitor, "write_table", full)
        reopened = at(20)
    assert [row.step for row in reopened.rows] == [10]
    measure(reopened, 40)
    assert agree(run)
