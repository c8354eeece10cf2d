"""The page on drawing in few calls: a line for each number of minutes, beside the distance of the run."""

from benchmarks.distillation import GUIDED, NEW, OLD, Row, row_title, tables


def row(who, minutes, calls, fd, seed=0, sampler="consistency"):
    return Row(
        dataset="d",
        seed=seed,
        minutes=minutes,
        who=who,
        sampler=sampler,
        calls=calls,
        judge="j",
        fd=fd,
        kid=0.1,
        rate=7,
    )


def test_distances_are_compared_with_those_of_the_same_seed_by_minutes():
    rows = [
        *(row(OLD, 10.0, 24, fd, seed, f"dpmpp_2m{GUIDED}") for seed, fd in ((0, 1.0), (1, 2.0))),
        row(OLD, 10.0, 30, 1.5, 0, "dpmpp_2m"),
        *(
            row(NEW, minutes, 2, fd, seed)
            for minutes, fd, seed in ((3.0, 4.0, 0), (10.0, 3.0, 0), (10.0, 5.0, 1))
        ),
        row(NEW, 10.0, 4, 2.0),
    ]
    lines = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in tables(rows, "d", "j").splitlines()[2:]
    ]
    assert [line[:3] for line in lines] == [
        ["run", "dpmpp_2m, guided", "24"],
        ["run", "dpmpp_2m", "30"],
        ["distilled, 3 min", "consistency", "2"],
        ["distilled, 10 min", "consistency", "2"],
        ["distilled, 10 min", "consistency", "4"],
    ]
    assert [line[4] for line in lines] == ["1 (1 to 1)", "1.5", "4", "2.75 (2.5 to 3)", "2"]


def test_a_row_of_the_sheet_names_what_was_drawn():
    assert row_title(f"{NEW}-consistency-1") == "distilled, 1 call"
    assert row_title(f"{OLD}-dpmpp_2m{GUIDED}-24") == "run, dpmpp_2m, guided, 24 calls"
