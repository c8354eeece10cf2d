"""Trials of the recipe: trained and judged once, each a line of the table, the best first."""

from benchmarks import judges, recipe_trials
from benchmarks.time_to_quality import Amounts, Job
from unnoise.utils.tables import read_table, write_table


def test_a_trial_is_one_line_with_all_judges_and_is_not_repeated(tmp_path, monkeypatch):
    monkeypatch.setattr(judges.lite0, "is_installed", lambda: False)
    pictures, log = judges.picture_set("digits", None), tmp_path / "results.csv"
    seen = judges.judges(pictures, tmp_path, quick=True)
    job = Job(pictures, 0, Amounts(0.01, early=20, late=20, between=()), tmp_path)
    for _ in range(2):
        recipe_trials.try_out(job, ["network.widths=[16,32]"], seen, log)
    rows = read_table(log, recipe_trials.Row)
    assert [row.contender for row in rows] == ["network.widths=[16,32]"]
    better = rows[0]._replace(contender="better", fd=0.5)
    both = [*rows, better, *(row._replace(features="lite0", fd=7.0) for row in (*rows, better))]
    write_table(log, recipe_trials.Row, both)
    head, _, *lines = recipe_trials.trials_table(read_table(log, recipe_trials.Row)).splitlines()
    assert "FD, classes | KID, classes | FD, lite0 | KID, lite0" in head
    assert [line.split(" | ")[0].strip("| ") for line in lines] == ["better", "network.widths=[16,32]"]
    assert "| 0.5 |" in lines[0]
    assert "| 7 |" in lines[0]
