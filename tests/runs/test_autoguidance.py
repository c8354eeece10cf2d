"""Autoguidance: exact on Gaussians, unchanged at scale 1, and chosen by step or run."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.runs import digits, start
from helpers.sampling import column, last
from unnoise import Diffusion, Normalizer, pictures
from unnoise.api import open_run
from unnoise.cli import run as unnoise
from unnoise.diffusion.autoguidance import guided_by
from unnoise.diffusion.guidance import Autoguidance, Guidance
from unnoise.diffusion.oracles import Gaussian
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import OffsetCosine
from unnoise.networks import UNet
from unnoise.optim.power_ema import Profile
from unnoise.reports.comparison import sample_seeds
from unnoise.reports.run_folder import RunFolder
from unnoise.runs import snapshots as snapshots_module
from unnoise.runs.autoguidance import load_as_it_draws, own_sampling, weaker_of, with_own_sampling
from unnoise.runs.checkpoint import Run
from unnoise.runs.history import PREVIEWS, PreviewRow
from unnoise.runs.presets import recipe
from unnoise.runs.snapshots import Snapshots
from unnoise.trainer.loop import train
from unnoise.trainer.recorder import Recorder
from unnoise.utils.errors import UnnoiseError
from unnoise.utils.tables import read_table
from unnoise.utils.tensor_files import read_tensors, write_tensors

NOISES = torch.randn(2000, 1, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
SCHEDULE = OffsetCosine(0.002, 0.9999)
BOUNDS = (-torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1))


def away_from(weak, scale, **where):
    return Autoguidance(lambda _classes: weak, Guidance(scale=scale, **where))


def never(*_arguments):
    raise AssertionError("the weaker one was called")


# --- in closed form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
def test_the_spread_of_a_guided_gaussian_is_the_closed_form(scale):
    """The flow dy/dr = eps is linear in y for both, so the factor from r = R down to q is in closed form.

    It divides the spread by ((s^2 + R^2) / (s^2 + q^2))^(w / 2) ((b^2 + R^2) / (b^2 + q^2))^((1 - w) / 2) for
    stds s and b of the better and the worse, at scale w. So s (s / b)^(w - 1) is left, about: narrower than the
    data, where the worse one is too wide.
    """
    better, worse = 0.5, 0.9
    sampling = Sampling(sampler="dpmpp_2m", num_steps=400)
    denoise = sampling.guided_denoise(
        lambda _: Gaussian(0.0, better), None, BOUNDS, away_from(Gaussian(0.0, worse), scale)
    )
    images = last(sampling.reverse_diffusion(denoise, NOISES[:1], SCHEDULE)).images
    ratios = [float(noise / signal) for noise, signal in zip(*SCHEDULE(column(1.0, 0.0)), strict=True)]
    first, final = (ratio**2 for ratio in ratios)
    shrunk = ((better**2 + first) / (better**2 + final)) ** (scale / 2)
    shrunk *= ((worse**2 + first) / (worse**2 + final)) ** ((1 - scale) / 2)
    signal = float(SCHEDULE(column(1.0)).signal_rates)
    assert (images / NOISES[:1]).mean().item() == pytest.approx(1 / signal / shrunk, rel=0.01)
    assert 1 / signal / shrunk == pytest.approx(better * (better / worse) ** (scale - 1), rel=0.01)


def test_means_are_guided_by_the_scale():
    for scale in (0.0, 2.5):
        sampling = Sampling(num_steps=200)
        denoise = sampling.guided_denoise(
            lambda _: Gaussian(1.0, 1.0), None, BOUNDS, away_from(Gaussian(0.0, 1.0), scale)
        )
        images = last(sampling.reverse_diffusion(denoise, NOISES, SCHEDULE)).images
        assert images.mean().item() == pytest.approx(scale, abs=0.03)
        assert images.std().item() == pytest.approx(1, abs=0.03)


def test_both_kinds_of_guidance_add_up():
    """Of equal stds all answers differ by constants: the second starts where the first ends."""
    noisy, rates = NOISES[:4], SCHEDULE(column(0.5, 0.5, 0.5, 0.5, dtype=torch.float64))
    means = {"class": 1.0, "none": 0.25, "weak": -0.5}
    seen = {name: Gaussian(mean, 1.0) for name, mean in means.items()}
    sampling = Sampling(guidance=Guidance(scale=3.0))
    denoise = sampling.guided_denoise(
        lambda classes: seen["none" if classes is None else "class"],
        torch.zeros(4, dtype=torch.long),
        BOUNDS,
        away_from(seen["weak"], 2.0),
    )
    images = {name: denoiser(noisy, *rates).images for name, denoiser in seen.items()}
    led = images["class"] + (images["class"] - images["weak"])
    found = denoise(noisy, *rates)
    torch.testing.assert_close(found.images, images["none"] + 3 * (led - images["none"]))
    torch.testing.assert_close(rates.signal_rates * found.images + rates.noise_rates * found.noises, noisy)


def test_scale_1_never_calls_the_weak_network_and_an_interval_only_inside():
    sampling, asked = Sampling(num_steps=40), []

    def weak(*arguments):
        asked.append(float(arguments[1][0] / arguments[2][0]))
        return Gaussian(0.0, 1.0)(*arguments)

    plain = sampling.guided_denoise(lambda _: Gaussian(0.3, 0.5), None, BOUNDS)
    still = sampling.guided_denoise(lambda _: Gaussian(0.3, 0.5), None, BOUNDS, away_from(never, 1.0))
    for ours, theirs in zip(
        sampling.reverse_diffusion(still, NOISES, SCHEDULE),
        sampling.reverse_diffusion(plain, NOISES, SCHEDULE),
        strict=True,
    ):
        assert torch.equal(ours.images, theirs.images)
    somewhere = away_from(weak, 2.0, interval=(0.5, 2.0))
    last(
        sampling.reverse_diffusion(
            sampling.guided_denoise(lambda _: Gaussian(), None, BOUNDS, somewhere), NOISES, SCHEDULE
        )
    )
    assert asked
    assert all(0.5 <= ratio <= 2 for ratio in asked)
    asked.clear()
    last(
        sampling.reverse_diffusion(
            sampling.guided_denoise(lambda _: Gaussian(), None, BOUNDS, away_from(weak, 2.0)), NOISES, SCHEDULE
        )
    )
    assert len(asked) == 40


# --- networks -----------------------------------------------------------------------------------------------


def network(seed: int, **settings) -> UNet:
    torch.manual_seed(seed)
    made = UNet(1, (8, 16), 1, **settings)
    torch.nn.init.normal_(made.head.weight, std=0.1)  # which starts at zero
    return made


def test_a_smaller_network_guides_a_larger_one():
    strong = Diffusion(network(0), (1, 8, 8)).ema
    weak = Diffusion(network(1, patch_size=2), (1, 8, 8)).ema
    noises, rates = torch.randn(3, 1, 8, 8), SCHEDULE(column(0.4, 0.4, 0.4))
    guided = guided_by(strong, weak, Guidance(scale=1.5))
    with torch.no_grad():
        found = guided.guided_denoise(Sampling())(noises, *rates).images
        better, worse = (each.denoise(noises, *rates).images for each in (strong, weak))
    torch.testing.assert_close(found, worse + 1.5 * (better - worse))
    assert not torch.allclose(better, worse, atol=1e-2)
    assert strong.autoguidance is None  # which stays as it was
    plain, same = (each.generate(3, 4, seed=5) for each in (strong, guided_by(strong, weak, Guidance())))
    assert torch.equal(plain, same)
    led = guided.generate(3, 4, seed=5)
    assert not torch.allclose(led, plain, atol=1e-3)
    torch.testing.assert_close(led[1:2], guided.generate(1, 4, seed=6))


def test_self_conditioned_networks_keep_separate_predictions():
    strong, weak = (Diffusion(network(seed, self_conditioning=True), (1, 8, 8)).ema for seed in (0, 1))
    guided, noises = guided_by(strong, weak, Guidance(scale=2.0)), torch.randn(2, 1, 8, 8)
    first = last(guided.reverse_diffusion(noises, 4)).images
    assert torch.equal(first, last(guided.reverse_diffusion(noises, 4)).images)  # nothing is left of a walk
    better, worse = (each.denoise_for(None) for each in (strong, weak))
    rates = SCHEDULE(column(0.4, 0.4))
    with torch.no_grad():
        denoise = guided.guided_denoise(Sampling())
        for _ in range(3):
            expected = [each(noises, *rates).images for each in (better, worse)]
            torch.testing.assert_close(denoise(noises, *rates).images, 2 * expected[0] - expected[1])


@pytest.mark.parametrize(
    ("weak", "message"),
    [
        (
            lambda: Diffusion(network(1), (1, 16, 16)),
            r"height, width\) \(1, 16, 16\), but this one \(1, 8, 8\)",
        ),
        (
            lambda: Diffusion(network(1), (1, 8, 8), normalizer=Normalizer((0.5,), (0.5,))),
            "normalises images by",
        ),
        (lambda: Diffusion(network(1, num_classes=3), (1, 8, 8)), "knows 3 classes, but this one 0"),
    ],
)
def test_a_weak_network_of_other_images_or_classes_is_refused(weak, message):
    with pytest.raises(UnnoiseError, match=message):
        guided_by(Diffusion(network(0), (1, 8, 8)).ema, weak().ema, Guidance(scale=2.0))


# --- runs ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 8)
    ema = replace(made.config.recipe.ema, profiles=(0.05, 0.1), snapshots=4)
    recipe = replace(made.config.recipe, ema=ema, sampling=Sampling(num_steps=4), autoguidance=1.0)
    made = made.with_config(replace(made.config, recipe=recipe))
    with pytest.MonkeyPatch.context() as quick:
        for name in ("preview", "write_history", "draw_charts"):  # not needed here, and slow
            quick.setattr(Recorder, name, lambda *_, **__: None)
        last(train(made, digits()))
    return made


@pytest.fixture
def run(trained, tmp_path):
    shutil.copytree(trained.path, tmp_path / "run")
    return Run.open(tmp_path / "run")


def test_the_first_average_after_a_quarter_of_the_steps_is_the_weak_one(run):
    snapshots = Snapshots(run.path / "ema")
    assert sorted({profile.step for profile in snapshots.stored()}) == [2, 4, 6, 8]
    assert snapshots.weaker() == Profile(2, 0.1)
    assert snapshots.at(6) == Profile(6, 0.1)
    assert snapshots.weaker(run.path / "model.safetensors") == Profile(2, 0.1)
    tensors, facts = read_tensors(run.path / "model.safetensors")
    for step, weaker in ((21, 6), (3, 2), (2, None)):  # weights of other steps, such as those of --best
        write_tensors(run.path / "best.safetensors", tensors, facts | {"step": str(step)})
        found = snapshots.weaker(run.best_weights)
        assert (found and found.step) == weaker
    snapshots.keep([4, 8])
    assert snapshots.weaker() == Profile(4, 0.1)
    snapshots.path(Profile(4, 0.1)).rename(snapshots.path(Profile(1, 0.1)))
    snapshots.path(Profile(4, 0.05)).unlink()
    assert snapshots.weaker() == Profile(1, 0.1)  # before a quarter, but there is no other


@pytest.mark.parametrize(
    ("last", "stored", "guide"),
    [
        (176, [1, 4, 44, 66, 88, 110, 132, 154], 66),  # a quarter has hardly learned, but later ones have
        (1000, [125, 250, 375, 500], 250),
        (2205, [267, 548, 829], 548),  # stored after a quarter of the time, which were fewer steps
        (90, [11, 22, 33, 44, 55], 55),
        (90, [60, 75], 60),
        (90, [11, 70], None),  # too much like the last
        (1000, [100, 950], None),
        (40, [10, 20, 30], None),
    ],
)
def test_pictures_are_guided_by_the_first_average_that_has_learned(tmp_path, last, stored, guide):
    snapshots, weights = Snapshots(tmp_path / "ema"), tmp_path / "model.safetensors"
    snapshots.folder.mkdir()
    for step in (*stored, last):
        snapshots.path(Profile(step, 0.1)).touch()
    write_tensors(weights, {"weight": torch.zeros(1)}, {"step": str(last)})
    found = snapshots.guide(weights)
    assert (found and found.step) == guide


def test_a_run_is_guided_by_its_own_earlier_average(run):
    strong = run.load()
    weak = weaker_of(run)
    assert weak.name == "its own average at step 2 (sigma_rel 0.1)"
    noises, rates = torch.randn(3, 1, 8, 8), SCHEDULE(column(0.4, 0.4, 0.4))
    with torch.no_grad():
        found = guided_by(strong, weak.denoiser, Guidance(scale=3.0)).guided_denoise(Sampling())(noises, *rates)
        better, worse = (each.denoise(noises, *rates).images for each in (strong, weak.denoiser))
    torch.testing.assert_close(found.images, worse + 3 * (better - worse))
    assert not torch.equal(better, worse)


def drawn(run, capsys, *arguments: object):
    out = run.path.parent / "drawn.npz"
    given = ("generate", run.path, "--num-images", 3, "--device", "cpu", "--out", out, *arguments)
    assert unnoise([str(argument) for argument in given]) == 0
    return np.load(out)["images"].astype(int), capsys.readouterr().err


def test_generate_with_autoguidance(run, capsys):
    plain, _ = drawn(run, capsys)
    same, said = drawn(run, capsys, "--autoguidance", 1)
    assert (same == plain).all()
    led, said = drawn(run, capsys, "--autoguidance", 3)
    assert "Autoguidance of scale 3, away from its own average at step 2 (sigma_rel 0.1)." in said
    assert (led != plain).any()
    outside, said = drawn(run, capsys, "--autoguidance", 3, "--guidance-interval", 1e6, 1e7)
    assert (outside == plain).all()
    from_6, said = drawn(run, capsys, "--autoguidance", 3, "--weak", 6)
    assert "step 6" in said
    assert (from_6 != led).any()
    from_itself, said = drawn(run, capsys, "--autoguidance", 3, "--weak", run.path)
    assert abs(from_itself - plain).max() <= 1  # the difference to itself is nothing, to rounding


@pytest.fixture
def learned(monkeypatch):
    """Averages of a few steps are taken for such that have learned."""
    monkeypatch.setattr(snapshots_module, "LEARNED_STEPS", 1)


def test_an_average_that_has_hardly_learned_guides_only_where_it_is_asked_for(run, capsys):
    plain, _ = drawn(run, capsys)
    assert (drawn(with_own_scale(run, 3.0), capsys)[0] == plain).all()
    assert (drawn(run, capsys, "--autoguidance", 3)[0] != plain).any()


def with_own_scale(run, scale):
    return run.with_config(replace(run.config, recipe=replace(run.config.recipe, autoguidance=scale)))


@pytest.mark.usefixtures("learned")
@pytest.mark.parametrize(("scale", "steps"), [(2.0, 2), (1.0, 4)])
def test_the_last_sheet_of_training_shows_what_generate_draws(scale, steps, tmp_path):
    changes = [f"autoguidance={scale}", "ema.profiles=[0.1]", "sampling.num_steps=4"]
    run = start(tmp_path / "run", 8, recipe_changes=[*changes, 'guided_sampling={"num_steps": 2}'])
    last(train(run, digits()))
    assert own_sampling(run).num_steps == steps
    drawn = load_as_it_draws(run).generate(36, sampling=own_sampling(run))
    sheet = Image.open(run.samples / "0000000008.png")
    assert (np.asarray(sheet) == np.asarray(pictures.grid(drawn, columns=6))).all()
    looked = read_table(run.path / PREVIEWS, PreviewRow)[-1]
    assert (looked.pictures, looked.num_steps) == (36, steps)


@pytest.mark.usefixtures("learned")
def test_a_run_draws_by_its_own_scale(run, capsys):
    """Of the preset nano it is 2. Without an earlier average, and with --autoguidance 1, there is none."""
    plain, _ = drawn(run, capsys)
    led, _ = drawn(run, capsys, "--autoguidance", 3)
    own = with_own_scale(run, 3.0)
    found, said = drawn(own, capsys)
    assert (found == led).all()
    assert "Autoguidance" not in said  # what a run always does is not told each time
    assert (drawn(own, capsys, "--autoguidance", 1)[0] == plain).all()
    assert (drawn(own, capsys, "--weak", 6)[0] == drawn(run, capsys, "--autoguidance", 3, "--weak", 6)[0]).all()
    Snapshots(own.path / "ema").keep([8])
    assert (drawn(own, capsys)[0] == plain).all()
    assert recipe("nano", 1, 28, 28).autoguidance == 2
    assert recipe("keras-ddim", 1, 28, 28).autoguidance == 1


@pytest.mark.usefixtures("learned")
def test_guided_pictures_have_a_sampling_of_their_own(run, capsys):
    """What draws without guidance keeps the other; `--set sampling...` is for both."""
    few = Sampling(sampler="dpmpp_2m", num_steps=2, spacing="karras")
    asked = ("--sampler", "dpmpp_2m", "--num-steps", 2, "--spacing", "karras")
    plain, _ = drawn(run, capsys)
    led, _ = drawn(run, capsys, "--autoguidance", 3, *asked)
    own = with_own_scale(run, 3.0)
    own = own.with_config(replace(own.config, recipe=replace(own.config.recipe, guided_sampling=few)))
    assert (drawn(own, capsys)[0] == led).all()
    assert (drawn(own, capsys, "--autoguidance", 1)[0] == plain).all()
    assert own.config.recipe.changed(["sampling.num_steps=5"]).guided_sampling is None
    nano = recipe("nano", 3, 32, 32)
    assert nano.sampling == recipe("small", 3, 32, 32).sampling
    assert nano.guided_sampling.calls(nano.schedule) == 12
    assert recipe("nano", 3, 64, 64).guided_sampling == replace(nano.sampling, num_steps=20)


@pytest.mark.usefixtures("learned")
def test_solve_sets_the_sampling_that_the_run_draws_with(run):
    few = Sampling(sampler="dpmpp_2m", num_steps=2, spacing="karras")
    own, found = with_own_scale(run, 3.0), replace(few, num_steps=7)
    own = own.with_config(replace(own.config, recipe=replace(own.config.recipe, guided_sampling=few)))
    assert own_sampling(own) == few
    changed = with_own_sampling(own, found)
    assert own_sampling(changed) == found
    assert changed.config.recipe.sampling == run.config.recipe.sampling
    Snapshots(own.path / "ema").keep([8])  # nothing guides any more
    assert own_sampling(changed) == run.config.recipe.sampling
    assert with_own_sampling(changed, found).config.recipe.sampling == found


@pytest.mark.usefixtures("learned")
def test_all_that_draws_is_guided_by_the_own_scale(run):
    """Pictures of a comparison and of a morph are those of `generate`."""
    own = open_run(with_own_scale(run, 3.0).path, "cpu")
    pictures = own.generate(2).tensor
    compared = sample_seeds(RunFolder.read(own.path), 2, None, "cpu")
    ends = own.morph(seeds=[0, 1], frames=2).tensor
    torch.testing.assert_close(compared, pictures)
    torch.testing.assert_close(ends, pictures)
    assert not torch.equal(own.generate(2, autoguidance=1.0).tensor, pictures)


def test_generate_with_a_compiled_network(run, capsys, monkeypatch):
    plain, _ = drawn(run, capsys, "--autoguidance", 2)
    networks = []

    def compiler(network):
        networks.append(network)
        return lambda *told: network(*told)

    monkeypatch.setattr(torch, "compile", compiler)
    same, said = drawn(run, capsys, "--autoguidance", 2, "--compile")
    assert (same == plain).all()
    assert len(networks) == 2  # the weaker one, too
    assert "takes a minute" in said

    def none(_network):
        raise OSError("no compiler")

    monkeypatch.setattr(torch, "compile", none)
    same, said = drawn(run, capsys, "--autoguidance", 2, "--compile")
    assert (same == plain).all()
    assert "cannot be compiled here (OSError: no compiler)" in said
    assert "Going on without compiling." in said


def refused(capsys, *arguments: object) -> str:
    capsys.readouterr()
    assert unnoise([str(argument) for argument in arguments]) == 2
    (sentence,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("unnoise: ")]
    return sentence


def test_a_missing_step_or_run_to_guide_by_is_refused(run, tmp_path, capsys):
    ask = ("generate", run.path, "--device", "cpu", "--autoguidance")
    assert "Choose from 2, 4, 6, 8" in refused(capsys, *ask, 2, "--weak", 5)
    assert "There is no run at" in refused(capsys, *ask, 2, "--weak", tmp_path / "none")
    assert "scale is at least 0" in refused(capsys, *ask, -1)
    large = replace(run.config, data=replace(run.config.data, height=16, width=16))
    other = Run.create(tmp_path / "large", large)
    shutil.copy(run.path / "model.safetensors", other.path)
    assert "images of (channels, height, width) (1, 16, 16)" in refused(capsys, *ask, 2, "--weak", other.path)
    file = Snapshots(run.path / "ema").path(Profile(2, 0.1))
    file.write_bytes(file.read_bytes()[:-9])
    assert "Delete it, and another average takes its place, or add --autoguidance 1." in refused(
        capsys, *ask, 2
    )
    Snapshots(run.path / "ema").keep([8])
    assert "holds no average from before these weights to guide by" in refused(capsys, *ask, 2)
