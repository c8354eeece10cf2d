"""Distillation: the new run draws as the old one at first, learns to jump, and is a run like any other."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from helpers.runs import digits, start, with_few_walks
from helpers.sampling import last
from unnoise.diffusion.guidance import Guidance
from unnoise.diffusion.walks import Walks
from unnoise.networks import TransformerConfig
from unnoise.optim.ema import EMAConfig
from unnoise.runs import snapshots
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.distillation import JUMPS, distilled_config
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.snapshots import Snapshots
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError


def budget(steps):
    return Budget(unit="steps", amount=float(steps))


def trained(path, steps=4, **options):
    run = start(path, steps, **options)
    for _ in train(run, digits()):
        pass
    return run


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("old") / "run")


def distilled(old, path, steps, **options):
    run = Run.create(path, with_few_walks(distilled_config(old, budget(steps), **options)))
    for _ in train(run, digits()):
        pass
    return run


def test_walks_begin_at_the_level_at_which_a_distilled_run_draws(old, tmp_path):
    new = Run.create(tmp_path / "new", distilled_config(old, budget(4)))
    run, recipe = old.load(), new.config.recipe
    walked = Walks(run, recipe.mean_velocity).sampling().grid(run.schedule)
    for calls in (1, 2, 4):
        drawn = replace(recipe.sampling, num_steps=calls).grid(run.schedule)
        for one, other in zip(drawn, walked, strict=True):
            assert one.flatten()[0] == other.flatten()[0]


def test_before_its_first_step_it_draws_as_the_old_run_does(old, tmp_path):
    new = Run.create(tmp_path / "new", distilled_config(old, budget(4)))
    diffusion = new.config.build()
    new.restore(diffusion)
    sampling = old.config.recipe.sampling
    for denoiser in (diffusion.denoiser, diffusion.ema):
        denoiser.network.eval()
        with torch.no_grad():
            found = denoiser.generate(2, seed=3, sampling=sampling)
            wanted = old.load().generate(2, seed=3, sampling=sampling)
            torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
            jump = denoiser.generate(2, seed=3, sampling=JUMPS)
            torch.testing.assert_close(jump, old.load().generate(2, seed=3, sampling=JUMPS))


def test_it_draws_in_two_calls_and_in_one_where_asked(old, tmp_path):
    new = distilled(old, tmp_path / "new", 2)
    assert new.config.recipe.sampling.calls(new.config.schedule) == 2
    denoiser, calls = new.load(), []
    denoiser.network.register_forward_hook(lambda *_: calls.append(1))
    for num_steps, wanted in ((2, 2), (1, 1), (4, 4)):
        calls.clear()
        sampling = replace(new.config.recipe.sampling, num_steps=num_steps)
        assert denoiser.generate(3, sampling=sampling).isfinite().all()
        assert len(calls) == wanted


def test_a_transformer_is_trained_and_distilled_like_a_u_net(tmp_path):
    config = TransformerConfig(channels=1, patch_size=1, widths=(8, 16), depths=(2, 1), window=4, head_dim=8)
    old = trained(tmp_path / "old", 2, network=config)
    assert Run.open(old.path).config.recipe.network == config
    new = distilled(old, tmp_path / "new", 2)
    assert new.config.recipe.network == replace(config, step_length=True)
    found = [
        Run.open(new.path).load().generate(2, seed=1, sampling=new.config.recipe.sampling) for _ in range(2)
    ]
    assert torch.equal(*found)
    assert not torch.equal(found[0], old.load().generate(2, seed=1, sampling=new.config.recipe.sampling))


def test_the_network_is_told_where_each_step_ends(old, tmp_path):
    """The consistency sampler jumps to the image, DDIM to the next level; others follow the curve."""
    new = Run.create(tmp_path / "new", distilled_config(old, budget(4)))
    denoiser, told = new.config.denoiser(), []
    denoiser.network.register_forward_pre_hook(
        lambda _module, _given, named: told.append(named.get("step_lengths")), with_kwargs=True
    )
    for name, wanted in (("consistency", "image"), ("ddim", "next"), ("dpmpp_2m", None)):
        told.clear()
        sampling = replace(JUMPS, sampler=name, num_steps=3)
        denoiser.generate(1, sampling=sampling)
        angles = torch.atan2(*sampling.grid(new.config.schedule)).flatten() * (2 / torch.pi)
        ends = {"image": torch.zeros(3), "next": torch.cat([angles[1:-1], torch.zeros(1)])}
        if wanted is None:
            assert told == [None] * 3
        else:
            found = torch.cat([each.flatten() for each in told])
            torch.testing.assert_close(found, (angles[:-1] - ends[wanted]).float(), atol=1e-6, rtol=0)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_resume_is_bit_identical(old, tmp_path, precision):
    """Walks are a function of the seed and the step."""
    config = replace(with_few_walks(distilled_config(old, budget(6))), precision=precision)
    require_same_after_a_stop(
        Run.create(tmp_path / "whole", config), Run.create(tmp_path / "halves", config), stop=3
    )


def require_same_after_a_stop(whole, halves, stop=2):
    for _ in train(whole, digits()):
        pass
    stopped = train(halves, digits())
    for _ in range(stop):
        next(stopped)
    stopped.close()
    for _ in train(Run.open(halves.path), digits()):
        pass
    left, right = (load_file(run.states()[0]) for run in (whole, halves))
    assert left.keys() == right.keys()
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_guidance_is_learned_so_that_drawing_needs_no_second_call(tmp_path):
    old = start(tmp_path / "old", recipe_changes=["network.num_classes=10"])
    found = distilled_config(old, budget(2), guidance=2.5).recipe
    assert found.mean_velocity.guidance == 2.5
    assert found.sampling.guidance == Guidance()


@pytest.fixture
def averaged(tmp_path, monkeypatch):
    """A run that stored averages at its steps 2 and 4, which are taken for such that have learned."""
    monkeypatch.setattr(snapshots, "LEARNED_STEPS", 1)
    run = start(tmp_path / "averaged", 4)
    ema = replace(run.config.recipe.ema, profiles=(0.1,), snapshots=2)
    recipe = replace(run.config.recipe, ema=ema, autoguidance=1.5)
    run = run.with_config(replace(run.config, recipe=recipe))
    for _ in train(run, digits()):
        pass
    return run


def walks_of(new):
    """As a training makes them."""
    diffusion = new.config.build()
    new.restore(diffusion)
    return diffusion.walks


def test_walks_are_guided_away_from_an_earlier_average(averaged, tmp_path):
    """At scale w a walk of one call ends at weak + w (run - weak); the new run needs nothing of the old one."""
    assert Snapshots(averaged.path / "ema").steps() == [2, 4]
    noises = averaged.load().noises(range(4))()
    ends, config = {}, distilled_config(averaged, budget(4))
    assert config.recipe.mean_velocity.walking.autoguidance == 1.5, "that by which the run draws"
    made = {
        scale: Run.create(
            tmp_path / f"{scale:g}", distilled_config(averaged, budget(4), autoguidance=float(scale))
        )
        for scale in (0, 1, 2, 3)
    }
    shutil.rmtree(averaged.path)
    for scale, new in made.items():
        walks = walks_of(new)
        calls = replace(walks.sampling(1), sampler="ddim")
        with torch.no_grad():
            ends[scale] = last(walks.run.reverse_diffusion(noises, sampling=calls)).images
    assert (ends[1] - ends[0]).abs().max() > 1e-3
    for scale in (2, 3):
        torch.testing.assert_close(ends[scale], ends[0] + scale * (ends[1] - ends[0]), atol=1e-5, rtol=1e-4)


def test_resume_is_bit_identical_with_guided_walks(averaged, tmp_path):
    config = with_few_walks(distilled_config(averaged, budget(4)))
    whole, halves = Run.create(tmp_path / "whole", config), Run.create(tmp_path / "halves", config)
    require_same_after_a_stop(whole, halves)


def test_how_the_run_drew_guided_is_not_how_it_draws_now(tmp_path):
    nano = start(tmp_path / "nano", recipe_changes=['guided_sampling={"num_steps": 2}'])
    last(train(nano, digits()))
    assert distilled_config(nano, budget(1)).recipe.guided_sampling is None


def test_a_run_that_goes_on_walks_again_before_its_clock_starts(old, tmp_path, monkeypatch):
    run = Run.create(tmp_path / "new", with_few_walks(distilled_config(old, budget(4))))
    clock, walked = SimpleNamespace(now=1000.0), []

    def walk(self, *given, **named):
        clock.now += 100
        walked.append(1)
        return real(self, *given, **named)

    real = Walks.walk
    monkeypatch.setattr(Walks, "walk", walk)
    monkeypatch.setattr("unnoise.trainer.loop.time", SimpleNamespace(monotonic=lambda: clock.now))
    stopped = train(run, digits())
    for step in stopped:
        if step.progress.step == 2:
            break
    stopped.close()
    before = step.progress.seconds
    assert before >= 100 * 3  # what it learns from is walked while it trains
    walked.clear()
    after = next(iter(train(Run.open(run.path), digits()))).progress.seconds
    assert len(walked) >= 3
    assert after - before <= 100  # at most the one block that is new


def test_autoguidance_needs_earlier_averages(old, tmp_path):
    """By default it is left out where the run draws without."""
    assert distilled_config(old, budget(4)).recipe.mean_velocity.walking.autoguidance == 1
    with pytest.raises(UnnoiseError, match="stored no earlier average to guide its walks by"):
        distilled_config(old, budget(4), autoguidance=2.0)
    with pytest.raises(UnnoiseError, match="guidance scale is at least 0, but got -1"):
        distilled_config(old, budget(4), autoguidance=-1.0)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({}, "Guidance needs classes"),
        ({"distilled": True}, "draws in few steps already. Distil the run that it was distilled from"),
        ({"preset": "annotated-resnet"}, "cannot be told the length of a step"),
    ],
)
def test_what_cannot_be_distilled_is_refused_in_a_sentence(old, tmp_path, change, sentence):
    run = old
    if change.get("distilled"):
        run = Run.create(tmp_path / "new", distilled_config(old, budget(4)))
    elif "preset" in change:
        config = plan(digits(), TrainOptions(preset=change["preset"], budget=budget(1)))
        run = Run.create(tmp_path / "published", config)
    with pytest.raises(UnnoiseError, match=sentence):
        distilled_config(run, budget(1), guidance=2.0)


def test_a_distilled_run_is_not_fine_tuned(old, tmp_path):
    new = Run.create(tmp_path / "new", distilled_config(old, budget(4)))
    with pytest.raises(UnnoiseError, match="Fine-tune the run that it was distilled from"):
        plan(digits(), TrainOptions(init=str(new.path), budget=budget(1)))


def test_walks_need_a_run_that_walks(old, tmp_path):
    config = distilled_config(old, budget(4))
    alone = Run.create(tmp_path / "alone", replace(config, init=None))
    with pytest.raises(UnnoiseError, match="Start it by unnoise distill"):
        next(train(alone, digits()))
    changes = ("network.step_length=true", 'mean_velocity={"walking": {}}')
    with pytest.raises(UnnoiseError, match="Start it by unnoise distill"):
        plan(digits(), TrainOptions(changes=changes, budget=budget(1)))
    diffusion = config.build()
    with pytest.raises(UnnoiseError, match=r"Diffusion\.walks must be the walks of a run"):
        diffusion.train_step(torch.rand(2, 1, 8, 8))


def test_the_average_that_draws_forgets_the_weights_that_it_began_with(old, tmp_path):
    """Without warm-up a decay of 0.999 would leave 45 % of them after 800 steps."""
    recipe = old.config.recipe
    plain = old.with_config(replace(old.config, recipe=replace(recipe, ema=EMAConfig(decay=0.999))))
    diffusion = Run.create(tmp_path / "new", distilled_config(plain, budget(4))).config.build()
    for parameter in diffusion.network.parameters():
        torch.nn.init.zeros_(parameter)
    for parameter in diffusion.ema.network.parameters():
        torch.nn.init.ones_(parameter)
    for _ in range(200):
        diffusion.weights.average.update()
    left = max(float(parameter.max()) for parameter in diffusion.ema.network.parameters())
    assert left < 0.01


def test_the_run_that_walks_draws_as_it_did_with_its_last_predictions(tmp_path):
    """It is told no length of a step, by which a network would leave them out."""
    leader = trained(tmp_path / "leader", recipe_changes=["network.self_conditioning=true"])
    config = distilled_config(leader, budget(4))
    walks = walks_of(Run.create(tmp_path / "new", config))
    assert not walks.run.abilities.step_length
    noises = leader.averaged().noises(range(3))()
    wanted = Walks(leader.averaged(), config.recipe.mean_velocity).walk(noises, calls=3)
    assert torch.equal(walks.walk(noises, calls=3), wanted)
