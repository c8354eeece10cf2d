"""What the tests of killed runs share: a folder, where children come from, and a run that is not harmed."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from helpers.killed import SOURCE, Aim, begin, calls_file, files_of, server


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with some pictures in it."""
    folder = tmp_path_factory.mktemp("kills")
    np.save(folder / SOURCE, (load_digits().images[:120] * 15).astype(np.uint8))
    with pytest.MonkeyPatch.context() as patches:
        patches.setenv("UNNOISE_CACHE", str(folder / "cache"))
        yield folder


@pytest.fixture(scope="module")
def children():
    return server()


@pytest.fixture(scope="module")
def unharmed(place, children):
    """The run that nothing happened to, and how many functions it called."""
    run = place / "unharmed"
    child = begin(children, run, Aim("call", 0))
    child.join()
    assert child.exitcode == 0, run.with_suffix(".err").read_text()
    files = files_of(run)
    assert len(files) > 2
    return files, int(calls_file(run).read_text())
