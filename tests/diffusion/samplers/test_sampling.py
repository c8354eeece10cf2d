"""`Sampling`: samplers by name, their calls and noise, and config.json with today's and removed names."""

import subprocess
import sys
from functools import partial
from typing import get_args

import pytest
import torch

from helpers.sampling import last
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.sampler_names import SamplerName, Spacing
from unnoise.diffusion.samplers import adams_bashforth, ddim, deis, dpm_solver, heun, spaced_times
from unnoise.diffusion.samplers.sampling import Sampling, self_conditioned
from unnoise.diffusion.schedules import Cosine, LinearBeta, LogSNRLinear, OffsetCosine, RectifiedFlow
from unnoise.runs.conversion import plain, structured
from unnoise.utils.errors import UnnoiseError

NOISES = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
NAMES = get_args(SamplerName)
EVERY = [name for name in NAMES if name != "consistency"]


class Counting:
    def __init__(self):
        self.calls, self.draws = 0, 0

    def __call__(self, noisy_images, noise_rates, signal_rates):
        self.calls += 1
        return Gaussian(0.3, 0.5)(noisy_images, noise_rates, signal_rates)

    def draw(self):
        self.draws += 1
        return torch.randn(NOISES.shape, generator=torch.Generator().manual_seed(self.draws)).double()


@pytest.mark.parametrize("spacing", ["uniform", "karras"])
@pytest.mark.parametrize("schedule", [LogSNRLinear(2, -8), OffsetCosine(0.02, 1.0), LinearBeta(40)])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("jumps", [False, True])
def test_calls_and_deterministic_are_true_of_every_sampler(name, schedule, spacing, jumps):
    sampling, count = Sampling(sampler=name, spacing=spacing, num_steps=6, jumps=jumps), Counting()
    steps = list(sampling.reverse_diffusion(count, NOISES, schedule, count.draw))
    assert len(steps) == 6
    assert count.calls == sampling.calls(schedule)
    assert (count.draws == 0) == sampling.deterministic
    times = spaced_times(spacing, 6, schedule, jumps=jumps or name == "consistency")
    wanted = schedule(times.view(-1, 1, 1, 1))
    assert all(torch.equal(*pair) for pair in zip(sampling.grid(schedule), wanted, strict=True))


def test_heun_calls_the_denoiser_twice_a_step_and_the_others_once():
    """Except for Heun's steps that end without noise or start without signal."""

    def calls(name, schedule):
        return Sampling(sampler=name, num_steps=10).calls(schedule)

    for name in EVERY:
        expected = {"heun": 20}.get(name, 10)
        assert calls(name, OffsetCosine()) == expected
    assert calls("heun", OffsetCosine(0.02, 1.0)) == calls("heun", LinearBeta(50)) == 19
    assert calls("heun", Cosine()) == calls("heun", RectifiedFlow()) == 18


@pytest.mark.parametrize("name", EVERY)
def test_every_sampler_gives_the_mean_and_standard_deviation_of_the_data(name):
    """Standard deviation 0.5 about 0.3, from 4 * 256 pixels of noise and 40 steps."""
    noises = torch.randn(4, 1, 16, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draw = partial(torch.randn, *noises.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    sampling = Sampling(sampler=name, spacing="log_snr", num_steps=40)
    images = last(
        sampling.reverse_diffusion(Gaussian(0.3, 0.5), noises, OffsetCosine(0.01, 0.9999), draw)
    ).images
    assert images.mean().item() == pytest.approx(0.3, abs=0.06)
    assert images.std().item() == pytest.approx(0.5, abs=0.08)


def test_names_of_samplers_stand_for_their_options():
    schedule = LogSNRLinear(2, -8)
    times = spaced_times("karras", 5, schedule)

    def named(name, **options):
        sampling = Sampling(sampler=name, spacing="karras", num_steps=5, **options)
        return last(sampling.reverse_diffusion(Gaussian(0.3, 0.5), NOISES, schedule, Counting().draw)).images

    def walked(sampler, **options):
        return last(sampler(Gaussian(0.3, 0.5), NOISES, 5, schedule, times=times, **options)).images

    assert torch.equal(named("dpmpp_2m"), walked(dpm_solver, order=2))
    assert torch.equal(named("dpmpp_3m"), walked(dpm_solver, order=3))
    drawn = walked(dpm_solver, order=3, eta=1.0, published=True, draw_noises=Counting().draw)
    assert torch.equal(named("dpmpp_3m_sde"), drawn)
    assert torch.equal(named("heun"), walked(heun))
    assert torch.equal(named("adams"), walked(deis, variable="ratio"))
    assert torch.equal(named("ipndm"), walked(adams_bashforth, order=4))
    assert torch.equal(named("ddim", eta=0.5), walked(ddim, eta=0.5, draw_noises=Counting().draw))


def test_which_samplers_are_deterministic():
    assert Sampling().deterministic
    assert not Sampling(eta=0.1).deterministic
    assert Sampling(sampler="dpmpp_2m", eta=0.1).deterministic  # eta is ddim's
    assert not Sampling(sampler="dpmpp_2m_sde").deterministic


def test_config_json_with_older_fields_and_every_name_is_read():
    before = {"sampler": "ddim", "num_steps": 60, "eta": 1.0, "spacing": "trailing", "clip": "none"}
    assert structured(before, Sampling, "config") == Sampling(num_steps=60, eta=1.0)
    for name in NAMES:
        ours = Sampling(sampler=name, spacing="karras", num_steps=8)
        assert structured(plain(ours), Sampling, "config") == ours


def test_config_json_with_a_removed_name_of_a_sampler_is_read():
    """Euler was DDIM without eta, and second_order was Heun's method."""
    old = {"sampler": "euler", "num_steps": 8, "eta": 0.5}
    assert structured(old, Sampling, "config") == Sampling(sampler="ddim", num_steps=8, eta=0.0)
    old = {"sampler": "second_order", "spacing": "karras"}
    assert structured(old, Sampling, "config") == Sampling(sampler="heun", spacing="karras")


def test_the_error_for_an_unknown_name_lists_all_names():
    # In another process, since the run-time type check of the tests would raise first.
    code = """
from unnoise.diffusion.samplers.sampling import Sampling
for field in ("sampler", "spacing"):
    try:
        Sampling(**{field: "euler_a"})
    except ValueError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    for field, names in (("sampler", SamplerName), ("spacing", Spacing)):
        listed = ", ".join(get_args(names))
        assert f"Sampling's {field} is one of {listed}, but got 'euler_a'." in done.stdout
        with pytest.raises(UnnoiseError, match="euler_a") as refused:
            structured({field: "euler_a"}, Sampling, "config")
        assert all(name in str(refused.value) for name in get_args(names))


@pytest.mark.parametrize("spacing", get_args(Spacing))
def test_too_few_and_too_many_steps_raise(spacing):
    with pytest.raises(UnnoiseError, match="at least 1 step, but got 0"):
        Sampling(sampler="heun", spacing=spacing, num_steps=0)
    sampling = Sampling(sampler="dpmpp_2m", spacing=spacing, num_steps=51)
    with pytest.raises(UnnoiseError, match="50 timesteps is sampled in 1 to 50 steps, but got 51"):
        sampling.reverse_diffusion(Gaussian(), NOISES, LinearBeta(50))


def test_reverse_diffusion_uses_the_sampler_and_the_spacing():
    schedule, noises = LinearBeta(50), torch.randn(4, 1, 3, 3, dtype=torch.float64)
    ours = last(Sampling(num_steps=7, spacing="leading").reverse_diffusion(Gaussian(), noises, schedule)).images
    times = schedule.times(7, "leading")
    torch.testing.assert_close(ours, last(ddim(Gaussian(), noises, 7, schedule, times=times)).images)
    assert (
        len(list(Sampling(sampler="ancestral", num_steps=50).reverse_diffusion(Gaussian(), noises, schedule)))
        == 50
    )


@pytest.mark.row("L4")
def test_self_conditioning_gives_each_step_the_images_of_the_step_before():
    given = []

    def denoise(noisy_images, noise_rates, signal_rates, *, previous_images):
        given.append(previous_images)
        return Gaussian()(noisy_images, noise_rates, signal_rates)

    noises = torch.randn(4, 1, 3, 3, dtype=torch.float64)
    predictions = list(ddim(self_conditioned(denoise), noises, 4, OffsetCosine()))
    assert given[0] is None
    for shown, prediction in zip(given[1:], predictions, strict=False):
        assert torch.equal(shown, prediction.images)


@pytest.mark.parametrize(
    ("choices", "message"), [({"num_steps": 0}, "at least 1 step"), ({"eta": 2.0}, "eta goes from 0")]
)
def test_choices_out_of_range_raise(choices, message):
    with pytest.raises(UnnoiseError, match=message):
        Sampling(**choices)
