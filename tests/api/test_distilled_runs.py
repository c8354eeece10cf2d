"""Distilled runs at the front door: made, gone on with, pushed, and kept from what only small steps can do."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import unnoise as un
from helpers.runs import start
from unnoise.cli import run as command_line
from unnoise.reports.comparability import why_not_compare_losses
from unnoise.reports.run_folder import RunFolder
from unnoise.reports.settings import train_command
from unnoise.runs.checkpoint import Progress
from unnoise.runs.config import RunConfig
from unnoise.trainer.loop import train
from unnoise.trainer.monitoring import Monitor
from unnoise.trainer.monitoring.sample_quality import FIRST_SEED, quick_samples
from unnoise.utils.errors import UnnoiseError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def old(folder):
    """A run of digits with classes, self-conditioning, and a stored average."""
    run = un.train(
        "digits",
        out=folder / "old",
        steps=3,
        batch_size=16,
        labels="auto",
        set=[
            *("network.widths=[8,16]", "network.block_depth=1", 'network.attention=["none","full"]'),
            *("network.self_conditioning=true", "sampling.num_steps=3", "sampling.guidance.scale=2"),
        ],
    )
    return un.open(run.path)


@pytest.fixture(scope="module")
def new(old):
    return old.distill(steps=2)


def test_it_is_a_run_beside_the_other_that_draws_in_two_calls(old, new):
    assert new.path == old.path.with_name("old-few-steps")
    assert new.config.recipe.mean_velocity.guidance == 2.0, "the guidance of the run is learned"
    assert len(list(new.generate(2, labels=["3"]))) == 2
    assert (Path(new.path) / "samples").is_dir()


def test_another_average_of_it_knows_what_it_came_from(old, new):
    average = new.ema(0.10)
    with pytest.raises(UnnoiseError, match=rf"Distil the run that it was distilled from, .*{old.path.name}\."):
        average.distill(steps=1)


def test_a_self_conditioned_network_jumps_without_its_last_prediction(new):
    """As it has learned: walks are learned from without."""
    told = []
    denoiser = new.folder.load()
    denoiser.network.register_forward_pre_hook(
        lambda _module, _given, named: told.append(named.get("previous_images")), with_kwargs=True
    )
    denoiser.generate(1, sampling=new.config.recipe.sampling)
    assert told == [None, None]


def test_resume_goes_on_with_the_run_that_came_from_this_one(old, folder):
    out = folder / "resumed"
    old.distill(out=out, steps=1)
    assert old.distill(out=out, steps=2, resume=True).folder.saved_progress().step == 2
    with pytest.raises(UnnoiseError, match="was not distilled from"):
        un.open(out).distill(out=out, steps=3, resume=True)
    with pytest.raises(UnnoiseError, match=r"old was not distilled from .*old, but is a run of its own"):
        old.distill(out=old.path, steps=3, resume=True)
    tuned = un.train("digits", out=folder / "tuned", init=old.path, steps=1, labels="auto")
    with pytest.raises(UnnoiseError, match="is a run of its own"):
        old.distill(out=tuned.path, steps=3, resume=True)


def test_the_same_command_goes_on_and_another_scale_does_not(old, folder):
    out = folder / "guided"
    old.distill(out=out, steps=1, guidance=3)
    assert old.distill(out=out, steps=2, guidance=3, resume=True).folder.saved_progress().step == 2
    with pytest.raises(UnnoiseError, match=r"was started with --guidance 3, but got 2\. Leave --guidance out"):
        old.distill(out=out, steps=3, guidance=2, resume=True)


def test_a_run_that_was_moved_is_still_the_one_that_it_was_distilled_from(old, folder):
    moved = folder / "moved"
    shutil.copytree(old.path, moved / "old")
    un.open(moved / "old").distill(out=moved / "new", steps=1)
    moved.rename(folder / "elsewhere")
    again = un.open(folder / "elsewhere" / "old")
    assert (
        again.distill(out=folder / "elsewhere" / "new", steps=2, resume=True).folder.saved_progress().step == 2
    )


def test_a_folder_that_another_process_distils_into_is_left_alone(old, folder, monkeypatch):
    def taken(path):
        raise UnnoiseError(f"{path} is being trained")

    monkeypatch.setattr("unnoise.runs.lock.lock_run", taken)
    with pytest.raises(UnnoiseError, match="taken is being trained"):
        old.distill(out=folder / "taken", steps=1)
    assert not (folder / "taken").exists()


def test_a_run_that_jumps_guides_no_other(old, new):
    with pytest.raises(UnnoiseError, match=r"cannot guide small ones\. Name the run that it"):
        old.generate(1, autoguidance=2, weak=str(new.path))


def test_the_default_folder_stands_beside_a_run_that_is_named_by_a_dot(folder, old, new, monkeypatch):
    monkeypatch.chdir(old.path)
    with pytest.raises(UnnoiseError, match="old-few-steps"):  # it is there, and says so
        un.open(".").distill(steps=1)


@pytest.mark.parametrize(
    "words",
    [
        "invert RUN --held-out 1",
        "vary RUN --held-out 1",
        "inpaint RUN --held-out 1",
        "generate RUN --from PICTURE",
        "evaluate RUN --bits-per-dim",
        "solve RUN",
        "generate RUN --sampler dpmpp_2m",
        "generate RUN --sampler ddim --eta 1",
        "generate RUN --autoguidance 2",
    ],
)
def test_what_needs_small_steps_names_the_run_that_takes_them(words, old, new, capsys, tmp_path):
    places = {"RUN": new.path, "PICTURE": old.path / "loss.png"}
    given = [str(places.get(word, word)) for word in words.split()]
    needs_out = given[0] not in ("evaluate", "solve")
    assert command_line([*given, *(["--out", str(tmp_path / "out.png")] if needs_out else [])]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert f"use the run that it was distilled from, {old.path}" in said, said
    assert not list(tmp_path.iterdir())


def test_guidance_that_was_learned_is_not_added_again(new):
    with pytest.raises(UnnoiseError, match="distil again with --guidance"):
        new.generate(1, guidance=3.0)
    assert len(list(new.generate(1, guidance=1.0))) == 1


def test_noise_added_to_a_picture_is_seen_by_one_jump_to_the_image(new):
    step = new.forward_step(held_out=1, time=0.5)
    denoiser, told = new.folder.load(), []
    denoiser.network.register_forward_pre_hook(
        lambda _module, _given, named: told.append(named.get("step_lengths")), with_kwargs=True
    )
    clean, noise = denoiser.normalizer.normalize(step.clean), denoiser.noises([0])()
    noisy = step.signal_rate * clean + step.noise_rate * noise
    rates = (torch.full((1, 1, 1, 1), rate) for rate in (step.noise_rate, step.signal_rate))
    with torch.no_grad():
        found = denoiser.guided_denoise(new.config.recipe.sampling)(noisy, *rates)
    assert float(told[0]) == pytest.approx(math.asin(step.noise_rate) * 2 / math.pi, abs=1e-4)
    torch.testing.assert_close(denoiser.normalizer.denormalize(found.images), step.predicted, atol=1e-4, rtol=0)


def test_a_pushed_folder_draws_the_same_and_names_no_other_run(new, old, tmp_path):
    folder = new.push("someone/digits", out=tmp_path / "pushed", dry_run=True)
    text = (tmp_path / "pushed" / "config.json").read_text()
    assert str(old.path) not in text
    assert "--init" not in (tmp_path / "pushed" / "README.md").read_text()
    pushed = un.open(folder)
    left, right = (run.generate(2).tensor for run in (new, pushed))
    assert torch.equal(left, right)
    with pytest.raises(UnnoiseError, match="use the run that it was distilled from"):
        pushed.solve()
    with pytest.raises(UnnoiseError, match="distil the run that it was distilled from again"):
        pushed.resume("digits")
    with pytest.raises(UnnoiseError, match=r"Distil the run that it was distilled from\.$"):
        pushed.distill()
    card = (tmp_path / "pushed" / "README.md").read_text()
    assert "and then distilled to draw in 2 calls of its network" in card
    assert "- distillation, without the training before: " in card
    assert train_command(pushed.config).startswith("unnoise distill RUN")


def test_the_report_tells_the_command_that_distils_again(new, old):
    command = train_command(new.config).replace(" \\\n", "")
    assert (
        command.split()
        == f"unnoise distill {old.path} --steps 2 --guidance 2 --autoguidance 1 --out NEW".split()
    )


def test_its_losses_are_not_compared_with_those_of_the_run_that_it_came_from(new, old):
    why = why_not_compare_losses([RunFolder.read(run.path) for run in (old, new)])
    assert why.startswith("The held-out losses can't be compared: the runs differ in")
    assert "recipe.mean_velocity." in why


def test_no_losses_of_a_velocity_that_it_does_not_know_are_measured(old, new, folder):
    images = un.load("digits").images
    for run, measured in ((old, 12), (new, 0)):
        parts = run.config.split(images)
        watched = Monitor(run.folder, run.config.build(), images, parts, Progress())
        watched.measure(Progress(step=1, images=128, seconds=1.0))
        watched.draw_charts()
        assert len(watched.levels) == measured
        assert (run.path / "noise_levels.png").exists() == bool(measured)


def test_its_losses_are_not_compared_with_those_on_walks_of_another_run(new):
    read = RunFolder.read(new.path)
    other = replace(read, run=new.folder.with_config(replace(new.config, init="another")))
    assert why_not_compare_losses([read, read]) == ""
    assert why_not_compare_losses([read, other]).endswith("the runs differ in init.")


def test_its_quality_is_measured_by_what_it_draws(old, new):
    for run, same in ((new, True), (old, False)):
        found = quick_samples(run.folder.load(), run.config)[:3].float() / 255
        drawn = run.generate(3, seed=FIRST_SEED, labels=["0", "1", "2"]).tensor
        assert ((found - drawn).abs().max() < 0.6 / 255) == same


def test_it_is_evaluated_reported_and_compared_as_other_runs_are(old, new, tmp_path):
    found = new.evaluate(num_samples=32).record
    assert "likelihood" not in found or not found["likelihood"]
    text = new.report(out=tmp_path / "report.html").read_text("utf-8")
    assert "unnoise distill" in text
    for impossible in ("bits/dim:", "loss at each noise level:"):
        assert impossible not in text
    assert un.compare([old.path, new.path], out=tmp_path / "both.html")
    assert len(new.morph(seeds=[1, 2], frames=3).frames) == 3


def test_a_guidance_of_some_noise_levels_is_not_learned(folder):
    run = start(folder / "interval", recipe_changes=["network.num_classes=10"])
    values = json.loads((run.path / "config.json").read_text())
    values["recipe"]["sampling"]["guidance"] |= {"scale": 2.0, "interval": [0.1, 3.0]}
    (run.path / "config.json").write_text(json.dumps(values))
    for _ in train(run, un.load("digits").images):
        break
    with pytest.raises(UnnoiseError, match="such as --guidance 2"):
        un.open(run.path).distill(steps=1)
    assert isinstance(un.open(run.path).config, RunConfig)
