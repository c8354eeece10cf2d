"""A short run on the digits, in a folder of the test's own."""

import shutil
from pathlib import Path

import pytest

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.trainer.loop import train


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 3)
    last(train(made, digits()))
    return made.path


@pytest.fixture
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(trained, own_folder, tmp_path):
    """A trained run, in the folder `mine` of the current one."""
    shutil.copytree(trained, tmp_path / "mine")
    return Path("mine")
