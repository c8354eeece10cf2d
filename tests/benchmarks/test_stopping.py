"""Tests of the check of --until-converged: where the rule says stop, and its tables."""

from benchmarks.stopping import stop_of, tables
from unnoise.runs.history import LevelRow, QualityRow


def rows_of(values):
    return [
        QualityRow(100 * place, 6400 * place, 10.0 * place, kid, kid - 1, kid + 1, 0.1 * place, 0.5, "lite0")
        for place, kid in enumerate(values, start=1)
    ]


def levels_of(values):
    return [
        LevelRow(100 * place, snr, loss) for place, loss in enumerate(values, start=1) for snr in (-1.0, 1.0)
    ]


def test_the_stop_is_that_of_the_rule_and_does_not_depend_on_later_measurements():
    rows, levels = rows_of([5, 3, 2, 2.5, 1.5]), levels_of([1, 2, 3, 4, 5])
    assert stop_of(rows, levels) == (400, 300, 500)
    assert stop_of(rows[:2], levels[:4]) is None  # two measures are too few
    assert stop_of(rows, levels_of([5, 4, 3, 2, 1])) is None


def test_the_tables_mark_the_stop_and_the_lowest_distance():
    found = tables(rows_of([5, 3, 2, 2.5, 1.5]), levels_of([1, 2, 3, 4, 5]))
    assert "| 400 (stop) | 2.50000 |" in found["measurements"]
    assert "| 500 (lowest) | 1.50000 |" in found["measurements"]
    assert found["stop"].splitlines()[2:] == [
        "| stop | 400 | +0% | 2.50000 | 40% |",
        "| lowest kernel distance until then | 300 | +33% | 2.00000 | 30% |",
        "| end of the run | 500 | -20% | 1.50000 | 50% |",
        "| lowest kernel distance of the run | 500 | -20% | 1.50000 | 50% |",
    ]
    never = tables(rows_of([5, 3]), levels_of([1, 2]))["stop"]
    assert "| end of the run | 200 |  | 3.00000 | 20% |" in never
