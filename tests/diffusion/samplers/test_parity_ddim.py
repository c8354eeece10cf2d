"""Tables, DDIM and ancestral sampling are the same as in the library diffusers."""

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from helpers.diffusers_networks import CHAINS, PREDICTIONS, Network, denoiser, draws
from helpers.sampling import last
from unnoise.diffusion.samplers import ancestral, ddim

each_chain = pytest.mark.parametrize("name", CHAINS)
each_length = pytest.mark.parametrize("total", [50, 200, 1000])
each_prediction = pytest.mark.parametrize("prediction", PREDICTIONS)


def theirs(kind, name, total, prediction="epsilon", **settings):
    """A scheduler of diffusers with its table in float64; in float32 only its rounding would be compared."""
    table = CHAINS[name](total)
    unknown = kind is DDIMScheduler and name == "sigmoid"  # which only DDPMScheduler has
    scheduler = kind(
        num_train_timesteps=total,
        beta_schedule="linear" if unknown else name,
        trained_betas=table.betas.numpy() if unknown else None,
        beta_start=1e-4,
        beta_end=0.02,
        prediction_type=prediction,
        clip_sample=False,
        **settings,
    )
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), table.alphas_cumprod, atol=1e-5, rtol=1e-4)
    scheduler.betas, scheduler.alphas_cumprod = table.betas, table.alphas_cumprod
    scheduler.alphas = 1 - table.betas
    return scheduler


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().requires_grad_(False)


@pytest.mark.row("H1", "H4")
@each_chain
@each_length
def test_beta_tables_and_add_noise(name, total):
    scheduler, schedule = DDPMScheduler(total, 1e-4, 0.02, name), CHAINS[name](total)
    torch.testing.assert_close(scheduler.betas.double(), schedule.betas, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(scheduler.alphas_cumprod.double(), schedule.alphas_cumprod, atol=1e-6, rtol=1e-4)
    images, noises = torch.randn(2, total, 1, 2, 2).unbind(0)
    steps = torch.arange(total)
    noise_rates, signal_rates = schedule(((steps + 1) / total).view(-1, 1, 1, 1))
    mixed = signal_rates * images + noise_rates * noises
    torch.testing.assert_close(mixed, scheduler.add_noise(images, noises, steps), atol=1e-5, rtol=1e-5)


@pytest.mark.row("H6", "H7", "L6")
@each_chain
@each_prediction
@pytest.mark.parametrize(("total", "variance"), [(50, "small"), (200, "small"), (50, "large")])
def test_ancestral_sampling(network, name, total, prediction, variance):
    same_chain(network, name, total, prediction, variance)


@each_chain
def test_ancestral_sampling_in_a_thousand_steps(network, name):
    same_chain(network, name, 1000, "epsilon", "small")


def same_chain(network, name, total, prediction, variance):
    scheduler = theirs(DDPMScheduler, name, total, prediction, variance_type=f"fixed_{variance}")
    schedule, start = CHAINS[name](total), draws(1)()
    images, generator = start, torch.Generator().manual_seed(2)
    for step in range(total - 1, -1, -1):
        images = scheduler.step(network(images, step), step, images, generator=generator).prev_sample
    chain = ancestral(
        denoiser(network, schedule, prediction), start, total, schedule, variance=variance, draw_noises=draws(2)
    )
    torch.testing.assert_close(last(chain).images, images, atol=1e-5, rtol=1e-5)


@pytest.mark.row("L5", "X9")
@each_chain
@each_length
@each_prediction
@pytest.mark.parametrize(("eta", "spacing"), [(0.0, "trailing"), (0.7, "trailing"), (0.0, "leading")])
def test_ddim(network, name, total, prediction, eta, spacing):
    scheduler = theirs(DDIMScheduler, name, total, prediction, timestep_spacing=spacing)
    scheduler.set_timesteps(10)
    schedule, start = CHAINS[name](total), draws(1)()
    assert schedule.timesteps(10, spacing).tolist() == scheduler.timesteps.tolist()
    images, generator = start, torch.Generator().manual_seed(2)
    for step in scheduler.timesteps.tolist():
        images = scheduler.step(network(images, step), step, images, eta=eta, generator=generator).prev_sample
    chain = ddim(
        denoiser(network, schedule, prediction),
        start,
        10,
        schedule,
        eta=eta,
        times=schedule.times(10, spacing),
        draw_noises=draws(2),
    )
    torch.testing.assert_close(last(chain).images, images, atol=1e-5, rtol=1e-5)
