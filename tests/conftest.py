"""What every test shares."""

import pytest
import torch


@pytest.fixture(autouse=True)
def _two_threads_and_a_seed():
    torch.set_num_threads(2)
    torch.manual_seed(0)
