"""What every test shares."""

import gc
import os
from pathlib import Path

import jaxtyping
import pytest
import torch
from PIL import Image

os.fsync = lambda _: None  # of what is flushed, the calls are tested; only a power cut would show more

if "PYTEST_XDIST_WORKER" in os.environ:
    gc.disable()  # until all is imported, of which nothing is garbage

_DRAWS_CURVES = {"app", "pictures", "test_front_door.py"}
"""Folders and modules of tests of the front door, of the app, and of the charts themselves."""

_SHAPES_CHECKED = {"diffusion", "networks", "optim", "evaluation", "data", "pictures", "utils"}
"""Folders of tests in which calls are checked for shapes and types, which takes as long as the calls.

All others go through the same functions again; `make coverage` checks there, too.
"""

_LONGEST = {"test_kills.py", "test_browser.py", "test_onnx.py", "test_guide.py"}
"""Modules with tests of half a minute and more."""


@pytest.fixture(autouse=True, scope="module")
def _shapes_are_checked_where_they_are_made(request):
    folder = request.path.relative_to(Path(__file__).parent).parts[0]
    checked = folder in _SHAPES_CHECKED or "CHECK_SHAPES" in os.environ
    jaxtyping.config.update("jaxtyping_disable", not checked)


@pytest.fixture(autouse=True, scope="module")
def _what_is_there_is_not_looked_through_again():
    """Each training and each lack of memory collects garbage: what earlier modules imported is set aside."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _few_threads_and_a_seed():
    torch.set_num_threads(min(2, int(os.environ.get("OMP_NUM_THREADS", "2"))))
    torch.manual_seed(0)


@pytest.fixture(autouse=True)
def _blank_loss_curves(request, monkeypatch):
    """Every training ends with a chart, which takes a quarter of a second."""
    if _DRAWS_CURVES.isdisjoint({request.path.parent.name, request.path.name}):
        from unnoise import pictures  # not before its functions are wrapped by checks of shapes

        monkeypatch.setattr(pictures, "loss_curve", lambda _: Image.new("L", (8, 8)))


def pytest_collection_finish():
    """Sets aside what was imported: each training collects garbage, and would look through all of it."""
    gc.collect()
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Begins with the longest modules, so that no process waits at the end; skips what needs CUDA."""
    items.sort(key=lambda item: item.path.name not in _LONGEST)
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


def pytest_terminal_summary(terminalreporter):
    """Prints what tests recorded as `counted`, for example how often a run was killed and what was lost."""
    for report in terminalreporter.getreports("passed"):
        for name, text in report.user_properties:
            if name == "counted":
                terminalreporter.write_line(f"{report.nodeid}: {text}")
