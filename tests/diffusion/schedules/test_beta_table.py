"""Schedules given by the table of their betas."""

import pytest
import torch

from unnoise.diffusion.schedules import BetaTable, LinearBeta, ZeroTerminalSNR
from unnoise.utils.errors import UnnoiseError


@pytest.mark.parametrize("schedule", [LinearBeta(100), ZeroTerminalSNR(base=LinearBeta(100))])
def test_the_betas_of_a_schedule_give_the_same_schedule(schedule):
    table = BetaTable(table=tuple(schedule.betas.tolist()))
    assert table.num_timesteps == 100
    torch.testing.assert_close(table.alphas_cumprod, schedule.alphas_cumprod, atol=1e-15, rtol=1e-10)


@pytest.mark.parametrize("table", [(), (0.1,), (0.0, 0.1), (0.1, 1.5), (0.1, float("nan"))])
def test_other_tables_are_refused(table):
    with pytest.raises(UnnoiseError, match="A BetaTable needs 2 to"):
        BetaTable(table=table)


def test_no_noise_is_added_to_noise():
    with pytest.raises(UnnoiseError, match="does not add noise in every timestep"):
        BetaTable(table=(0.1, 1.0, 0.1))
