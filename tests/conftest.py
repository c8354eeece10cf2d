"""What every test shares."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def _few_threads_and_a_seed():
    torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)
    torch.manual_seed(0)
