"""UniPC, DEIS and iPNDM agree with the library diffusers, from the same noises through the same network.

Where its definitions differ from ours:
- it ends its grids by a flag (`final_sigmas_type`): `zero` is our time 0, `sigma_min` our time 1 / T, the first
  entry of the table; DEIS knows only the latter;
- its noise levels are rounded to float32, as its tables are: both are given in float64 here;
- its DEIS takes lower orders at the end below 15 steps only, and has the form in log-SNR only;
- its UniPC takes lower orders at the end of any number of steps. The step to no noise at all has an infinite h:
  with bh1, or not told to lower the order, it gives nan there, where ours takes order 1;
- its iPNDM has a grid of its own, which starts without signal and then divides by 1e-8, where the image is lost
  (it comes out 0); so it is given ours. Its PNDM takes Runge-Kutta or Heun steps first, so that only the
  formula of its later steps is the same.
"""

import numpy as np
import pytest
import torch
from diffusers import DEISMultistepScheduler, IPNDMScheduler, UniPCMultistepScheduler

from helpers.oracles import column, last
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers import multistep
from unnoise.diffusion.samplers.deis import deis
from unnoise.diffusion.samplers.unipc import unipc
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
    """Small, smooth, and told the step."""
    return torch.tanh(torch.einsum("ij,bjhw->bihw", WEIGHT, images) + step / TOTAL)


def theirs(kind, name, num_steps, prediction="epsilon", **settings):
    """Where their scheduler arrives, and the times of ours that it went along."""
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
    """X at the last time of our sampler."""
    schedule, objective = CHAINS[name], Objective(PREDICTIONS[prediction])

    def denoise(noisy_images, noise_rates, signal_rates):
        output = network(noisy_images, schedule.timesteps_of(noise_rates, signal_rates))
        return objective.separate(output, noisy_images, noise_rates, signal_rates)

    walk = sampler(denoise, START, len(times) - 1, schedule, times=times, **options)
    result = last(walk)
    return mix(result.images, result.noises, *schedule(times[-1].expand(2, 1, 1, 1)))


@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize("corrector", [True, False])
@pytest.mark.parametrize(
    ("name", "variant", "final", "lower"),
    [
        ("linear", "bh1", "sigma_min", True),
        ("squaredcos_cap_v2", "bh1", "sigma_min", False),
        ("linear", "bh2", "sigma_min", False),
        ("squaredcos_cap_v2", "bh2", "zero", True),
    ],
)
def test_unipc(name, order, variant, corrector, final, lower):
    expected, times = theirs(
        UniPCMultistepScheduler,
        name,
        7,
        solver_order=order,
        solver_type=variant,
        disable_corrector=[] if corrector else list(range(7)),
        final_sigmas_type=final,
        lower_order_final=lower,
    )
    options = {"order": order, "variant": variant, "corrector": corrector, "lower_order_final": lower}
    torch.testing.assert_close(arrived(unipc, name, times, **options), expected, **CLOSE)


@pytest.mark.parametrize("prediction", PREDICTIONS)
@pytest.mark.parametrize("spacing", ["linspace", "leading", "trailing"])
def test_unipc_whatever_is_predicted_and_wherever_one_steps(prediction, spacing):
    expected, times = theirs(
        UniPCMultistepScheduler, "linear", 10, prediction, solver_order=3, timestep_spacing=spacing
    )
    torch.testing.assert_close(arrived(unipc, "linear", times, prediction), expected, **CLOSE)


@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("order", [1, 2, 3])
@pytest.mark.parametrize(("num_steps", "lower"), [(7, True), (7, False), (15, True)])
def test_deis(name, order, num_steps, lower):
    expected, times = theirs(
        DEISMultistepScheduler, name, num_steps, solver_order=order, lower_order_final=lower
    )
    ours = arrived(
        deis, name, times, order=order, variable="log_snr", lower_order_final=lower and num_steps < 15
    )
    torch.testing.assert_close(ours, expected, **CLOSE)


@pytest.mark.row("X10")
@pytest.mark.parametrize("num_steps", [3, 12])
def test_ipndm_is_multistep_of_order_4(num_steps):
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

    result = last(multistep(denoise, START, num_steps, schedule, order=4))
    ours = mix(result.images, result.noises, *(values[-1:].expand(2, 1, 1, 1) for values in rates))
    torch.testing.assert_close(ours, images, **CLOSE)
