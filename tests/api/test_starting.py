"""What the start of a training tells of its devices and its precision."""

import pytest

from helpers.runs import digits, start
from unnoise.api.starting import Start, announce
from unnoise.runs.plan import TrainOptions
from unnoise.utils import precision


def told(run, capfd, devices=1):
    announce(digits(), run, Start("digits", run.path, TrainOptions(devices=devices), "cpu"))
    return " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize(("devices", "words"), [(1, "on cpu in float32"), (2, "on 2 x cpu in float32")])
def test_the_number_of_devices_is_told(tmp_path, capfd, devices, words):
    assert words in told(start(tmp_path / "run"), capfd, devices)


@pytest.mark.parametrize("fast", [True, False])
def test_bfloat16_on_a_processor_without_it_is_warned_of(tmp_path, capfd, monkeypatch, fast):
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: fast)
    found = told(start(tmp_path / "run", precision="bfloat16"), capfd)
    assert ("up to 200 times as long" in found) == (not fast)
