"""The forward and the reverse process taken apart, against closed forms; schedules against their formulas."""

import math

import pytest
import torch

import unnoise as un
from helpers.worker_tasks import TINY
from unnoise import api
from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.tensors import Prediction

MEAN, STD = 0.1, 0.4


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on digits in ten classes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNNOISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        made = un.train("digits", steps=2, out=tmp_path_factory.mktemp("runs") / "mine", labels="auto", **TINY)
    return un.open(made.path, device="cpu")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def oracle(monkeypatch):
    """The denoiser of independent normalised pixels N(MEAN, STD^2), in place of the network."""
    exact = Gaussian(MEAN, STD)
    monkeypatch.setattr(Denoiser, "denoise", lambda _, noisy, noise, signal, **__: exact(noisy, noise, signal))


def noises(shown):
    """Noises from how they are shown."""
    return 6 * (shown - 0.5)


def test_the_reverse_steps_of_an_exact_denoiser_are_those_of_ddim(run, oracle):
    """X' = alpha' x_0 + sigma' eps (2010.02502, eq. 12), with the posterior mean as x_0."""
    steps = run.reverse_steps(3, seed=7, sampler="ddim", num_steps=6, polish=0.0)
    sampling = Sampling(sampler="ddim", num_steps=6, spacing=run.config.recipe.sampling.spacing)
    noise_rates, signal_rates = sampling.grid(run.config.schedule)
    assert steps.noise_rates == pytest.approx(noise_rates.flatten()[:-1].tolist())
    assert steps.signal_rates == pytest.approx(signal_rates.flatten()[:-1].tolist())
    normalizer = run.config.normalizer
    generators = [torch.Generator().manual_seed(seed) for seed in (7, 8, 9)]
    noisy = torch.stack([torch.randn((1, 8, 8), generator=generator) for generator in generators])
    for step in range(6):
        noise, signal = noise_rates[step].float(), signal_rates[step].float()
        variance = signal**2 * STD**2 + noise**2
        images = MEAN + signal * STD**2 / variance * (noisy - signal * MEAN)
        eps = (noisy - signal * images) / noise
        assert torch.allclose(steps.noisy[step], normalizer.denormalize(noisy), atol=1e-5)
        assert torch.allclose(steps.images[step], normalizer.denormalize(images), atol=1e-5)
        assert torch.allclose(noises(steps.noises[step]), eps.clamp(-3, 3), atol=1e-4)
        noisy = signal_rates[step + 1].float() * images + noise_rates[step + 1].float() * eps


def test_the_forward_step_of_an_exact_denoiser(run, oracle):
    """It predicts the posterior mean (Bishop, eq. 2.116) of what noise is mixed into."""
    step = run.forward_step(held_out=1, time=0.6, seed=11)
    noise_rate, signal_rate = (float(rate) for rate in run.config.schedule(torch.full((1, 1, 1, 1), 0.6)))
    assert (step.time, step.noise_rate, step.signal_rate) == (0.6, noise_rate, signal_rate)
    eps = torch.randn((1, 8, 8), generator=torch.Generator().manual_seed(11))[None]
    normalizer = run.config.normalizer
    clean = normalizer.normalize(step.clean)
    noisy = signal_rate * clean + noise_rate * eps
    variance = signal_rate**2 * STD**2 + noise_rate**2
    images = MEAN + signal_rate * STD**2 / variance * (noisy - signal_rate * MEAN)
    predicted = noise_rate / variance * (noisy - signal_rate * MEAN)
    assert torch.allclose(step.noisy, normalizer.denormalize(noisy), atol=1e-5)
    assert torch.allclose(noises(step.noise), eps.clamp(-3, 3), atol=1e-4)
    assert torch.allclose(step.predicted, normalizer.denormalize(images), atol=1e-5)
    assert torch.allclose(noises(step.predicted_noise), predicted.clamp(-3, 3), atol=1e-4)
    shown = normalizer.denormalize(images) - step.clean
    assert step.error == pytest.approx(float(shown.square().mean().sqrt()), rel=1e-4)
    assert step.noise_error == pytest.approx(float((predicted - eps).square().mean().sqrt()), rel=1e-4)
    # Both come from one noisy picture: the image's error is sigma / alpha times that of the noise.
    ratio = float((images - clean).square().mean().sqrt()) / step.noise_error
    assert ratio == pytest.approx(noise_rate / signal_rate, rel=1e-3)


def test_a_perfect_prediction_has_no_error(run, monkeypatch):
    truth = torch.randn((1, 8, 8), generator=torch.Generator().manual_seed(2))[None]

    def perfect(_, noisy, noise_rates, signal_rates, **__):
        return Prediction(truth, (noisy - noise_rates * truth) / signal_rates)

    monkeypatch.setattr(Denoiser, "denoise", perfect)
    step = run.forward_step(held_out=1, time=0.5, seed=2)
    assert step.error < 1e-5
    assert step.noise_error == 0


def test_the_last_step_is_the_drawn_picture(run):
    for words in ({}, {"sampler": "heun"}, {"labels": ["3"], "guidance": 2.0}, {"batch_size": 2}):
        drawn = run.generate(3, seed=5, **words)
        steps = run.reverse_steps(3, seed=5, **words)
        assert steps.noisy.shape == steps.images.shape == steps.noises.shape == (4, 3, 1, 8, 8)
        assert steps.noisy.dtype == torch.float32
        assert torch.allclose(steps.images[-1], drawn.tensor, atol=1e-5)
        walked = run.generate(3, seed=5, **words, lazy=True).trajectory()
        assert torch.allclose(walked[:-1], steps.noisy, atol=1e-5)


def test_the_network_is_told_the_class(run, monkeypatch):
    told = []

    def denoise(_, noisy, noise_rates, signal_rates, classes=None, **__):
        told.append(None if classes is None else classes.tolist())
        return Prediction(noisy, noisy)

    monkeypatch.setattr(Denoiser, "denoise", denoise)
    run.forward_step(held_out=1, label="3")
    run.forward_step(held_out=1)
    run.reverse_steps(2, num_steps=1, labels=["4", "7"], autoguidance=1.0, polish=0.0)
    assert told == [[3], None, [4, 7]]
    with pytest.raises(un.UnnoiseError, match="knows no class"):
        run.forward_step(held_out=1, label="cat")


def test_every_step_is_told(run):
    told = []
    run.reverse_steps(2, num_steps=5, batch_size=1, progress=lambda part, text: told.append((part, text)))
    assert [part for part, _ in told] == pytest.approx([n / 10 for n in range(1, 11)])
    assert told[6][1] == "Drawing: step 2 of 5"


@pytest.mark.parametrize(
    "words", [{"time": -0.1}, {"time": 1.1}, {"time": math.nan}, {"held_out": 2}, {"held_out": 0}]
)
def test_what_cannot_be_explained_is_refused(run, words):
    with pytest.raises(un.UnnoiseError):
        run.forward_step(**{"held_out": 1} | words)


TIMES = torch.linspace(0, 1, 101, dtype=torch.float64)


def signal_of_betas():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    powers = torch.cat([torch.ones(1, dtype=torch.float64), (1 - betas).cumprod(0)])
    return powers[(TIMES * 1000).round().long()].sqrt()


FORMULAS = {
    "cosine": (TIMES * math.pi / 2).cos(),
    "offset_cosine": (math.acos(0.9) + TIMES * (math.acos(0.05) - math.acos(0.9))).cos(),
    "linear": (-(0.1 * TIMES + 19.9 * TIMES**2 / 2) / 2).exp(),
    "ddpm_linear": signal_of_betas(),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_schedules_follow_their_formulas(name):
    curve = api.schedule_curve(name, min_signal_rate=0.05, max_signal_rate=0.9)
    signal = FORMULAS[name]
    noise = (1 - signal**2).clamp(min=0).sqrt()
    assert curve.name == name
    assert curve.times == pytest.approx(TIMES.tolist())
    assert curve.signal_rates == pytest.approx(signal.tolist(), abs=1e-9)
    assert curve.noise_rates == pytest.approx(noise.tolist(), abs=1e-7)
    log_snr = 2 * (signal.clamp(min=1e-30).log() - noise.clamp(min=1e-30).log())
    assert curve.log_snr == pytest.approx(log_snr.clamp(-20, 20).tolist(), abs=1e-5)


def test_the_schedule_of_a_run_is_its_own(run):
    curve = api.schedule_curve(run)
    noise, signal = run.config.schedule(TIMES.view(-1, 1, 1, 1))
    assert curve.name == type(run.config.schedule).__name__
    assert curve.noise_rates == pytest.approx(noise.flatten().tolist())
    assert curve.signal_rates == pytest.approx(signal.flatten().tolist())


@pytest.mark.parametrize("words", [{"schedule": "magic"}, {"min_signal_rate": 0.99}, {"max_signal_rate": 2.0}])
def test_what_is_no_schedule_is_refused(words):
    with pytest.raises(un.UnnoiseError):
        api.schedule_curve(**words)


def test_a_kept_run_loads_its_weights_once(run, tmp_path):
    kept = api.open_run(run.path, device="cpu", keep=True)
    first, second = kept.folder.load("cpu"), kept.folder.load("cpu")
    assert first is not second
    assert first.network is second.network
    first.pieces.size = 1
    assert second.pieces.size is None
    (run.path / "model.safetensors").rename(tmp_path / "away")
    (tmp_path / "away").rename(run.path / "model.safetensors")  # the same file, changed as far as one can tell
    assert kept.folder.load("cpu").network is not first.network
    with pytest.raises(un.UnnoiseError, match=r"no best\.safetensors"):
        kept.folder.load("cpu", best=True)
