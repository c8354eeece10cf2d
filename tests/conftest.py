"""What every test shares."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def _few_threads_and_a_seed():
    torch.set_num_threads(min(2, int(os.environ.get("OMP_NUM_THREADS", "2"))))
    torch.manual_seed(0)


def pytest_collection_modifyitems(items):
    """Skips tests that are marked `cuda` where there is no such device."""
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
