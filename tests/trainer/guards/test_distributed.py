"""Rollbacks in distributed training: rank 0 decides, and all ranks go back together."""

import pytest

from helpers.rank_tasks import roll_back
from helpers.ranks import run_ranks
from unnoise.runs.checkpoint import Run
from unnoise.runs.history import read_events, read_history


@pytest.mark.slow
def test_two_processes_roll_back_together(tmp_path):
    path = tmp_path / "run"
    done = run_ranks(2, roll_back, path)
    assert done.codes == [0, 0], done.err
    assert (path / "steps-0").read_text() == "1 2 1 2 3 4 1 2 3 4 5"
    assert (path / "steps-1").read_text() == "1 2 3 1 2 3 4 5 1 2 3 4 5"
    events = read_events(path)
    assert [(event.step, event.kind) for event in events] == [
        (3, "non-finite loss"),
        (5, "non-finite weights"),
    ]
    assert [event.learning_rate_factor for event in events] == [0.5, 0.25]
    assert [state.stem for state in Run.open(path).states()] == ["0000000005"]
    assert read_history(path / "history.csv")[-1].step == 5
