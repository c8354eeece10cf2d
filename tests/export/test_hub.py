"""Upload to the hub: bytes arrive equal, no path or token leaves, and what is refused is one sentence."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load

from helpers.command_line import ok, refused
from helpers.hub_server import TOKEN, hub_server
from helpers.runs import start
from unnoise.api import open_run
from unnoise.optim.power_ema import Profile
from unnoise.runs.checkpoint import Progress, Run
from unnoise.runs.snapshots import Snapshots
from unnoise.utils.tensor_files import write_tensors

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
yaml = pytest.importorskip("yaml")

pytestmark = pytest.mark.filterwarnings("ignore:Use .content=:DeprecationWarning")  # huggingface_hub uploads so

FILES = {"README.md", "config.json", "model.safetensors", "samples.png"}
SOMEONES = "/home/someone/secret"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    run = start(tmp_path_factory.mktemp("hub") / "run")
    run.save(run.config.build(), Progress(step=3))
    run.samples.mkdir()
    Image.new("L", (8, 8), 99).save(run.samples / "0000000003.png")
    row = "3,48,90.0,0.001,0.5,0.5,0.5,0.4\n"
    header = "step,images,seconds,learning_rate,training_loss,noise_loss,image_loss,held_out_loss\n"
    (run.path / "history.csv").write_text(header + row)
    return run.path


@pytest.fixture
def evaluated(trained, tmp_path) -> Path:
    """The run with scores, a verdict, and paths of a user's machine wherever there can be any."""
    path = tmp_path / "evaluated"
    shutil.copytree(trained, path)
    run = Run.open(path)
    data = replace(
        run.config.data, source=f"{SOMEONES}/photos", labels=f"{SOMEONES}/labels.csv", classes=("cat|x", "dog")
    )
    recipe = run.config.recipe.changed(["network.num_classes=2"])
    config = replace(run.config, data=data, recipe=recipe, init=f"{SOMEONES}/run", imported=f"{SOMEONES}/pipe")
    run = run.with_config(config)
    shutil.rmtree(path / "training")
    run.save(run.config.build(), Progress(step=3))
    score = {"name": "KID", "value": 0.0123, "low": 0.0101, "high": 0.0145, "better": "lower", "real": 0.0002}
    facts = {"samples": 300, "source": f"{SOMEONES}/photos", "weak": f"{SOMEONES}/weak", "extractor": "lite0"}
    quality = {"step": 3, "facts": facts, "scores": [score], "warnings": [f"Left out {SOMEONES}/a.png."]}
    copies = {"verdict": "No sign of copying: 0 of 300.", "copied": {"value": 0.0, "low": 0.0, "high": 0.01}}
    (path / "evaluation.json").write_text(json.dumps({"quality": quality, "memorisation": copies}))
    return path


@pytest.fixture
def hub(monkeypatch):
    """The stand-in server, with a token to log in with."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    with hub_server() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        yield server


def front_matter(folder: Path) -> dict:
    return yaml.safe_load((folder / "README.md").read_text().split("---\n")[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_what_arrives_is_what_the_dry_run_writes(trained, hub, capfd, tmp_path):
    before = sorted(trained.rglob("*"))
    ok("push", trained, "me/digits", "--license", "mit", "--private")
    printed = "".join(capfd.readouterr())
    assert TOKEN not in printed
    assert f"{hub.address}/me/digits" in printed
    assert sorted(trained.rglob("*")) == before
    ok("push", trained, "me/digits", "--license", "mit", "--dry-run", "--out", tmp_path / "dry")
    written = contents(tmp_path / "dry")
    assert hub.files.keys() == written.keys() == FILES
    for name in FILES - {"model.safetensors"}:  # whose metadata has no order of its own
        assert hub.files[name] == written[name]
    for name, tensor in load(hub.files["model.safetensors"]).items():
        assert tensor.equal(load(written["model.safetensors"])[name])
    assert not any(TOKEN.encode() in content for content in hub.files.values())
    (created,) = hub.created
    assert created["name"] == "digits"
    assert created.get("private") is True or created.get("visibility") == "private"
    for path, token in hub.tokens.items():
        if "digits" in path or "repos/create" in path:  # the library may also look up what else is there
            assert token == (None if "/upload/" in path else f"Bearer {TOKEN}"), path
    assert len(hub.tokens) > 2


def test_a_repository_that_is_there_gets_a_commit_but_none_that_is_public_against_private(trained, hub, capsys):
    hub.exists = True
    ok("push", trained, "me/digits")
    assert hub.files.keys() == FILES
    hub.files.clear()
    hub.private = False
    assert "is there and public" in refused(capsys, "push", trained, "me/digits", "--private")
    assert not hub.files


def test_the_folder_draws_what_the_run_draws_and_can_be_evaluated(trained, tmp_path):
    folder = tmp_path / "hub"
    ok("push", trained, "me/digits", "--dry-run", "--out", folder)
    drawn = []
    for path in (trained, folder):
        ok("generate", path, "--num-images", 2, "--out", tmp_path / "drawn.npz")
        drawn.append(np.load(tmp_path / "drawn.npz")["images"])
    assert (drawn[0] == drawn[1]).all()
    ok("train", "digits", "--out", tmp_path / "new", "--init", folder, "--dry-run")


def test_averages_that_guide_a_run_go_with_it(trained, tmp_path):
    """The weaker one of all that are stored."""
    shutil.copytree(trained, tmp_path / "run")
    run, averages = Run.open(tmp_path / "run"), Snapshots(tmp_path / "run" / "ema")
    run = run.with_config(replace(run.config, recipe=replace(run.config.recipe, autoguidance=3.0)))
    run.save(run.config.build(), Progress(step=1000))
    for step in (300, 600, 900):
        weights = run.load().network.state_dict()
        other = {name: tensor + 0.001 * step * torch.randn_like(tensor) for name, tensor in weights.items()}
        write_tensors(averages.path(Profile(step, 0.1)), other, {"step": str(step)})
    ok("push", run.path, "me/digits", "--dry-run", "--out", tmp_path / "hub")
    assert Snapshots(tmp_path / "hub" / "ema").steps() == [300]
    before, after = (open_run(path, "cpu").generate(2).tensor for path in (run.path, tmp_path / "hub"))
    assert torch.equal(before, after)
    assert not torch.equal(before, open_run(run.path, "cpu").generate(2, autoguidance=1.0).tensor)


def test_no_path_leaves_the_machine(evaluated):
    ok("push", evaluated, "me/animals", "--dry-run")
    folder = evaluated / "hub"
    for content in contents(folder).values():
        assert b"someone" not in content
        assert str(evaluated).encode() not in content
    config = Run.open(folder).config
    assert config.data.source == ""
    assert config.data.labels is None
    assert config.data.classes == ("cat|x", "dog")
    assert config.init is None
    assert config.imported == "pipe"
    ok("generate", folder, "--num-images", 1, "--labels", "dog", "--out", evaluated / "dog.png")


def test_the_card_tells_what_was_measured(evaluated):
    ok("push", evaluated, "me/animals", "--dry-run")
    folder = evaluated / "hub"
    card = (folder / "README.md").read_text()
    assert "# license: fill in" in card
    assert "| KID (lower is better) | 0.0123 (0.0101 to 0.0145) | 0.0002 |" in card.replace("2.0e-4", "0.0002")
    for told in ("No sign of copying: 0 of 300.", "- images seen: 48", "- training: 90 s", "(samples.png)"):
        assert told in card
    assert "cat\\|x, dog" in card
    assert "was not measured" not in card
    values = front_matter(folder)
    assert values["library_name"] == "unnoise"
    assert values["pipeline_tag"] == "unconditional-image-generation"
    (metric,) = values["model-index"][0]["results"][0]["metrics"]
    assert metric == {"type": "kid", "name": "KID", "value": 0.0123}
    huggingface_hub.ModelCard(card).data.to_dict()


def test_the_card_of_a_run_that_was_not_evaluated_names_the_command(trained, tmp_path):
    ok("push", trained, "me/digits", "--dry-run", "--license", "mit", "--out", tmp_path / "hub")
    card = (tmp_path / "hub" / "README.md").read_text()
    assert card.count("This was not measured. `unnoise evaluate RUN`") == 2
    assert "- pictures: 1,797" in card
    values = front_matter(tmp_path / "hub")
    assert values["license"] == "mit"
    assert "model-index" not in values


@pytest.mark.parametrize(
    ("place", "status", "sentence"),
    [
        ("whoami", 401, "does not know the token"),
        ("preupload", 403, "may not write there"),
        ("preupload", 404, "no such owner or repository"),
        ("/commit/", 409, "changed meanwhile"),
        ("whoami", 503, "fault of its own"),
        ("objects/batch", 403, "may not write there"),
    ],
)
def test_what_the_hub_refuses_is_one_sentence(trained, hub, capfd, place, status, sentence):
    hub.refusals[place] = status
    before = sorted(trained.rglob("*"))
    said = refused(capfd, "push", trained, "me/digits")
    assert sentence in said
    assert str(status) in said
    assert TOKEN not in said
    assert not hub.files
    assert sorted(trained.rglob("*")) == before


def test_without_network_or_token_it_says_so(trained, hub, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "cannot be reached" in refused(capsys, "push", trained, "me/digits")
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    assert "no token" in refused(capsys, "push", trained, "me/digits")
    assert not hub.tokens


@pytest.mark.parametrize(
    "name", ["digits", "me/", "me/a/b", "me/a b", "../x", "me/-a", "me/a--b", "me/a.git", ""]
)
def test_a_bad_name_is_refused_before_anything_is_written(trained, capsys, name):
    assert "OWNER/NAME" in refused(capsys, "push", trained, name, "--dry-run")
    assert not (trained / "hub").exists()


def test_bad_folders_runs_and_licences_are_refused(trained, capsys, tmp_path):
    full = tmp_path / "full"
    full.mkdir()
    (full / "mine.txt").write_text("mine")
    assert "is there already" in refused(capsys, "push", trained, "me/digits", "--dry-run", "--out", full)
    assert [file.name for file in full.iterdir()] == ["mine.txt"]
    assert "identifier" in refused(capsys, "push", trained, "me/digits", "--license", "My own", "--dry-run")
    start(tmp_path / "untrained")
    refused(capsys, "push", tmp_path / "untrained", "me/digits", "--dry-run")
    assert not (tmp_path / "untrained" / "hub").exists()
