"""The page about stopping says what the tables of a run say."""

from benchmarks.stopping import publish_page, stop_of
from unnoise.training.monitoring import LevelLoss, Quality


def rows_of(values):
    return [
        Quality(100 * place, 6400 * place, 10.0 * place, kid, kid - 1, kid + 1, 0.1 * place, 0.5, "lite0")
        for place, kid in enumerate(values, start=1)
    ]


def levels_of(values):
    return [
        LevelLoss(100 * place, snr, loss) for place, loss in enumerate(values, start=1) for snr in (-1.0, 1.0)
    ]


def test_the_stop_is_that_of_the_rule_and_looks_at_nothing_later():
    rows, levels = rows_of([5, 3, 2, 2.5, 1.5]), levels_of([1, 2, 3, 4, 5])
    assert stop_of(rows, levels) == (400, 300, 500)
    assert stop_of(rows[:2], levels[:4]) is None  # two measures are too few
    assert stop_of(rows, levels_of([5, 4, 3, 2, 1])) is None


def test_the_page(tmp_path):
    rows = rows_of([5, 3, 2, 2.5, 1.5])
    said = publish_page(tmp_path / "stopping.md", rows, levels_of([1, 2, 3, 4, 5]), 7)
    assert "stop at step 400" in said
    assert "at step 300 (+33%)" in said
    assert "at step 500 (-20%)" in said
    assert "inside the 95 % interval" in said
    assert "30% were copies there, and 50% at the end" in said
    text = (tmp_path / "stopping.md").read_text()
    assert "| 400 (stop) | 2.50000 |" in text
    assert "| 500 (lowest) | 1.50000 |" in text
    assert said in text
