"""What the tests of the command line share: a folder and a cache of their own, and a small trained run."""

from dataclasses import replace

import pytest

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.runs import presets
from unnoise.trainer.loop import train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The folder of a run on digits after three steps."""
    made = start(tmp_path_factory.mktemp("runs") / "run", 3)
    last(train(made, digits()))
    return made.path


@pytest.fixture(autouse=True)
def _own_folder_and_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _nano_draws_in_three_steps(monkeypatch):
    nano, sampling = presets.nano, Sampling(num_steps=3, eta=1.0)
    monkeypatch.setitem(presets.PRESETS, "nano", lambda *shape: replace(nano(*shape), sampling=sampling))
