"""UniPC, DEIS and iPNDM give the same images as those of the library diffusers.

Both start from the same noises and use the same network. Differences between the two:
- diffusers ends its grid by `final_sigmas_type`: `zero` is our time 0, `sigma_min` our time 1 / T, the first
  entry of the table. DEIS has only the latter.
- Its noise levels and tables are rounded to float32. Both are replaced by float64 ones here.
- Its DEIS has only the form in log-SNR.
- Its iPNDM has its own grid, which starts without signal and then divides by 1e-8, so that the image is 0. It
  is replaced by ours. Its PNDM starts with Runge-Kutta or Heun steps; only the formula of its later steps is
  the same.
"""

import numpy as np
import pytest
import torch
from diffusers import DEISMultistepScheduler, IPNDMScheduler, UniPCMultistepScheduler

from helpers.sampling import column, last
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers import adams_bashforth, deis, unipc
from unnoise.diffusion.schedules import CosineBeta, LinearBeta, OffsetCosine
from unnoise.diffusion.tensors import mix

TOTAL = 1000
CHAINS = {"linear": LinearBeta(TOTAL, rescale=False), "squaredcos_cap_v2": CosineBeta(TOTAL)}
PREDICTIONS = {"epsilon": "noise", "sample": "image", "v_prediction": "velocity"}
# NumPy's, of how diffusers hands it a tensor
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
START = torch.randn(2, 3, 5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
WEIGHT = torch.randn(3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64) / 2
CLOSE = {"atol": 1e-9, "rtol": 1e-9}


def network(images, step):
    """A small, smooth function of the images and the timestep."""
    return torch.tanh(torch.einsum("ij,bjhw->bihw", WEIGHT, images) + step / TOTAL)


def theirs(kind, name, num_steps, prediction="epsilon", **settings):
    """The noisy images at the end of their scheduler, and its steps as our times."""
    table = CHAINS[name].alphas_cumprod
    scheduler = kind(TOTAL, beta_schedule=name, prediction_type=prediction, **settings)
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), table, atol=1e-5, rtol=1e-4)
    scheduler.set_timesteps(num_steps)
    ends_in_zero = float(scheduler.sigmas[-1]) == 0
    steps = [*scheduler.timesteps.tolist(), -1 if ends_in_zero else 0]
    ratios = ((1 - table) / table).sqrt()
    sigmas = torch.stack([torch.zeros(()).double() if step < 0 else ratios[step] for step in steps])
    torch.testing.assert_close(scheduler.sigmas.double(), sigmas, atol=1e-5, rtol=1e-3)
    scheduler.sigmas, images = sigmas, START
    for step in steps[:-1]:
        images = scheduler.step(network(images, step), step, images).prev_sample
    return images, (torch.tensor(steps, dtype=torch.float64) + 1) / TOTAL


def arrived(sampler, name, times, prediction="epsilon", **options):
    """The noisy images at the last time of our sampler."""
    schedule, objective = CHAINS[name], Objective(PREDICTIONS[prediction])

    def denoise(noisy_images, noise_rates, signal_rates):
        output = network(noisy_images, schedule.timesteps_of(noise_rates, signal_rates))
        return objective.separate(output, noisy_images, noise_rates, signal_rates)

    walk = sampler(denoise, START, len(times) - 1, schedule, times=times, **options)
    result = last(walk)
    return mix(result.images, result.noises, *schedule(times[-1].expand(2, 1, 1, 1)))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("name", "final"), [("linear", "sigma_min"), ("squaredcos_cap_v2", "zero")])
def test_unipc(name, order, final):
    expected, times = theirs(UniPCMultistepScheduler, name, 7, solver_order=order, final_sigmas_type=final)
    torch.testing.assert_close(arrived(unipc, name, times, order=order), expected, **CLOSE)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_unipc_with_every_prediction_type_and_timestep_spacing(prediction, spacing):
    expected, times = theirs(
        UniPCMultistepScheduler, "linear", 10, prediction, solver_order=3, timestep_spacing=spacing
    )
    torch.testing.assert_close(arrived(unipc, "linear", times, prediction), expected, **CLOSE)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("order", [1, 2, 3])
def test_deis_in_log_snr(name, order):
    expected, times = theirs(DEISMultistepScheduler, name, 7, solver_order=order, lower_order_final=False)
    torch.testing.assert_close(arrived(deis, name, times, order=order, variable="log_snr"), expected, **CLOSE)


@pytest.mark.row("X10")
@pytest.mark.parametrize("num_steps", [3, 12])
def test_ipndm_is_adams_bashforth_of_order_4(num_steps):
    schedule, objective = OffsetCosine(0.02, 0.999), Objective("velocity")
    rates = schedule(column(*np.linspace(1, 0, num_steps + 1), dtype=torch.float64))
    scheduler = IPNDMScheduler(trained_betas=rates.noise_rates.flatten().numpy())
    scheduler.set_timesteps(num_steps)
    scheduler.betas, scheduler.alphas = (values.flatten() for values in rates)
    images = START
    for step, time in enumerate(scheduler.timesteps):
        images = scheduler.step(network(images, scheduler.betas[step]), time, images).prev_sample

    def denoise(noisy_images, noise_rates, signal_rates):
        output = network(noisy_images, noise_rates)
        return objective.separate(output, noisy_images, noise_rates, signal_rates)

    result = last(adams_bashforth(denoise, START, num_steps, schedule, order=4))
    ours = mix(result.images, result.noises, *(values[-1:].expand(2, 1, 1, 1) for values in rates))
    torch.testing.assert_close(ours, images, **CLOSE)
