"""Tests of the speedrun: the clock, the judge, copies, and what counts as a record."""

import sys
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from benchmarks.judges import noise_pictures, picture_set, real_pictures
from benchmarks.speedrun import __main__ as speedrun
from benchmarks.speedrun import judging, racing, records
from benchmarks.speedrun.racing import Entry
from benchmarks.speedrun.tasks import TASKS, TRACKS, Task, write_data
from unnoise.data.sources.named import FASHION_FOLDERS
from unnoise.utils.errors import UnnoiseError

DIGITS = Task("digits", 1.0, source="digits")
MINE = Entry("mine.py", b"print('mine')")

ENTRY = """
import sys
import numpy as np

data, seed, out = np.load(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
print("seed", seed)
images = data["images"]
assert len(data["labels"]) == len(images)
if seed == 1:
    sys.exit("it went wrong")
noise = np.random.default_rng(0).permutation(images.flat).reshape(images.shape)
np.save(out, (images if seed == 0 else noise)[:1000])
"""


@pytest.fixture(scope="module")
def digits():
    return picture_set("digits", None)


@pytest.fixture(scope="module")
def judge(digits, tmp_path_factory):
    path = tmp_path_factory.mktemp("judge") / "digits.safetensors"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(judging, "CLASSIFIER_STEPS", 200)
        return judging.judge_of(DIGITS, digits, path)


def test_an_entry_runs_on_its_own_cores_is_timed_and_what_it_draws_is_judged(tmp_path, digits, judge):
    write_data(digits, tmp_path / "data.npz")
    entry = tmp_path / "entry.py"
    entry.write_text(ENTRY, encoding="utf-8")
    drawn = {}
    for seed in (0, 2):
        lap = racing.lap(Entry.read(entry), tmp_path / "data.npz", seed, tmp_path / "work", TRACKS["cpu-2"])
        assert lap.seconds > 0
        drawn[seed] = judging.checked_pictures(lap.drawn, digits)
        assert (tmp_path / "work" / f"{seed}.log").read_text("utf-8") == f"seed {seed}\n"
    copied, noise = (judging.verdict(judge, each, digits) for each in drawn.values())
    assert copied.copies > 0.95
    assert noise.copies == 0
    assert noise.fd > 10 * copied.fd


def test_an_entry_that_fails_says_so_with_its_last_lines(tmp_path, digits):
    write_data(digits, tmp_path / "data.npz")
    entry = tmp_path / "entry.py"
    entry.write_text(ENTRY, encoding="utf-8")
    with pytest.raises(UnnoiseError, match=r"exit code 1. Its last lines:\n(.*\n)*it went wrong"):
        racing.lap(Entry.read(entry), tmp_path / "data.npz", 1, tmp_path / "work", TRACKS["cpu-2"])


NOSY = """
import os
import sys
from pathlib import Path

print(sorted(path.name for path in Path.home().iterdir()), Path.cwd() == Path.home())
print(Path.cwd() / "run")
print({os.environ[name] for name in ("TMPDIR", "XDG_CACHE_HOME", "UNNOISE_CACHE")} == {str(Path.home())})
(Path.home() / "kept").touch()
for given in (sys.argv[1], sys.argv[3]):  # beside the pictures, too
    print(sorted(path.name for path in Path(given).parent.iterdir() if "kept-beside" in path.name))
    Path(given).with_name("kept-beside-" + Path(given).name).touch()
Path(sys.argv[3]).touch()
"""


def test_nothing_that_one_run_keeps_is_there_in_the_next(tmp_path):
    data, work, found = tmp_path / "data.npz", tmp_path / "work", "['data.npz', 'nosy.py'] True"
    data.touch()
    for seed in (0, 1):
        lap = racing.lap(Entry("nosy.py", NOSY.encode()), data, seed, work, TRACKS["cpu-2"])
        assert lap.drawn.is_file()
        beside = f"[]\n['kept-beside-{data.name}']\n"
        assert (work / f"{seed}.log").read_text("utf-8") == f"{found}\nHOME/run\nTrue\n{beside}"


def test_an_entry_that_uses_more_cores_than_its_track_has_is_refused(tmp_path, monkeypatch):
    used = count(0, 1000)
    times = lambda: SimpleNamespace(children_user=next(used), children_system=0)  # noqa: E731
    monkeypatch.setattr(racing.os, "times", times)
    (tmp_path / "data.npz").touch()
    with pytest.raises(UnnoiseError, match=r"nosy.py used [\d.]+ cores, and the track cpu-2 has 2"):
        racing.lap(
            Entry("nosy.py", NOSY.encode()), tmp_path / "data.npz", 0, tmp_path / "work", TRACKS["cpu-2"]
        )


def test_a_track_names_one_card_of_those_that_are_there(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    seen = [TRACKS[name].environment(tmp_path)["CUDA_VISIBLE_DEVICES"] for name in ("cpu-2", "gpu-1")]
    assert seen == ["", "3"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnnoiseError, match="gpu-1 needs a CUDA device, and PyTorch sees none"):
        TRACKS["gpu-1"].require_here()


def test_other_pictures_than_those_of_the_task_are_refused(digits):
    found = digits.training.fingerprint
    assert len(DIGITS._replace(fingerprint=found).pictures("").training) == len(digits.training)
    with pytest.raises(UnnoiseError, match=rf"has other pictures .* fingerprint {found}, and not 0123"):
        DIGITS._replace(fingerprint="0123").pictures("digits")


@pytest.mark.parametrize(("shape", "kind"), [((1000, 1, 8, 8), np.uint8), ((1000, 8, 8, 1), np.float32)])
def test_an_entry_that_writes_something_else_than_bytes_is_refused(tmp_path, digits, shape, kind):
    np.save(tmp_path / "0.npy", np.zeros(shape, kind))
    with pytest.raises(UnnoiseError, match=r"An entry writes bytes of the shape \(1000, 8, 8, 1\)"):
        judging.checked_pictures(tmp_path / "0.npy", digits)


@pytest.mark.parametrize("name", [name for name in TASKS if judging.weights_file(TASKS[name]).is_file()])
def test_the_judge_of_the_repository_tells_real_pictures_from_noise(name, tmp_path):
    task = TASKS[name]
    if not task.source:
        pytest.skip("its pictures are not installed by a package of the tests")
    if not any(folder.is_dir() for folder in FASHION_FOLDERS):
        pytest.skip("needs Debian's package dataset-fashion-mnist")
    pictures = task.pictures("")
    assert (len(pictures.training), len(pictures.references)) == (60_000, 10_000)
    judge = judging.judge_of(task, pictures, judging.weights_file(task))
    real, noise = (
        judge.score(judge.features(torch.split(shown, 100))).fd
        for shown in (real_pictures(pictures, 1000, 0), noise_pictures(pictures, 1000))
    )
    assert real < task.target / 3
    assert noise > 5 * task.target


def record(**changes):
    known = records.Record(
        task="fashion-mnist",
        track="cpu-2",
        entry="entries/unnoise_default.py",
        words="the default",
        commit="0123456",
        data="0123456789abcdef",
        measured="2026-11-29",
        machine="a machine",
        seeds=(0, 1, 2, 3, 4),
        seconds=(100.0, 101.0, 102.0, 103.0, 104.0),
        distances=(0.9, 0.9, 0.9, 0.9, 1.3),
        copies=(0.0,) * 5,
    )
    return replace(known, **changes)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"seeds": (0, 1, 2, 3)}, "it has 4 seeds, and 5 are needed"),
        ({"seeds": (3, 1, 2, 4, 7)}, "its seeds are 3, 1, 2, 4, 7, and 0 to 4 are needed"),
        ({"distances": (0.9, 0.9, 0.9, 0.9, 1.5)}, "its distance of 1.020 is above the target of 1"),
        ({"copies": (0.1,) * 5}, "10.0% of its pictures are copies, and 5% may be"),
    ],
)
def test_a_record_needs_five_seeds_the_target_in_the_mean_and_no_copies(changes, fault, place):
    assert record().faults == []
    assert record(**changes).faults == [fault]
    with pytest.raises(UnnoiseError, match=f"This is no record: {fault}"):
        records.write_record(record(**changes), MINE, [])
    assert not records.FOLDER.exists()
    assert not list(records.ENTRIES.iterdir())


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A repository of records, and an entry beside it."""
    monkeypatch.setattr(records, "FOLDER", tmp_path / "records")
    monkeypatch.setattr(records, "ENTRIES", tmp_path / "entries")
    (tmp_path / "entries").mkdir()
    return tmp_path


def test_records_are_read_as_they_were_written_the_fastest_first(place):
    slow, fast = record(entry="entries/mine.py"), record(entry="entries/mine.py", seconds=(50.0,) * 5)
    other = record(task="emoji-64", entry="entries/mine.py")
    logs = [place / f"{seed}.log" for seed in range(5)]
    for seed, log in enumerate(logs):
        log.write_text(f"10 %\r100 % of {seed}\nit is done\n", encoding="utf-8")
    files = [records.write_record(one, MINE, logs) for one in (other, slow, fast)]
    assert records.read_records() == [fast, slow, other]
    with pytest.raises(UnnoiseError, match=r"the last one on this machine took 50.0 s, and this one 102.0"):
        records.write_record(slow, MINE, logs)
    elsewhere = replace(slow, machine="another machine")
    records.write_record(elsewhere, MINE, logs)
    assert records.read_records() == [fast, slow, elsewhere, other]
    assert "| **50** | 50, 50, 50, 50, 50 | 0.980 (1) |" in records.records_table([fast])
    # Two of one day have two files, each with its log; the entry is kept once.
    assert [file.stem.removeprefix("fashion-mnist-cpu-2-2026-11-29-mine") for file in files[1:]] == ["", "-2"]
    assert files[2].with_suffix(".log").read_text("utf-8").startswith("seed 0\n\n100 % of 0\nit is done\n")
    assert [path.read_text("utf-8") for path in records.ENTRIES.iterdir()] == ["print('mine')"]


def test_an_entry_of_a_name_that_is_taken_is_refused(place):
    (records.ENTRIES / "mine.py").write_text("print('another')", encoding="utf-8")
    with pytest.raises(UnnoiseError, match=r"There is another entry mine.py"):
        records.write_record(record(), MINE, [])
    assert not records.FOLDER.exists()


def test_what_could_be_no_record_is_refused_before_it_runs(monkeypatch):
    for options, at, words in (
        (["--seeds", "0", "1"], "0123456", "A record has the seeds 0 to 4 or more of them, but got 0, 1"),
        ([], "0123456+", "Files differ from the commit 0123456: commit them"),
        ([], "", "run this in a clone"),
    ):
        monkeypatch.setattr(speedrun, "commit", lambda at=at: at)
        monkeypatch.setattr(sys, "argv", ["speedrun", "fashion-mnist", "--words", "new", *options])
        with pytest.raises(SystemExit, match=words):
            speedrun.main()


def test_the_command_line_names_an_entry_or_pictures_that_are_missing(monkeypatch, tmp_path):
    for options, words in (
        (["fashion-mnist", "--entry", str(tmp_path / "none.py")], "There is no entry"),
        (["cifar-10"], "has no judge yet"),
    ):
        monkeypatch.setattr(sys, "argv", ["speedrun", *options])
        with pytest.raises(SystemExit, match=words):
            speedrun.main()
