"""Runs whose held-out pictures are those of folders: kept in config.json, the same for every command."""

import json
from pathlib import Path

import numpy as np
import pytest

from helpers.data_files import save_many
from unnoise.api.loading import load_run_pictures, parse_labels
from unnoise.cli import run
from unnoise.data import load
from unnoise.reports.settings import train_command
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.resume import resume_config
from unnoise.utils.errors import UnnoiseError

NAMES = [
    f"{split}/{kind}/{k}.png" for split in ("train", "test", "val") for kind in ("a", "b") for k in range(4)
]
OPTIONS = TrainOptions(labels="auto", split_folders=True)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return save_many(tmp_path / "it", {name: (9 * k, 0, 0) for k, name in enumerate(NAMES)})


def planned(folder) -> RunConfig:
    return plan(load(folder, labels=True, split_folders=True), OPTIONS)


def test_the_split_is_kept_in_config_json(folder):
    config = planned(folder)
    assert (config.data.held_out, config.data.held_out_ranges) == (16, ((0, 8), (16, 24)))
    assert RunConfig.from_json(config.to_json(), Path("config.json")) == config
    images = load_run_pictures(config, labels=True)
    assert images.label_fingerprint == config.data.label_fingerprint
    for split in (config.split(images), config.split(load(folder)), config.data.split(24, 7)):
        assert split.training.tolist() == list(range(8, 16))
        assert split.held_out.tolist() == [*range(8), *range(16, 24)]
    others = load(save_many(Path("others"), {"x.png": (1, 2, 3)}))
    assert config.split(others).held_out.tolist() == [0]
    assert "--split-folders" in train_command(config)
    assert "--held-out" not in train_command(config)


def test_a_resumed_run_keeps_its_split(folder):
    config = planned(folder)
    assert resume_config(config, TrainOptions()).data == config.data
    assert resume_config(config, OPTIONS).data == config.data
    for options in (TrainOptions(held_out=16), TrainOptions(split_folders=False)):
        with pytest.raises(UnnoiseError, match="This run was started with"):
            resume_config(config, options)


def test_a_config_of_before_is_read_and_a_damaged_one_refused(folder):
    values = json.loads(planned(folder).to_json())
    for ranges in ([[0, 9]], [[-1, 15]], [[8, 16], [0, 8]], [[0, 8], [4, 12]]):
        values["data"]["held_out_ranges"] = ranges
        with pytest.raises(UnnoiseError, match="held_out_ranges"):
            RunConfig.from_json(json.dumps(values), Path("config.json"))
    for name in ("held_out_ranges", "without_class"):
        del values["data"][name]
    data = RunConfig.from_json(json.dumps(values), Path("config.json")).data
    assert (data.held_out_ranges, data.without_class) == ((), 0)
    assert len(data.split(24, 0).held_out) == 16


def test_two_ways_to_hold_out_and_images_without_the_split_are_refused(folder, capsys):
    with pytest.raises(UnnoiseError, match="keep one of them"):
        TrainOptions(held_out=3, split_folders=True)
    with pytest.raises(UnnoiseError, match="was loaded without the split"):
        plan(load(folder, labels=True), OPTIONS)
    assert run(["train", "it", "--split-folders", "--held-out", "3", "--out", "new"]) == 2
    assert "keep one of them" in capsys.readouterr().err
    assert not Path("new").exists()


def test_levels_are_parsed():
    assert parse_labels("auto") == {"labels": True, "label_level": None}
    assert parse_labels("auto:2") == {"labels": True, "label_level": 2}
    assert parse_labels(None) == {"labels": False, "label_level": None}
    assert parse_labels("x.csv") == {"labels": Path("x.csv"), "label_level": None}
    for wrong in ("auto:", "auto:0", "auto:-1", "auto:x", "auto:1.5", "auto:²", "auto:99999999999"):
        with pytest.raises(UnnoiseError, match=r"Try auto:2\."):
            parse_labels(wrong)


def test_pictures_without_a_class_are_counted_in_config_json(folder):
    save_many(folder, {"stray.png": (1, 2, 3)})
    images = load(folder, labels=True)
    config = plan(images, TrainOptions(labels="auto"))
    assert config.data.without_class == 1
    assert np.asarray(images.labels).max() == len(config.data.classes) == 3
