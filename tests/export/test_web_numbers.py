"""Arithmetic of an exported page, in Chromium: noises, paths between them, and samplers are those of Python."""

from dataclasses import asdict
from functools import partial

import numpy as np
import pytest
import torch

from helpers.browser import PAGE
from unnoise.diffusion.clusters import Clusters
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.interpolation import slerp
from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.samplers.sampling import Sampling, self_conditioned
from unnoise.diffusion.samplers.step_ends import jumping
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine
from unnoise.diffusion.seeds import SeededNoises
from unnoise.diffusion.tensors import Prediction
from unnoise.export.web.facts import own_sampler

SHAPE = (3, 5, 4)
BLACK, WHITE = [-0.6, -0.5, -0.4], [0.5, 0.6, 0.4]
_STDS = [1 / (white - black) for black, white in zip(BLACK, WHITE, strict=True)]
NORMALIZER = Normalizer(tuple(-black * std for black, std in zip(BLACK, _STDS, strict=True)), tuple(_STDS))
NO_CLASS = 3


@pytest.fixture(scope="module")
def scripts(chromium):
    """A blank tab with the scripts of a page."""
    tab = chromium.new_page()
    for name in ("noises.js", "sampler.js", "model.js", "pixels.js", "drawing.js"):
        tab.add_script_tag(path=str(PAGE / name))
    yield tab
    tab.close()


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1, 2**32 + 5, 2**63 - 1])
def test_noises_of_a_seed_are_those_of_pytorch(scripts, seed):
    for shape in ((1, 8, 8), (3, 5, 7), (1, 3, 3), (1, 4, 4), (3, 32, 32)):
        noises = SeededNoises([seed], shape)
        count = int(np.prod(shape))
        code = "([seed, count]) => { const noises = new SeededNoises(seed); "
        code += "return [0, 1, 2].map(() => Array.from(noises.next(count))); }"
        for found in scripts.evaluate(code, [str(seed), count]):
            assert np.abs(np.array(found) - noises().flatten().numpy()).max() < 1e-6


def test_the_cluster_of_a_seed_is_that_of_python(scripts):
    clusters = Clusters(1, 4)
    clusters.counts.copy_(torch.tensor([5, 0, 700, 31]))
    seeds = [*range(40), 2**32 + 5, 2**53 - 1, 2**63 - 1]
    code = (
        "([seeds, counts]) => seeds.map((seed) => classOf('turn', seed, { num_classes: 4, clusters: counts }))"
    )
    found = scripts.evaluate(code, [list(map(str, seeds)), clusters.counts.tolist()])
    assert found == clusters.of_seeds(seeds).tolist()


def test_paths_between_noises_are_those_of_python(scripts):
    start, end = SeededNoises([1, 2], SHAPE)().split(1)
    for other in (end, start):
        for fraction in (0, 0.3, 1):
            wanted = slerp(start, other, torch.full((1, 1, 1, 1), float(fraction)))
            given = [start.flatten().tolist(), other.flatten().tolist(), fraction]
            code = "([a, b, f]) => Array.from(slerp(Float32Array.from(a), Float32Array.from(b), f))"
            assert np.abs(np.array(scripts.evaluate(code, given)) - wanted.flatten().numpy()).max() < 1e-6


def denoise(noisy_images, noise_rates, signal_rates, *, classes, previous_images=None, ends=None):
    """The network of the stand-in runtime, which is told where a step ends."""
    before = 0 if previous_images is None else previous_images
    there = 0.2 * (noise_rates if ends is None else ends.noise_rates)
    images = torch.tanh(signal_rates * noisy_images + classes.view(-1, 1, 1, 1) / 10 + 0.3 * before + there)
    return Prediction((noisy_images - signal_rates * images) / noise_rates, images)


def denoise_for(classes, ends_of):
    told = partial(denoise, classes=torch.tensor([NO_CLASS]) if classes is None else classes)
    return self_conditioned(told if ends_of is None else jumping(told, ends_of))


STRONG = Guidance(scale=3.0)
SAMPLINGS = {
    "DDIM": Sampling(),
    "DDIM with noise": Sampling(eta=0.5),
    "DDPM": Sampling(sampler="ancestral"),
    "DDPM, large": Sampling(sampler="ancestral", variance="large"),
    "DPM-Solver++": Sampling(sampler="dpmpp_2m"),
    "DPM-Solver++ SDE": Sampling(sampler="dpmpp_2m_sde", spacing="log_snr"),
    "consistency": Sampling(sampler="consistency", num_steps=3),
    "Karras": Sampling(sampler="dpmpp_2m", spacing="karras", num_steps=7),
    "clipped": Sampling(clip="static", sampler="dpmpp_2m"),
    "clipped images": Sampling(clip="images"),
    "clipped images of DDPM": Sampling(clip="images", sampler="ancestral"),
    "clipped after scaling": Sampling(clip="dynamic"),
    "guided": Sampling(guidance=STRONG),
    "guided and rescaled": Sampling(guidance=Guidance(scale=3.0, rescale=0.7), sampler="dpmpp_2m"),
    "guided in an interval": Sampling(guidance=Guidance(scale=3.0, interval=(0.3, 5.0)), clip="static"),
    "polished": Sampling(guidance=STRONG, polish=0.4),
}


@pytest.mark.parametrize("name", SAMPLINGS)
@pytest.mark.parametrize("schedule", [OffsetCosine(), LinearBeta(100)], ids=["continuous", "discrete"])
def test_every_sampler_of_the_page_draws_what_python_draws(scripts, name, schedule):
    sampling = SAMPLINGS[name]
    grid = sampling.grid(schedule)
    facts = {
        "image_shape": SHAPE,
        "sampling": {name: asdict(sampling)[name] for name in ("clip", "guidance", "polish")},
        "rates": {"own": {rate: values.flatten().tolist() for rate, values in grid._asdict().items()}},
        "black": BLACK,
        "white": WHITE,
        "num_classes": NO_CLASS,
        "classes": list("abc"),
    }
    chosen = {"steps": "own", "sampler": asdict(own_sampler(sampling))}
    code = """async ([facts, chosen]) => {
      const predict = async (noisy, noise, signal, number, before, ends) => {
        const shift = (i) => number / 10 + (before ? 0.3 * before[i] : 0) + 0.2 * ends[0];
        const images = noisy.map((x, i) => Math.tanh(signal * x + shift(i)));
        return { images, noises: noisesIn(noisy, images, noise, signal) };
      };
      const found = [], process = processOfSeed({ predict }, facts, "5", chosen);
      for await (const { images } of process) found.push(Array.from(images));
      return found;
    }"""
    bounds = tuple(torch.tensor(ends).view(1, 3, 1, 1) for ends in (BLACK, WHITE))
    for choice, classes in (("turn", torch.tensor([2])), ("1", torch.tensor([1])), ("none", None)):
        found = scripts.evaluate(code, [facts, {**chosen, "classChoice": choice}])
        draw = SeededNoises([5], SHAPE)
        told = partial(denoise_for, ends_of=sampling.step_ends(schedule))
        guided = sampling.guided_denoise(told, classes, bounds)
        polishing = {"unguided": denoise_for(classes, None), "normalizer": NORMALIZER}
        walk = sampling.reverse_diffusion(guided, draw(), schedule, draw, **polishing)
        wanted = [one.images for one in walk]
        assert len(found) == len(wanted)
        for ours, theirs in zip(found, wanted, strict=True):
            assert np.abs(np.array(ours) - theirs.flatten().numpy()).max() < 2e-5


def test_a_path_between_seeds_begins_and_ends_with_their_pictures(scripts):
    grid = Sampling(num_steps=4).grid(OffsetCosine())
    facts = {
        "image_shape": SHAPE,
        "sampling": {"clip": "none", "guidance": asdict(Guidance())},
        "rates": {"own": {rate: values.flatten().tolist() for rate, values in grid._asdict().items()}},
        "num_classes": 0,
        "classes": [],
    }
    code = """async (facts) => {
      const predict = async (noisy, noise, signal) => {
        const images = noisy.map((x) => Math.tanh(signal * x));
        return { images, noises: noisesIn(noisy, images, noise, signal) };
      };
      const last = async (process) => {
        let found = null;
        for await (const { images } of process) found = Array.from(images);
        return found;
      };
      const plain = { order: 1, eta: 0 }, noisy = { order: 2, eta: 1 };
      const ends = ["3", "4"].map((seed) => [seed, { steps: "own", sampler: plain, classChoice: "turn" }]);
      const between = [0, 1, 0.5].map((fraction) => processBetween(
        { predict }, facts, ["3", "4"], fraction, { steps: "own", sampler: noisy, classChoice: "turn" }));
      const drawn = ends.map((one) => processOfSeed({ predict }, facts, ...one));
      return Promise.all([...drawn, ...between].map(last));
    }"""
    first, second, start, end, middle = np.array(scripts.evaluate(code, facts))
    assert np.abs(first - start).max() < 1e-6
    assert np.abs(second - end).max() < 1e-6
    assert min(np.abs(middle - first).max(), np.abs(middle - second).max()) > 0.01


@pytest.mark.parametrize(("error", "taken"), [(0, True), (5e-4, True), (5e-3, False)])
def test_another_device_is_taken_if_it_agrees_and_is_faster(scripts, error, taken):
    facts = {
        "image_shape": SHAPE,
        "sampling": {"num_steps": 4},
        "rates": {"4": {"noise_rates": [1, 0.8, 0.6, 0.3, 0], "signal_rates": [0, 0.6, 0.8, 0.95, 1]}},
        "num_classes": 0,
    }
    code = """async ([facts, error]) => {
      const wait = () => new Promise((resolve) => setTimeout(resolve, 20));
      const slow = { predict: async (noisy) => (await wait(), { images: noisy }) };
      const fast = { predict: async (noisy) => ({ images: noisy.map((x) => x + error) }) };
      return [await isBetter(fast, slow, facts), await isBetter(slow, fast, facts)];
    }"""
    assert scripts.evaluate(code, [facts, error]) == [taken, False]


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pixels_are_normalised_back_clamped_and_rounded(scripts, channels):
    values = torch.linspace(-2, 2, channels * 6).view(channels, 2, 3)
    facts = {"image_shape": [channels, 2, 3], "normalizer": {"mean": [0.4], "std": [0.3]}}
    code = "([values, facts]) => Array.from(toPixels(Float32Array.from(values), facts).data)"
    found = np.array(scripts.evaluate(code, [values.flatten().tolist(), facts])).reshape(2, 3, 4)
    wanted = ((0.4 + 0.3 * values).clamp(0, 1) * 255).round().numpy().transpose(1, 2, 0)
    colours = wanted[..., : channels - 1 + channels % 2]
    assert (found[..., :3] == colours).all()
    assert (found[..., 3:] == (255 if channels % 2 else wanted[..., -1:])).all()


def test_samplers_that_the_page_lacks_are_known():
    assert own_sampler(Sampling(sampler="heun")) is None
    assert own_sampler(Sampling(sampler="ancestral", variance="learned")) is None
