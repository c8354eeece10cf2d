"""Runs as pipelines of diffusers: they draw the same pictures from the same noises."""

from dataclasses import replace

import pytest
import torch

from helpers.command_line import ok, refused
from helpers.pipelines import SEEDS, drawn
from helpers.runs import digits, start
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import (
    CosineBeta,
    LinearBeta,
    QuadraticBeta,
    SigmoidAlphaBar,
    SigmoidBeta,
    ZeroTerminalSNR,
)
from unnoise.networks import UNet2DConfig
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.presets import recipe

NETWORK = UNet2DConfig(channels=1, widths=(8, 16), layers=1, attention=(False, True), groups=4)
DDIM, DDPM = Sampling(num_steps=10, clip="images"), Sampling(sampler="ancestral", num_steps=10, clip="static")
LARGE = replace(DDPM, variance="large", spacing="leading")
PRESET = recipe("diffusers", 1, 8, 8)
SCHEDULES = {
    "preset": (PRESET.schedule, PRESET.objective.predicts, PRESET.sampling),
    "linear": (LinearBeta(1000), "noise", DDIM),
    "linear, rescaled": (LinearBeta(200), "velocity", DDIM),
    "linear, not rescaled": (LinearBeta(200, rescale=False), "velocity", DDPM),
    "quadratic": (QuadraticBeta(100), "image", DDIM),
    "cosine": (CosineBeta(1000), "noise", DDPM),
    "cosine, another offset": (CosineBeta(100, offset=0.02), "velocity", DDPM),
    "sigmoid": (SigmoidBeta(100), "velocity", replace(DDIM, spacing="leading")),
    "sigmoid alpha-bar": (
        SigmoidAlphaBar(1000),
        "velocity",
        replace(DDPM, variance="large", spacing="leading"),
    ),
    "no signal at the end": (ZeroTerminalSNR(base=LinearBeta(100)), "velocity", DDIM),
    "not clipped": (LinearBeta(1000), "velocity", replace(DDIM, clip="none")),
}


def mapped(path, schedule, predicts, sampling, noise_shift=1.0) -> Run:
    """A run of a small UNet2DModel with random weights."""
    config = plan(digits(), TrainOptions(preset="diffusers"))
    changed = replace(
        config.recipe,
        network=NETWORK,
        schedule=schedule,
        objective=Objective(predicts, predicts, "l2"),
        sampling=sampling,
        noise_shift=noise_shift,
    )
    run = Run.create(path, replace(config, recipe=changed))
    diffusion = run.config.build()
    with torch.no_grad():
        for parameter in diffusion.ema.network.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    run.save(diffusion, Progress(step=1))
    return run


@pytest.mark.parametrize(
    ("name", "noise_shift"), [*((name, 1.0) for name in SCHEDULES), ("linear", 2.0), ("cosine", 0.5)]
)
def test_diffusers_draws_what_the_run_draws(tmp_path, name, noise_shift):
    schedule, predicts, sampling = SCHEDULES[name]
    run = mapped(tmp_path / "run", schedule, predicts, sampling, noise_shift)
    ok("export", run.path, "--to", "diffusers", "--out", tmp_path / "pipeline")
    theirs = drawn(tmp_path / "pipeline", sampling.num_steps)
    ours = run.load().generate(len(SEEDS), seed=SEEDS[0], sampling=sampling)
    assert ((ours > 0.02) & (ours < 0.98)).float().mean() > 0.2
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("schedule", "predicts", "sampling"), SCHEDULES.values(), ids=SCHEDULES.keys())
def test_an_exported_run_is_imported_as_it_was(tmp_path, schedule, predicts, sampling):
    run = mapped(tmp_path / "run", schedule, predicts, sampling)
    ok("export", run.path, "--to", "diffusers", "--out", tmp_path / "pipeline")
    ok("import", tmp_path / "pipeline", "--out", tmp_path / "back")
    back = Run.open(tmp_path / "back")
    torch.testing.assert_close(
        back.config.recipe.schedule.alphas_cumprod, schedule.alphas_cumprod, atol=1e-12, rtol=1e-9
    )
    assert back.config.recipe.network == NETWORK
    assert back.config.recipe.objective.predicts == predicts
    mine, its = (one.load().network.state_dict() for one in (run, back))
    assert all(torch.equal(mine[name], its[name]) for name in mine)


def test_other_runs_are_refused_with_the_preset_to_train(tmp_path, capsys):
    out = tmp_path / "pipeline"
    other = start(tmp_path / "other")
    message = refused(capsys, "export", other.path, "--to", "diffusers", "--out", out)
    assert "UNet of the preset nano, is no UNet2DModel of diffusers. Train one that is with --preset" in message
    run = mapped(tmp_path / "run", LinearBeta(100), "velocity", DDIM)
    own, data = run.config.recipe, run.config.data
    for changed, sentence in (
        ({"recipe": replace(own, condition="log_snr")}, "told the log_snr instead of the timestep"),
        ({"recipe": replace(own, objective=Objective("flow", "flow"))}, "it predicts the flow"),
        ({"normalizer": replace(run.config.normalizer, mean=(0.4,))}, r"not normalised to [-1, 1]"),
        ({"data": replace(data, height=9)}, "multiples of 2, but the pictures of"),
    ):
        run.with_config(replace(run.config, **changed))
        assert sentence in refused(capsys, "export", run.path, "--to", "diffusers", "--out", out)
    run.with_config(run.config)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").touch()
    assert "there already" in refused(
        capsys, "export", run.path, "--to", "diffusers", "--out", tmp_path / "full"
    )
    assert {path.name for path in tmp_path.iterdir()} == {"other", "run", "full"}


@pytest.mark.parametrize(
    ("sampling", "sentence"),
    [
        (Sampling(sampler="heun", num_steps=10), "The run draws by heun, the pipeline by DDIM."),
        (replace(DDIM, eta=0.5), "eta=0.5, given to its call"),
        (replace(DDIM, spacing="karras"), "spaced by karras, those of the pipeline evenly"),
        (replace(DDPM, variance="large"), "noise also in its last step"),
        (replace(DDIM, num_steps=30), "a number of steps that divides 100"),
        (replace(DDIM, clip="static"), "clips predicted pictures by static"),
    ],
)
def test_what_the_pipeline_draws_otherwise_is_told(tmp_path, capsys, sampling, sentence):
    run = mapped(tmp_path / "run", LinearBeta(100), "velocity", sampling)
    ok("export", run.path, "--to", "diffusers", "--out", tmp_path / "pipeline")
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said
