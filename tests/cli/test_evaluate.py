"""`unnoise evaluate` prints and writes all scores with the facts they depend on, also when it is stopped."""

import json
import re
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from helpers.command_line import ok, refused
from helpers.fake_extractors import Clock, random_filters
from helpers.runs import digits, start
from helpers.sampling import last
from unnoise import evaluation
from unnoise.api.bits_per_dim import BitsOptions
from unnoise.api.evaluating import EvaluationOptions, evaluate_all
from unnoise.api.loading import DenoiserOptions
from unnoise.api.opening import OpenRun
from unnoise.data.batches import split
from unnoise.diffusion.denoiser import Denoiser
from unnoise.trainer.loop import train
from unnoise.utils.tensor_files import read_tensors, write_tensors

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")

QUICK = ("--num-samples", 24, "--num-images", 3, "--num-terms", 2, "--device", "cpu")

SMALL = ("--set", "network.widths=[8,16]", "network.block_depth=1", "sampling.num_steps=2", "ema.profiles=[]")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    made = start(tmp_path_factory.mktemp("runs") / "run", 2)
    last(train(made, digits()))
    return made


@pytest.fixture(scope="module")
def extractor(tmp_path_factory) -> str:
    """A file with a network of a few random filters: quick, and always the same."""
    return random_filters(tmp_path_factory.mktemp("extractor") / "tiny.pt")


@pytest.fixture(autouse=True)
def _no_evaluation_is_left(trained):
    yield
    (trained.path / "evaluation.json").unlink(missing_ok=True)


def written(made) -> dict:
    return json.loads((made.path / "evaluation.json").read_text())


def test_all_scores_are_printed_and_written_with_their_facts(trained, extractor, capsys):
    ok("evaluate", trained.path, *QUICK, "--extractor", extractor, "--num-steps", 2, "--eta", 0.5, "--seed", 5)
    shown = capsys.readouterr()
    facts = (
        "samples 24; references 89; split held-out; source digits; extractor torchscript:tiny; resize bilinear",
        "sampler ddim; steps 2; spacing trailing; eta 0.5; precision float32; weights EMA, decay 0.9999; "
        "step 2; seed 5; real pictures 24 training pictures",
    )
    flat = " ".join(shown.out.split())
    assert all(fact in flat for fact in facts)
    assert "Of 24 samples, fewer than the usual 50,000" in " ".join(shown.err.split())
    for row in ("KID-torchscript:tiny", "FD-torchscript:tiny", "precision", "coverage", "by pixels", "grey"):
        assert re.search(rf"^{row} +-?\d", shown.out, re.MULTILINE), row
    assert "bits/dim" in shown.out
    found = written(trained)
    assert list(found) == ["quality", "memorisation", "colours", "bits_per_dim"]
    quality = found["quality"]
    assert (quality["step"], quality["facts"]["samples"], quality["facts"]["seed"]) == (2, 24, 5)
    assert quality["facts"]["fingerprint"] == trained.config.data.fingerprint
    assert quality["scores"][0]["name"] == "KID-torchscript:tiny"
    assert list(quality["scores"][0]) == ["name", "value", "low", "high", "better", "real"]
    assert len(quality["scores"]) == 6
    assert all(isinstance(score["real"], float) for score in quality["scores"])
    assert list(found["memorisation"]) == ["verdict", "copied", "index", "pixels", "picture"]
    assert list(found["memorisation"]["pixels"]) == ["copied", "index"]
    assert list(found["memorisation"]["copied"]) == ["value", "low", "high"]
    assert found["memorisation"]["verdict"].startswith("No sign of copying")
    assert found["colours"]["channels"][0]["data_mean"] == pytest.approx(0.305, abs=0.02)
    assert found["bits_per_dim"]["num_images"] == 3
    for name in ("samples", "nearest"):
        with Image.open(trained.path / "evaluation" / f"{name}.png") as picture:
            assert min(picture.size) > 100


def test_the_same_seed_gives_the_same_scores_at_any_batch_size(trained, extractor):
    found = []
    for batch_size in (24, 10):
        ok("evaluate", trained.path, *QUICK, "--extractor", extractor, "--batch-size", batch_size)
        found.append(written(trained))
    for name in ("value", "real"):
        before, after = ([score[name] for score in one["quality"]["scores"]] for one in found)
        assert before == pytest.approx(after, rel=1e-3, abs=1e-5)
    assert found[0]["colours"]["channels"][0]["mean"] == pytest.approx(
        found[1]["colours"]["channels"][0]["mean"], abs=1e-4
    )


def test_without_held_out_pictures_samples_are_compared_with_training_ones(tmp_path, extractor, capsys):
    np.save("fifty.npy", digits().pixels[:50])
    ok("train", "fifty.npy", "--out", "r", "--steps", 1, "--batch-size", 8, "--held-out", 0, *SMALL)
    capsys.readouterr()
    ok("evaluate", "r", *QUICK, "--extractor", extractor)
    shown = " ".join(capsys.readouterr().err.split())
    assert "compared with training pictures, because there are only 0 held-out ones" in shown
    assert "The run held out no pictures, so bits/dim are not measured" in shown
    found = json.loads(Path("r/evaluation.json").read_text())
    assert found["quality"]["facts"]["split"] == "training"
    assert found["quality"]["facts"]["real pictures"] == "halves of 25"
    assert "bits_per_dim" not in found


def test_samples_have_the_classes_of_the_data_in_the_same_proportions(tmp_path, extractor, monkeypatch):
    labels = np.repeat(np.array([0, 1]), [75, 25])
    np.savez("some.npz", images=digits().pixels[:100], labels=labels)
    ok(
        *(
            "train",
            "some.npz",
            "--out",
            "r",
            "--steps",
            1,
            "--batch-size",
            8,
            "--labels",
            "auto",
            "--held-out",
            20,
        ),
        *SMALL,
    )
    asked, generate = [], Denoiser.generate

    def spy(self, *counts, **options):
        asked.append(options["classes"])
        return generate(self, *counts, **options)

    monkeypatch.setattr(Denoiser, "generate", spy)
    ok("evaluate", "r", "--num-samples", 80, *QUICK[2:], "--extractor", extractor, "--guidance", 2)
    own = labels[split(100, 20, 0).training]
    assert torch.bincount(torch.cat(asked)).tolist() == np.bincount(own).tolist()
    facts = json.loads(Path("r/evaluation.json").read_text())["quality"]["facts"]
    assert facts["guidance"] == 2


def test_other_pictures_than_the_runs_are_not_searched_for_copies(trained, extractor, capsys):
    np.save("other.npy", np.random.default_rng(0).integers(0, 256, (60, 8, 8, 1), dtype=np.uint8))
    ok("evaluate", trained.path, "other.npy", *QUICK, "--extractor", extractor)
    assert "so copies are not looked for" in capsys.readouterr().err
    found = written(trained)
    assert "memorisation" not in found
    assert found["quality"]["facts"]["references"] == 60
    assert "--split training needs" in refused(
        capsys, "evaluate", trained.path, "other.npy", *QUICK, "--extractor", extractor, "--split", "training"
    )


def test_ctrl_c_scores_what_was_drawn_so_far(trained, extractor, monkeypatch):
    """The first one ends the drawing: what was drawn is scored, KID at least, and bits/dim are left out."""
    draw, batches = evaluation.draw_samples, []

    def interrupted(*arguments, **options):
        for batch in draw(*arguments, **options):
            batches.append(batch)
            signal.raise_signal(signal.SIGINT)
            yield batch

    monkeypatch.setattr(evaluation, "draw_samples", interrupted)
    ok("evaluate", trained.path, "--num-samples", 500, "--batch-size", 16, *QUICK[2:], "--extractor", extractor)
    assert len(batches) == 1
    found = written(trained)
    assert found["quality"]["facts"]["samples"] == 16
    assert found["quality"]["scores"][0]["name"].startswith("KID")
    assert list(found) == ["quality", "memorisation", "colours"]


def test_samples_are_drawn_by_the_best_weights_with_another_spacing_and_guided(trained, extractor, tmp_path):
    tensors, facts = read_tensors(trained.path / "model.safetensors")
    other = replace(trained, path=tmp_path / "other").with_config(trained.config)
    for name, scale in (("model", 1.0), ("best", 1.1)):
        path = other.path / f"{name}.safetensors"
        write_tensors(path, {key: scale * one for key, one in tensors.items()}, {**facts, "step": name[0]})
    common = ("--extractor", extractor, *QUICK)
    drawn = {}
    for name, options in {
        "plain": (),
        "best": ("--best",),
        "spacing": ("--spacing", "karras"),
        "guided": ("--autoguidance", 2, "--weak", trained.path),
        "bits": ("--best", "--bits-per-dim"),
    }.items():
        quick = common if name != "bits" else QUICK[2:]
        ok("evaluate", other.path, *quick, *options)
        drawn[name] = written(other)
    means = {name: one["colours"]["channels"][0]["mean"] for name, one in drawn.items()}
    assert len({means[name] for name in ("plain", "best", "spacing")}) == 3
    facts = {name: one["quality"]["facts"] for name, one in drawn.items()}
    assert facts["best"]["weights"] == facts["plain"]["weights"] + ", with the best samples"
    assert (facts["plain"]["spacing"], facts["spacing"]["spacing"]) == ("trailing", "karras")
    assert (facts["guided"]["autoguidance"], facts["guided"]["weaker"]) == (2, str(trained.path))
    assert "autoguidance" not in facts["plain"]
    assert means["guided"] == pytest.approx(means["plain"], abs=1e-3)  # it is guided away from itself
    bits = {name: one["bits_per_dim"] for name, one in drawn.items()}
    assert bits["bits"] == bits["best"]
    assert bits["best"]["total"]["mean"] != bits["plain"]["total"]["mean"]
    assert bits["best"]["weights"] == "with the best samples"


@pytest.mark.parametrize(("seconds", "busy", "steps"), [(0.05, 1, 5), (0.05, 2, 5), (0.1, 1.5, 2)])
def test_the_minutes_are_kept_on_a_busy_machine(trained, extractor, monkeypatch, seconds, busy, steps):
    """Each call of the network takes so many seconds a picture, and `busy` times as many after 20 seconds."""
    clock, denoise = Clock(), Denoiser.denoise
    begin = clock.now

    def slow(self, noisy_images, *rates, **more):
        for _ in range(len(noisy_images)):
            clock.now += seconds * (busy if clock.now > begin + 20 else 1)
        return denoise(self, noisy_images, *rates, **more)

    monkeypatch.setattr(Denoiser, "denoise", slow)
    bits = BitsOptions(256, None, 64, 0, 16, DenoiserOptions())
    drawn = {"num_steps": steps}
    options = EvaluationOptions(
        1.0, None, "held-out", extractor, None, drawn, {}, DenoiserOptions(), 0, 64, bits
    )
    evaluate_all(OpenRun(trained, "cpu"), None, options, clock)
    assert 0.65 <= (clock.now - begin) / 60 <= 1.0
    found = written(trained)
    assert found["quality"]["facts"]["samples"] >= 12
    assert len(found["quality"]["scores"]) == 6
    assert found["bits_per_dim"]["num_images"] >= 1


def test_what_there_is_no_time_for_is_left_out_and_told(trained, extractor, monkeypatch, capsys):
    """Of a network that takes ten minutes for a picture, 12 are drawn, and KID and copies are measured."""
    clock, generate = Clock(), Denoiser.generate

    def slow(self, count, **options):
        clock.now += 600 * count
        return generate(self, count, **options)

    monkeypatch.setattr(Denoiser, "generate", slow)
    bits = BitsOptions(256, None, 64, 0, 16, DenoiserOptions())
    options = EvaluationOptions(1.0, None, "held-out", extractor, None, {}, {}, DenoiserOptions(), 0, 64, bits)
    evaluate_all(OpenRun(trained, "cpu"), None, options, clock)
    found, said = written(trained), " ".join(capsys.readouterr().err.split())
    assert found["quality"]["facts"]["samples"] == 12
    assert [score["name"].partition("-")[0] for score in found["quality"]["scores"]] == ["KID"]
    assert "no time for more scores than KID" in said
    assert "memorisation" in found
    assert "no time left for bits/dim" in said
    assert "bits_per_dim" not in found


def test_wrong_options_and_damaged_runs_are_refused(trained, extractor, capsys, tmp_path):
    for options, sentence in (
        (("--extractor", "vgg"), "auto, lite0, learned, inception, dinov2"),
        (("--extractor", extractor, "--num-samples", 3), "at least 12 samples"),
        (("--minutes", 0), "more than 0 minutes"),
        (("--extractor", extractor, "--batch-size", 0), "batch size"),
        (("--num-steps", 0), "1 step"),
        (("--eta", 2), "eta"),
        (("--best",), "no best.safetensors"),
        (("--autoguidance", 2, "--weak", 7), "holds no average of step 7"),
        (("--split", "half"), "split"),
        (("--extractor", "lite0", "--weights", "w.pth"), "leave it out"),
        (("--device", "toaster"), "--device cpu"),
    ):
        assert sentence in refused(capsys, "evaluate", trained.path, *options), options
    assert "no run" in refused(capsys, "evaluate", "nowhere")
    assert not (trained.path / "evaluation.json").exists()
    (trained.path / "evaluation.json").write_text("{")
    assert "damaged" in refused(capsys, "evaluate", trained.path, *QUICK, "--extractor", extractor)
    broken = replace(trained, path=tmp_path / "broken").with_config(trained.config)
    (broken.path / "model.safetensors").write_bytes(b"no weights")
    assert "damaged" in refused(capsys, "evaluate", broken.path, *QUICK)
