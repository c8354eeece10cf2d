"""Clusters of runs: how many, found before the first step, kept by resume, averages and fine-tuning."""

from dataclasses import replace

import pytest
import torch
from PIL import Image

from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.api import open_run
from unnoise.api.editing import EditSession
from unnoise.data import load
from unnoise.diffusion.clusters import Clusters, thumbnails
from unnoise.networks import UNetConfig
from unnoise.reports.settings import train_command
from unnoise.runs.checkpoint import Run
from unnoise.runs.config import Budget
from unnoise.runs.distillation import distilled_config
from unnoise.runs.plan import TrainOptions, plan
from unnoise.runs.snapshots import Snapshots
from unnoise.trainer.clustering import k_means
from unnoise.trainer.loop import train
from unnoise.utils.errors import UnnoiseError

STEPS = Budget(unit="steps", amount=4.0)


def clustered(path, steps=4, *, init=None, **changes):
    """A run of a tiny network with five clusters on the digits, not trained yet."""
    made = start(path, steps, recipe_changes=["network.num_classes=5", "network.clusters=true"])
    ema = replace(made.config.recipe.ema, profiles=(0.1,))
    return Run.create(
        path.with_name(f"{path.name}-clusters"),
        replace(made.config, recipe=replace(made.config.recipe, ema=ema), init=init, **changes),
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    made = clustered(tmp_path_factory.mktemp("runs") / "run")
    last(train(made, digits()))
    return made


def test_the_preset_nano_has_as_many_clusters_as_the_pictures_fill():
    images, nano = digits(), TrainOptions(preset="nano", budget=STEPS)
    for count, wanted in ((len(images), 53), (200, 5), (63, 0)):  # one for 32 that are not held out
        some = replace(images, pixels=images.pixels[:count], kept_moments=None)
        network = plan(some, nano).recipe.network
        assert (network.num_classes, network.clusters) == (wanted, wanted > 0)
    for changes in (("clusters=0",), ("clusters=1",)):
        assert plan(images, replace(nano, changes=changes)).recipe.network.num_classes == 0
    assert plan(images, replace(nano, changes=("clusters=7",))).recipe.network.num_classes == 7
    own = plan(images, replace(nano, changes=("network.clusters=true", "network.num_classes=9"))).recipe.network
    assert (own.num_classes, own.clusters) == (9, True)
    few = plan(images, replace(nano, held_out=len(images) - 100)).recipe.network
    assert few.num_classes == 3  # of the 100 that are trained on
    assert plan(images, replace(nano, preset="small")).recipe.network.num_classes == 0
    named = plan(load("digits", labels=True), replace(nano, labels="auto")).recipe.network
    assert (named.num_classes, named.clusters) == (10, False)
    assert "clusters" not in train_command(plan(images, nano))
    assert "num_classes" not in train_command(plan(images, nano))


def test_clusters_that_are_asked_for_need_pictures():
    few = replace(digits(), pixels=digits().pixels[:63], kept_moments=None)
    options = TrainOptions(preset="nano", budget=STEPS, held_out=0, changes=("clusters=2",))
    with pytest.raises(UnnoiseError, match="no effect on 63 pictures: two clusters of 32 need more"):
        plan(few, options)
    assert plan(few, replace(options, changes=("clusters=0",))).num_clusters == 0


def test_they_are_found_before_the_first_step_and_are_those_of_the_training_pictures(run):
    clusters = run.load().abilities.clusters
    images, held_out = digits(), run.config.data.held_out
    assert int(clusters.counts.sum()) == len(images) - held_out
    training = images.take(run.config.split(images).training)
    seen = thumbnails(training)
    own = (seen - clusters.centres[clusters.of(training)].float()).square().sum(1).mean()
    whole = (seen - seen.mean(0)).square().sum(1).mean()
    assert own < 0.75 * whole  # five means explain a good part of how digits differ
    for k in range(5):  # each centre is the mean of its pictures, to a level and what 50 rounds left
        mean = seen[clusters.of(training) == k].mean(0)
        assert (mean - clusters.centres[k].float()).abs().max() < 4


@pytest.mark.parametrize("count", [1, 5, 40])
def test_k_means_finds_separate_heaps_and_can_have_more_centres_than_points(count):
    generator = torch.Generator().manual_seed(3)
    heaps = 100 * torch.randn(5, 6, generator=generator)
    points = heaps.repeat_interleave(4, 0) + 0.1 * torch.randn(20, 6, generator=generator)
    centres = k_means(points, count)
    assert centres.shape == (count, 6)
    far = torch.cdist(points.double(), centres.double()).min(1).values.max()
    assert far < 1e-3 if count >= 20 else far < 1 if count >= 5 else far > 50
    if count == 5:
        means = points.view(5, 4, 6).mean(1)
        assert torch.cdist(means.double(), centres.double()).min(1).values.max() < 1e-3
    assert torch.equal(centres, k_means(points, count))
    assert torch.equal(k_means(points[:1], count), points[:1].expand(count, -1))


def test_mirrored_pictures_are_counted_where_they_are_trained_on(tmp_path):
    images = digits()
    made = clustered(tmp_path / "run", data=replace(start(tmp_path / "other").config.data, flip=True))
    last(train(made, images))
    counts = made.load().abilities.clusters.counts
    assert int(counts.sum()) == 2 * (len(images) - made.config.data.held_out)


def test_edits_are_told_the_cluster_of_what_is_known(run, tmp_path):
    opened, told = open_run(run.path), []
    session = EditSession.open(opened, None)
    pixels = digits().take(run.config.split(digits()).held_out[:2])
    session.denoiser.network.register_forward_pre_hook(
        lambda _module, _given, named: told.append(named.get("classes")), with_kwargs=True
    )
    noisy = torch.randn(4, 1, 8, 8)
    rates = session.schedule(torch.full((4, 1, 1, 1), 0.5))
    with torch.no_grad():
        session.denoise_label(None, pixels)(noisy, *rates)
    assert told[0].tolist() == session.denoiser.abilities.classes_of(pixels).repeat(2).tolist()
    for edit in ("inpaint", "restore", "vary", "outpaint"):
        drawn = getattr(opened, edit)(held_out=1, **({"num_steps": 2} if edit != "restore" else {}))
        assert drawn.tensor.isfinite().all()
    morph = opened.morph(held_out=2, frames=4, num_steps=20)
    sheet = morph.steps().columns
    # There and back by the same clusters.
    assert torch.nn.functional.mse_loss(sheet["0 %"], sheet["before"]) < 0.01


def test_all_averages_have_them(run):
    clusters = run.load().abilities.clusters
    (profile,) = {Snapshots(run.path / "ema").at(step) for step in Snapshots(run.path / "ema").steps()[-1:]}
    assert clusters.same_as(run.averaged("cpu", Snapshots(run.path / "ema").path(profile)).abilities.clusters)
    made = open_run(run.path).ema(sigma_rel=0.1, out=run.path.with_name("averaged"))
    assert clusters.same_as(made.folder.load().abilities.clusters)


def test_resume_is_bit_identical(run, tmp_path):
    whole, parts = clustered(tmp_path / "whole"), clustered(tmp_path / "parts")
    last(train(whole, digits()))
    for count, _ in enumerate(iterator := train(parts, digits()), start=1):
        if count == 2:
            break
    iterator.close()
    last(train(Run.open(parts.path), digits()))
    left, right = (one.load().network.state_dict() for one in (whole, parts))
    assert all(torch.equal(left[name], right[name]) for name in left)


def test_a_fine_tuned_run_keeps_the_centres_and_counts_its_own_pictures(run, tmp_path):
    images = digits()
    dark = replace(images, pixels=images.pixels // 2, kept_moments=None, fingerprint="dark")
    options = TrainOptions(init=str(run.path), budget=STEPS, batch_size=16)
    config = plan(dark, options)
    assert isinstance(config.recipe.network, UNetConfig)
    assert (config.recipe.network.num_classes, config.recipe.network.clusters) == (5, True)
    tuned = Run.create(tmp_path / "tuned", config)
    last(train(tuned, dark))
    before, after = (one.load().abilities.clusters for one in (run, tuned))
    assert after.same_as(before)
    assert after.counts.tolist() != before.counts.tolist()


def test_a_morph_between_seeds_begins_with_the_pictures_of_the_seeds(run):
    opened = open_run(run.path)
    morph = opened.morph(seeds=[3, 8], frames=4)
    wanted = torch.cat([opened.generate(1, seed=seed).tensor for seed in (3, 8)])
    torch.testing.assert_close(morph.tensor[[0, 2]], wanted, atol=1e-4, rtol=0)


def test_the_reverse_process_ends_with_the_picture_of_the_seed(run):
    opened = open_run(run.path)
    drawn = opened.generate(2, seed=4).tensor
    torch.testing.assert_close(opened.reverse_steps(2, seed=4).images[-1], drawn, atol=1e-4, rtol=0)
    torch.testing.assert_close(opened.generate(2, seed=4, lazy=True).trajectory()[-1], drawn, atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"changes": ("network.clusters=false",)}, "say --set clusters=0"),
        ({"changes": ("network.num_classes=0",)}, "say --set clusters=0"),
        ({"changes": ("clusters=9",), "preset": "diffusers"}, "no effect on a UNet2DConfig"),
        ({"changes": ("clusters=9",), "preset": None, "init": "RUN"}, "no effect with --init"),
        ({"changes": ("clusters=9",), "labels": "auto"}, "no effect with --labels"),
    ],
)
def test_a_number_of_clusters_without_effect_is_refused(run, options, sentence):
    named = {"preset": "nano", "budget": STEPS} | options
    if "init" in named:
        named["init"] = str(run.path)
    with pytest.raises(UnnoiseError, match=sentence):
        plan(load("digits", labels=True), TrainOptions(**named))


def test_classes_do_not_take_the_place_of_clusters_in_a_run_that_goes_on_from_another(run):
    with pytest.raises(UnnoiseError, match=r"was told of clusters of pictures, .* Leave --labels out"):
        plan(load("digits", labels=True), TrainOptions(init=str(run.path), budget=STEPS, labels="auto"))


def test_where_nothing_is_kept_of_a_picture_the_clusters_are_those_of_the_seeds(run, tmp_path):
    black = tmp_path / "black.png"
    Image.new("L", (8, 8), 0).save(black)
    opened, told = open_run(run.path), []
    real = Clusters.of_seeds

    def of_seeds(self, seeds):
        told.append(list(seeds))
        return real(self, seeds)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Clusters, "of_seeds", of_seeds)
        opened.inpaint(held_out=2, num_steps=2, seed=5, mask=black)
        opened.redraw(held_out=2, num_steps=2, seed=7, strength=1, versions=2)
        assert [seeds for seeds in told if seeds in ([5, 6], [7, 8, 9, 10])] == [[5, 6], [7, 8, 9, 10]]
        told.clear()
        opened.inpaint(held_out=2, num_steps=2, seed=5)
        opened.redraw(held_out=2, num_steps=2, seed=7, strength=0.5, versions=2)
        assert told == []


def test_clusters_are_no_classes_to_be_guided_by(run):
    with pytest.raises(UnnoiseError, match="Guidance needs classes"):
        distilled_config(run, STEPS, guidance=2.0)
