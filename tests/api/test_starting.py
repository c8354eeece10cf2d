"""What the start of a training tells of its devices and its precision."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.command_line import ok
from helpers.runs import digits, start
from unnoise.api.starting import Start, announce
from unnoise.runs.plan import TrainOptions
from unnoise.utils import precision

TINY = (
    "--preset",
    "nano",
    "--batch-size",
    4,
    "--steps",
    1,
    "--device",
    "cpu",
    "--set",
    "network.widths=[8,16]",
)


def told(run, capfd, devices=1):
    announce(digits(), run, Start("digits", run.path, TrainOptions(devices=devices), "cpu"))
    return " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(("devices", "words"), [(1, "on cpu in float32"), (2, "on 2 x cpu in float32")])
def test_the_number_of_devices_is_told(tmp_path, capfd, devices, words):
    assert words in told(start(tmp_path / "run"), capfd, devices)


@pytest.mark.parametrize("folder", ["photos.2023", "photos"])
def test_a_run_is_named_after_all_of_a_folders_name(tmp_path, monkeypatch, capsys, folder):
    monkeypatch.chdir(tmp_path)
    (tmp_path / folder).mkdir()
    for shade in range(12):
        Image.new("L", (8, 8), 20 * shade).save(tmp_path / folder / f"{shade}.png")
    ok("train", folder, "--size", 8, *TINY)
    assert [path.name for path in Path("runs").iterdir()] == [folder]


def test_a_layout_is_kept_where_a_run_goes_on_with_the_same_array(tmp_path, monkeypatch, capsys):
    """Under the name that it has in this folder, which is not that in config.json."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", np.random.default_rng(0).integers(0, 256, (8, 9, 3, 30), dtype=np.uint8))
    ok("train", "x.npy", "--layout", "HWCN", "--out", "run", "--held-out", 0, *TINY)
    ok("train", "x.npy", "--out", "run", "--resume", "--steps", 2)
    assert "30 pictures of 8 x 9" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_on_a_processor_without_it_is_warned_of(tmp_path, capfd, monkeypatch, fast):
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: fast)
    found = told(start(tmp_path / "run", precision="bfloat16"), capfd)
    assert ("up to 200 times as long" in found) == (not fast)
