"""What every test shares."""

import os

import pytest
import torch


@pytest.fixture(autouse=True)
def _few_threads_and_a_seed():
    torch.set_num_threads(min(2, int(os.environ.get("OMP_NUM_THREADS", "2"))))
    torch.manual_seed(0)
