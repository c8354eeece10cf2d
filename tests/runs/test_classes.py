"""Classes of a run: planned from labels, and the same when it is resumed."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from helpers.data_files import save_many
from helpers.runs import start
from unnoise.cli import run
from unnoise.data import load
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.resume import resume_config, with_same_pictures
from unnoise.trainer import loop as training
from unnoise.utils.errors import UnnoiseError

COLOURS = {f"class{9 + k % 2}/{k}.png": (40 * k, 20, 10) for k in range(6)}


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return save_many(tmp_path / "it", COLOURS)


def written(path: Path, classes: dict[str, str]) -> Path:
    path.write_text("file,class\n" + "".join(f"{name},{kind}\n" for name, kind in classes.items()))
    return path


def command(capsys, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = run([str(argument) for argument in arguments])
    return code, *capsys.readouterr()


def test_a_plan_has_classes_where_labels_are_asked_for(folder):
    images = load(folder, labels=True)
    config = plan(images, TrainOptions(labels="auto"))
    assert config.data.classes == ("class9", "class10")
    assert (config.data.labels, config.data.label_fingerprint) == ("auto", images.label_fingerprint)
    assert RunConfig.from_json(config.to_json(), Path("config.json")) == config
    without = plan(images, TrainOptions())
    assert (without.data.labels, without.data.classes, without.data.label_fingerprint) == (None, (), "")
    with pytest.raises(UnnoiseError, match=r"loaded without labels, .* Load it by load\(\.\.\., labels=True\)"):
        plan(load(folder), TrainOptions(labels="auto"))
    with pytest.raises(UnnoiseError, match="have the same name: a, b, a"):
        DataConfig(source="x", height=1, width=1, channels=1, classes=("a", "b", "a"))


def test_a_config_without_keys_for_classes_is_read(folder):
    known = json.loads(plan(load(folder), TrainOptions()).to_json())
    for name in ("labels", "classes", "label_fingerprint"):
        del known["data"][name]
    config = RunConfig.from_json(json.dumps(known), Path("config.json"))
    assert config.data.classes == ()
    with_same_pictures(config, load(folder))
    with_same_pictures(config, load(folder, labels=True))  # classes that were not asked for do not matter


def test_resuming_with_other_classes_or_labels_is_refused(folder, tmp_path):
    images = load(folder, labels=True)
    config = plan(images, TrainOptions(labels="auto"))
    with_same_pictures(config, images)
    kinds = {name: name.partition("/")[0] for name in COLOURS}
    same = load(folder, labels=written(tmp_path / "same.csv", kinds))
    with_same_pictures(config, same)
    other = load(folder, labels=written(tmp_path / "other.csv", kinds | {"class9/0.png": "x"}))
    with pytest.raises(UnnoiseError, match=r"classes class9, class10, but .* now has class9, class10, x\. "):
        with_same_pictures(config, other)
    with pytest.raises(UnnoiseError, match=r"the classes class9, class10, but .* now has none\. "):
        with_same_pictures(config, load(folder))
    swapped = load(folder, labels=written(tmp_path / "swapped.csv", kinds | {"class9/0.png": "class10"}))
    with pytest.raises(UnnoiseError, match="have changed since this run was started"):
        with_same_pictures(config, swapped)
    many = tuple(map(str, range(15)))
    with pytest.raises(UnnoiseError, match="8, 9 and 5 more, but"):
        with_same_pictures(replace(config, data=replace(config.data, classes=many)), images)


def test_labels_may_move_but_not_appear_or_vanish_on_resume(folder):
    images = load(folder, labels=True)
    config = plan(images, TrainOptions(labels="auto"))
    assert resume_config(config, TrainOptions()) == config
    assert resume_config(config, TrainOptions(labels="moved.csv")).data.labels == "moved.csv"
    with pytest.raises(UnnoiseError, match="started with labels None, but got auto"):
        resume_config(plan(images, TrainOptions()), TrainOptions(labels="auto"))


def test_train_with_labels_and_resume(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(training, "train", lambda *_: iter(()))  # loading is tested, not training
    common = ("train", folder, "--out", "r", "--batch-size", 4, "--size", 4)
    labels = written(
        tmp_path / "l.csv", {name: "even" if int(name[-5]) % 2 == 0 else "odd" for name in COLOURS}
    )
    code, _, said = command(capsys, *common, "--steps", 1, "--labels", labels)
    assert (code, "2 classes" in said) == (0, True)
    assert Run.open(Path("r")).config.data.classes == ("even", "odd")
    assert "2: even, odd" in command(capsys, "info", "r")[1]
    labels.rename("moved.csv")
    code, _, said = command(capsys, *common, "--steps", 2, "--resume")
    assert (code, "There is no file of labels" in said) == (2, True)
    code, _, said = command(capsys, *common, "--steps", 2, "--resume", "--labels", "auto")
    assert (code, "started with the classes even, odd" in said) == (2, True)
    assert command(capsys, *common, "--steps", 2, "--resume", "--labels", "moved.csv")[0] == 0
    assert command(capsys, *common, "--steps", 3, "--resume")[0] == 0  # the new place is stored


def test_info_counts_the_classes(folder, capsys):
    assert "2: class9 (3), class10 (3)" in command(capsys, "info", folder, "--no-measure")[1]
    many = save_many(folder.with_name("many"), {f"{k}/x.png": (k, 0, 0) for k in range(13)})
    assert "13: 0 (1), 1 (1)" in " ".join(command(capsys, "info", many, "--no-measure")[1].split())
    assert "and 3 more" in " ".join(command(capsys, "info", many, "--no-measure")[1].split())


def test_a_dry_run_tells_the_classes(folder, capsys):
    code, out, _ = command(capsys, "train", folder, "--labels", "auto", "--dry-run")
    assert (code, json.loads(out)["data"]["classes"]) == (0, ["class9", "class10"])
    code, _, said = command(capsys, "train", folder / "class9", "--labels", "auto", "--dry-run")
    assert (code, "lies in no folder of a class" in said) == (2, True)


def test_training_without_labels_ignores_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    assert start(tmp_path / "r").config.data.classes == ()
