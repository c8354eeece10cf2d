"""DPM-Solver++ and Heun give the same images as those of the libraries diffusers and k-diffusion.

All in float64, from the same noises, through the same network and at the same noise levels. Differences:

- diffusers keeps sigmas in float32, and DPMSolverMultistep and the Euler schedulers also the images: therefore
  the tolerance is 1e-4 there, and 1e-9 where their arithmetic is in float64.
- Their Euler and Heun start at sigma_max * noise for trailing and linspace steps, as if x were pure noise.
  Ours start at x_t with variance signal^2 + noise^2 = 1, so theirs are started at sqrt(1 + sigma^2) * x.
- DPMSolverMultistep spreads `linspace` and `leading` over K + 1 steps and drops the last; only `trailing` is
  the same.
- With use_karras_sigmas they use levels between the timesteps and condition the network on rounded timesteps.
  Ours use the levels of the timesteps.
- lower_order_final (below 15 steps) lowers the order of the last two steps. In ours only a step that ends
  without noise, where h is infinite, is of first order, as in k-diffusion.
- Their second order has a `midpoint` (algorithm 2 of 2211.01095, as ours) and a `heun` form. The second step
  of their third order has either; in k-diffusion and in ours it has the latter.
- Their D_2 of third order, as in the authors' code and in k-diffusion's 3M SDE, lacks a factor of two: the
  same as ours with `published=True` (see test_convergence.py for its order).
- Their third-order sde-dpmsolver++ subtracts 1/2 where k-diffusion adds it, so that the weight of D_2 does not
  vanish for short steps. Ours is that of k-diffusion; orders 1 and 2 are compared with diffusers.
"""

import math

import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EDMEulerScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)

from helpers.diffusers_networks import CHAINS, Network, denoiser, draws
from helpers.sampling import last
from unnoise.diffusion.samplers import ddim, dpm_solver, heun, spaced_times
from unnoise.diffusion.schedules import Cosine
from unnoise.diffusion.tensors import Prediction

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # diffusers'
each_chain = pytest.mark.parametrize("name", ["linear", "scaled_linear"])
each_number = pytest.mark.parametrize("num_steps", [5, 20])


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().requires_grad_(False)


# --- diffusers on a chain ------------------------------------------------------------------------------------


def on_a_chain(kind, table, num_steps, **settings):
    """A scheduler of diffusers at our timesteps, with its noise levels in float64."""
    scheduler = kind(1000, trained_betas=table.betas.numpy(), timestep_spacing="trailing", **settings)
    scheduler.set_timesteps(num_steps)
    steps = table.timesteps(num_steps, "trailing")
    assert list(dict.fromkeys(scheduler.timesteps.tolist())) == steps.tolist()
    powers = table.alphas_cumprod[steps]
    levels = torch.cat([((1 - powers) / powers).sqrt(), torch.zeros(1, dtype=torch.float64)])
    repeats = torch.ones(num_steps + 1, dtype=torch.long)
    if kind is HeunDiscreteScheduler:  # each level but the ends twice
        repeats[1:-1] = 2
    levels = levels.repeat_interleave(repeats)
    torch.testing.assert_close(scheduler.sigmas.double(), levels, rtol=1e-3, atol=1e-5)
    scheduler.sigmas = levels
    return scheduler


def walked(scheduler, network, images, **options):
    for step in scheduler.timesteps:
        seen = network(scheduler.scale_model_input(images, step), float(step))  # theirs is rounded to float32
        more = {name: make() for name, make in options.items()}
        images = scheduler.step(seen, step, images, **more).prev_sample
    return images


@each_chain
@each_number
@pytest.mark.parametrize(
    ("order", "settings"),
    [(1, {}), (2, {}), (2, {"lower_order_final": True}), (3, {"solver_type": "heun"})],
)
def test_dpm_solver_is_that_of_diffusers(network, name, num_steps, order, settings):
    table, start = CHAINS[name](1000), draws(1)()
    settings = {"lower_order_final": False, "solver_order": order, **settings}
    expected = walked(on_a_chain(DPMSolverMultistepScheduler, table, num_steps, **settings), network, start)
    walk = dpm_solver(
        denoiser(network, table, "epsilon"),
        start,
        num_steps,
        table,
        order=order,
        published=order == 3,
        times=spaced_times("trailing", num_steps, table),
    )
    torch.testing.assert_close(last(walk).images, expected, rtol=1e-4, atol=1e-4)


@each_chain
@each_number
@pytest.mark.parametrize("order", [1, 2])
def test_sde_dpm_solver_is_that_of_diffusers(network, name, num_steps, order):
    table, start = CHAINS[name](1000), draws(1)()
    scheduler = on_a_chain(
        DPMSolverMultistepScheduler,
        table,
        num_steps,
        algorithm_type="sde-dpmsolver++",
        solver_order=order,
        lower_order_final=False,
    )
    expected = walked(scheduler, network, start, variance_noise=draws(2))
    walk = dpm_solver(
        denoiser(network, table, "epsilon"),
        start,
        num_steps,
        table,
        order=order,
        eta=1.0,
        times=spaced_times("trailing", num_steps, table),
        draw_noises=draws(2),
    )
    torch.testing.assert_close(last(walk).images, expected, rtol=1e-4, atol=1e-4)


@each_chain
@each_number
@pytest.mark.parametrize(
    ("sampler", "kind", "tolerance"),
    [(ddim, EulerDiscreteScheduler, 1e-4), (heun, HeunDiscreteScheduler, 1e-9)],
)
def test_ddim_is_euler_of_diffusers_and_heun_its_heun(network, name, num_steps, sampler, kind, tolerance):
    table, start = CHAINS[name](1000), draws(1)()
    scheduler = on_a_chain(kind, table, num_steps)
    wide = start * (1 + scheduler.sigmas[0] ** 2).sqrt()
    expected = walked(scheduler, network, wide)
    times = spaced_times("trailing", num_steps, table)
    walk = sampler(denoiser(network, table, "epsilon"), start, num_steps, table, times=times)
    torch.testing.assert_close(last(walk).images, expected, rtol=tolerance, atol=tolerance)


# --- EDM's coordinates: y = x / signal, sigma = noise / signal -----------------------------------------------


def levels(num_steps):
    """The noise levels of EDM (2206.00364, eq. 5), with 0 at the end."""
    first, end = 80 ** (1 / 7), 0.002 ** (1 / 7)
    line = torch.linspace(first, end, num_steps, dtype=torch.float64).pow(7)
    return torch.cat([line, torch.zeros(1, dtype=torch.float64)])


def seen_at(network, y, sigma, std=0.5):
    """EDM's denoiser D(y; sigma) (eq. 7 and table 1): c_skip y + c_out F(c_in y; c_noise)."""
    total = sigma**2 + std**2
    output = network(y / total**0.5, math.log(sigma) / 4)
    return std**2 / total * y + sigma * std / total**0.5 * output


def through(network):
    """EDM's denoiser as ours."""

    def denoise(noisy_images, noise_rates, signal_rates):
        sigma = float(noise_rates[0] / signal_rates[0])
        images = seen_at(network, noisy_images / signal_rates, sigma)
        return Prediction((noisy_images - signal_rates * images) / noise_rates, images)

    return denoise


def on_edms_grid(sampler, network, start, num_steps, **options):
    """Our sampler on EDM's noise levels, the karras spacing of noise / signal = tan(pi t / 2)."""
    times = spaced_times("karras", num_steps, Cosine())
    walk = sampler(through(network), start, num_steps, Cosine(), times=times, **options)
    return last(walk).images


def wide(start):
    return start * math.sqrt(1 + 80**2)


def edm_walked(scheduler, network, images, num_steps, **options):
    scheduler.set_timesteps(num_steps)
    torch.testing.assert_close(scheduler.sigmas.double(), levels(num_steps), rtol=1e-4, atol=0)
    scheduler.sigmas = levels(num_steps)
    for step in scheduler.timesteps:
        scaled = scheduler.scale_model_input(images, step)
        images = scheduler.step(network(scaled, float(step)), step, images, **options).prev_sample
    return images


@each_number
@pytest.mark.parametrize(
    ("order", "settings"),
    [(1, {}), (2, {}), (2, {"lower_order_final": True}), (3, {"solver_type": "heun"})],
)
def test_dpm_solver_is_edm_dpm_solver_of_diffusers(network, num_steps, order, settings):
    settings = {"lower_order_final": False, "solver_order": order, **settings}
    start = draws(1)()
    expected = edm_walked(EDMDPMSolverMultistepScheduler(**settings), network, wide(start), num_steps)
    options = {"order": order, "published": order == 3}
    found = on_edms_grid(dpm_solver, network, start, num_steps, **options)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@each_number
@pytest.mark.parametrize("order", [1, 2])
def test_sde_dpm_solver_is_edm_sde_dpm_solver_of_diffusers(network, num_steps, order):
    scheduler = EDMDPMSolverMultistepScheduler(
        algorithm_type="sde-dpmsolver++", solver_order=order, lower_order_final=False
    )
    start, generator = draws(1)(), torch.Generator().manual_seed(2)
    expected = edm_walked(scheduler, network, wide(start), num_steps, generator=generator)
    options = {"order": order, "eta": 1.0, "draw_noises": draws(2)}
    found = on_edms_grid(dpm_solver, network, start, num_steps, **options)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)


@each_number
def test_ddim_is_edm_euler_of_diffusers(network, num_steps):
    start = draws(1)()
    expected = edm_walked(EDMEulerScheduler(), network, wide(start), num_steps)
    found = on_edms_grid(ddim, network, start, num_steps)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# --- k-diffusion's update formulas ---------------------------------------------------------------------------


def k_euler_or_heun(network, y, sigmas, second):
    """sample_euler and sample_heun, without churn."""
    for now, then in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        slope = (y - seen_at(network, y, now)) / now
        ahead = y + slope * (then - now)
        if second and then > 0:
            slope = (slope + (ahead - seen_at(network, ahead, then)) / then) / 2
            ahead = y + slope * (then - now)
        y = ahead
    return y


def k_dpmpp_2m(network, y, sigmas):
    """sample_dpmpp_2m."""
    old = before = None
    for now, then in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        seen = seen_at(network, y, now)
        if then == 0:
            return seen
        h = math.log(now / then)
        mixed = seen
        if old is not None:
            r = math.log(before / now) / h
            mixed = (1 + 1 / (2 * r)) * seen - 1 / (2 * r) * old
        y = then / now * y - math.expm1(-h) * mixed
        old, before = seen, now
    return y


def k_dpmpp_2m_sde(network, y, sigmas, draw, eta):
    """sample_dpmpp_2m_sde, midpoint."""
    old = last_h = None
    for now, then in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        seen = seen_at(network, y, now)
        if then == 0:
            return seen
        h = math.log(now / then)
        weight = -math.expm1(-h - eta * h)
        y = then / now * math.exp(-eta * h) * y + weight * seen
        if old is not None:
            y = y + weight / 2 * h / last_h * (seen - old)
        if eta:
            y = y + draw() * then * math.sqrt(-math.expm1(-2 * eta * h))
        old, last_h = seen, h
    return y


def k_dpmpp_3m_sde(network, y, sigmas, draw, eta):
    """sample_dpmpp_3m_sde."""
    seen_before, lengths = [], []
    for now, then in zip(sigmas[:-1].tolist(), sigmas[1:].tolist(), strict=True):
        seen = seen_at(network, y, now)
        if then == 0:
            return seen
        h = math.log(now / then)
        u = h * (eta + 1)
        y = math.exp(-u) * y - math.expm1(-u) * seen
        phi_2 = math.expm1(-u) / u + 1
        phi_3 = phi_2 / u - 0.5
        if len(lengths) >= 2:
            r_0, r_1 = lengths[-1] / h, lengths[-2] / h
            d_0, d_1 = (seen - seen_before[-1]) / r_0, (seen_before[-1] - seen_before[-2]) / r_1
            y = y + phi_2 * (d_0 + (d_0 - d_1) * r_0 / (r_0 + r_1)) - phi_3 * (d_0 - d_1) / (r_0 + r_1)
        elif lengths:
            y = y + phi_2 * (seen - seen_before[-1]) / (lengths[-1] / h)
        if eta:
            y = y + draw() * then * math.sqrt(-math.expm1(-2 * h * eta))
        seen_before.append(seen)
        lengths.append(h)
    return y


@each_number
@pytest.mark.parametrize("sampler", [ddim, heun])
def test_ddim_is_euler_of_k_diffusion_and_heun_its_heun(network, num_steps, sampler):
    start = draws(1)()
    expected = k_euler_or_heun(network, wide(start), levels(num_steps), second=sampler is heun)
    found = on_edms_grid(sampler, network, start, num_steps)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@each_number
def test_dpm_solver_2m_is_that_of_k_diffusion(network, num_steps):
    start = draws(1)()
    found = on_edms_grid(dpm_solver, network, start, num_steps)
    expected = k_dpmpp_2m(network, wide(start), levels(num_steps))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@each_number
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(("order", "theirs"), [(2, k_dpmpp_2m_sde), (3, k_dpmpp_3m_sde)])
def test_sde_dpm_solver_is_that_of_k_diffusion(network, num_steps, eta, order, theirs):
    start = draws(1)()
    expected = theirs(network, wide(start), levels(num_steps), draws(2), eta)
    options = {"order": order, "eta": eta, "published": order == 3, "draw_noises": draws(2)}
    found = on_edms_grid(dpm_solver, network, start, num_steps, **options)
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
