"""The processes taken apart: what each step starts from and predicts, against the equation and `generate`."""

import math

import pytest
import torch

from unnoise import UnnoiseError, api


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return api.train("digits", out=tmp_path_factory.mktemp("explained") / "run", steps=6, batch_size=16)


def test_the_reverse_steps_end_in_the_pictures_of_generate(run):
    steps = api.reverse_steps(run, 2, seed=5, num_steps=4, sampler="ddim")
    drawn = run.generate(2, seed=5, num_steps=4, sampler="ddim").tensor
    assert torch.equal(steps.images[-1], drawn)
    assert steps.noisy.shape == (4, 2, *drawn.shape[1:])
    for noise_rate, signal_rate in zip(steps.noise_rates, steps.signal_rates, strict=True):
        assert noise_rate**2 + signal_rate**2 == pytest.approx(1, abs=1e-6)
    assert steps.noise_rates == sorted(steps.noise_rates, reverse=True)


@pytest.mark.parametrize("time", [0.0, 0.3, 0.7, 1.0])
def test_the_noisy_picture_is_the_mixture_that_the_equation_says(run, time):
    step = api.forward_step(run, held_out=1, time=time, seed=3)
    normalizer, noise = run.folder.load(run.torch_device).normalizer, 6 * (step.noise - 0.5)
    mixed = (
        step.signal_rate * normalizer.normalize((255 * step.clean).round().to(torch.uint8))
        + step.noise_rate * noise
    )
    # Shown noises are cut off at 3 standard deviations.
    inside = noise.abs() < 2.99
    difference = (normalizer.denormalize(mixed) - step.noisy)[inside]
    assert difference.abs().max() < 1e-4
    assert step.noise_rate**2 + step.signal_rate**2 == pytest.approx(1, abs=1e-6)


def test_the_errors_are_root_mean_squares_and_grow_with_the_noise(run):
    steps = [api.forward_step(run, held_out=1, time=time) for time in (0.02, 0.98)]
    for step in steps:
        assert step.error == pytest.approx(float((step.predicted - step.clean).square().mean().sqrt()))
    assert steps[0].error < steps[1].error
    assert steps[0].noise_error > steps[1].noise_error


def test_a_seed_is_a_noise_and_its_neighbour_another(run):
    first, again, other = (api.forward_step(run, held_out=1, seed=3, time=t) for t in (0.4, 0.8, 0.4))
    assert torch.equal(first.noise, again.noise)
    assert torch.equal(first.noise, other.noise)
    assert not torch.equal(first.noise, api.forward_step(run, held_out=1, seed=4, time=0.4).noise)


def test_schedules_are_the_curves_of_their_formulas(run):
    cosine = api.schedule_curve("cosine")
    for time, noise_rate in zip(cosine.times, cosine.noise_rates, strict=True):
        assert noise_rate == pytest.approx(math.sin(time * math.pi / 2), abs=1e-9)
    offset = api.schedule_curve("offset_cosine", min_signal_rate=0.1, max_signal_rate=0.9)
    assert (offset.signal_rates[0], offset.signal_rates[-1]) == pytest.approx((0.9, 0.1))
    linear = api.schedule_curve("linear")  # beta(t) = 0.1 + 19.9 t, integrated
    assert linear.signal_rates[-1] == pytest.approx(math.exp(-(0.1 + 19.9 / 2) / 2), rel=1e-6)
    own = run.config.schedule(torch.full((1, 1, 1, 1), 0.5, dtype=torch.float64))
    assert api.schedule_curve(run).noise_rates[50] == pytest.approx(float(own.noise_rates))


@pytest.mark.parametrize(
    ("ask", "sentence"),
    [
        (lambda run: api.forward_step(run, held_out=1, time=1.5), "from 0 .clean. to 1 .noise., but got 1.5"),
        (lambda run: api.forward_step(run, held_out=2), "One picture is explained at a time, but got 2"),
        (lambda _: api.schedule_curve("wave"), "no schedule 'wave': choose from offset_cosine"),
        (lambda _: api.schedule_curve("offset_cosine", min_signal_rate=2), "0 < min_signal_rate"),
    ],
)
def test_what_cannot_be_explained_is_said_in_a_sentence(run, ask, sentence):
    with pytest.raises(UnnoiseError, match=sentence):
        ask(run)
