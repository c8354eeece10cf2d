"""The worker: what it draws obeys the equations, is the same in every task, and no request harms it."""

import base64
import io
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

import unnoise as un
from helpers.worker_tasks import TINY, Done, ask, done, perform, refused
from unnoise.app.worker import kinds
from unnoise.app.worker.folder import TaskFolder
from unnoise.app.worker.opened import OpenedRuns
from unnoise.app.workspace import Workspace


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A workspace with two runs on forty colour pictures; "two" has other weights than "one"."""
    opened = Workspace.open(tmp_path_factory.mktemp("app") / "workspace")
    folder, numbers = opened.pictures / "photos", np.random.default_rng(0)
    folder.mkdir(parents=True)
    for place in range(40):
        Image.fromarray(numbers.integers(40, 216, (8, 8, 3), dtype=np.uint8)).save(folder / f"{place:02d}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNNOISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        for seed, name in enumerate(("one", "two")):
            un.train(folder, size=8, steps=3, out=opened.runs / name, held_out=4, seed=seed, **TINY)
    return opened


@pytest.fixture
def workspace(trained, tmp_path, monkeypatch):
    """The same, with tasks of its own."""
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(trained.root)
    yield trained
    shutil.rmtree(trained.hidden / "tasks", ignore_errors=True)


@pytest.fixture
def own(workspace, tmp_path):
    """A workspace whose runs a test may change."""
    made = Workspace.open(tmp_path / "own")
    shutil.copytree(workspace.runs, made.runs)
    return made


def alike(left, right, levels=1):
    """Whether two pictures differ by no more than some grey levels: rounding, in batches of other sizes."""
    return np.abs(left - right).max() <= levels


def frames(path):
    """How many frames a file has, each larger than the run's pictures."""
    with Image.open(path) as opened:
        assert min(opened.size) > 8
        return opened.n_frames


def mixed(found, run, clean, noise, rates):
    """What the files of a picture and of noise mix to, and how much rounding may change it; both (H, W, C)."""
    normalizer, (noise_rate, signal_rate) = run.config.normalizer, rates
    mean, std = 255 * np.array(normalizer.mean), np.array(normalizer.std)
    noises = 6 * (found.pixels(noise) - 127.5)  # as noise is shown: black is 3 standard deviations below 0
    expected = mean + signal_rate * (found.pixels(clean) - mean) + noise_rate * std * noises
    return expected, 0.6 + 0.5 * signal_rate + 3 * noise_rate * std


def assert_mixes(found, run, names, rates):
    """Noisy = signal * clean + noise * noise, within the rounding of the files, where nothing was cut off."""
    noisy, clean, noise = names
    expected, rounding = mixed(found, run, clean, noise, rates)
    inside = np.ones(expected.shape, bool)
    for name in names:
        pixels = found.pixels(name)
        inside &= (pixels > 0) & (pixels < 255)
    inside &= (expected > 0) & (expected < 255)
    assert inside.mean() > 0.3
    assert (np.abs(found.pixels(noisy) - expected) <= rounding)[inside].all()


def test_a_seed_gives_the_same_picture_in_every_task(workspace):
    runs = OpenedRuns()
    drawn = done(workspace, "draw", runs, number=3, seed=5)
    assert drawn.result == {"seeds": [5, 6, 7], "names": ["000005", "000006", "000007"]}
    assert drawn.files == ["000005.png", "000006.png", "000007.png", "sheet.png"]
    alone = done(workspace, "draw", runs, number=1, seed=6)
    assert alike(alone.pixels("000006.png"), drawn.pixels("000006.png"))

    steps = done(workspace, "reverse", runs, seed=6)
    assert steps.result["steps"] == 4
    assert len(steps.files) == 12
    assert alike(steps.pixels("image-003.png"), drawn.pixels("000006.png"))

    # A morph adds no noise on the way, as this run's own sampler does.
    smooth = done(workspace, "draw", runs, number=3, seed=5, sampler="ddim")
    morph = done(workspace, "morph", runs, seeds=[5, 7], frames=4)
    assert alike(morph.pixels("frame-000.png"), smooth.pixels("000005.png"))
    assert alike(morph.pixels("frame-002.png"), smooth.pixels("000007.png"))
    other = done(workspace, "draw", runs, number=1, seed=6, steps=2, sampler="heun")
    assert not alike(other.pixels("000006.png"), drawn.pixels("000006.png"))


def test_noisy_pictures_are_mixed_of_the_predicted_ones(workspace):
    run = un.open(workspace.runs / "one")
    found = done(workspace, "reverse", seed=1, steps=5)
    assert found.result["noise_rates"] == sorted(found.result["noise_rates"], reverse=True)
    for step, rates in enumerate(zip(found.result["noise_rates"], found.result["signal_rates"], strict=True)):
        assert sum(rate**2 for rate in rates) == pytest.approx(1)
        assert_mixes(found, run, [f"{kind}-{step:03d}.png" for kind in ("noisy", "image", "noise")], rates)


@pytest.mark.parametrize("time", [0.0, 0.3, 0.7, 1.0])
def test_the_forward_process_mixes_picture_and_noise(workspace, time):
    run = un.open(workspace.runs / "one")
    found = done(workspace, "forward", picture={"held_out": 1}, time=time, seed=3)
    result = found.result
    rates = result["noise_rate"], result["signal_rate"]
    noise, signal = run.config.schedule(torch.full((1, 1, 1, 1), time))
    assert rates == (float(noise), float(signal))
    assert result["time"] == time
    if time in (0.3, 0.7):
        assert_mixes(found, run, ("noisy.png", "clean.png", "noise.png"), rates)
        assert_mixes(found, run, ("noisy.png", "predicted.png", "predicted_noise.png"), rates)
    difference = found.pixels("predicted.png") - found.pixels("clean.png")
    assert alike(found.pixels("difference.png"), 127.5 + difference / 2, 1.1)
    assert result["error"] == pytest.approx(np.sqrt(((difference / 255) ** 2).mean()), abs=1 / 255)


def test_a_picture_of_ones_own_is_read_as_the_run_reads_its_pictures(workspace):
    """Cut to a square in the middle, scaled, in colours."""
    path = workspace.pictures / "wide.png"
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, 4:28] = 200
    Image.fromarray(pixels).save(path)
    found = done(workspace, "forward", picture={"path": str(path)}, time=0.5)
    assert (found.pixels("clean.png") == np.full((8, 8, 3), 200)).all()


def test_edits_show_their_stages(workspace):
    runs = OpenedRuns()
    drawn = done(workspace, "draw", runs, number=1, seed=2)
    picture = {"path": str(drawn.folder / "000002.png")}
    for kind, words, titles in (
        ("redraw", {"strength": 0.5, "versions": 2}, ["before", "version 1", "version 2"]),
        ("vary", {"amount": 0.2, "number": 2}, ["before", "variation 1", "variation 2"]),
        ("outpaint", {"height": 8, "width": 12}, ["before", "after"]),
        ("restore", {"task": "upscale", "factor": 2}, ["before", "small", "restored"]),
        ("restore", {"task": "colourise", "factor": None}, ["before", "grey", "restored"]),
    ):
        found = done(workspace, kind, runs, picture=picture, seed=1, **words)
        assert [title for title, _ in found.result["columns"]] == titles
        assert found.files[-1] == "sheet.png"
        named = [name for _, names in found.result["columns"] for name in names]
        assert all(name in found.files for name in named)
        if kind != "outpaint":
            assert (found.pixels(named[0]) == drawn.pixels("000002.png")).all()


def test_only_what_was_painted_is_drawn_anew(workspace):
    painted, file = np.zeros((8, 8), np.uint8), io.BytesIO()
    painted[2:5, 3:6] = 255
    Image.fromarray(painted).save(file, "png")
    mask = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    found = done(workspace, "inpaint", picture={"held_out": 0}, mask=mask, seed=3)
    before, after = (found.pixels(names[0]) for title, names in found.result["columns"] if title != "mask")
    changed = (before != after).any(-1)
    assert not changed[painted == 0].any()
    assert changed[painted > 0].any()


@pytest.mark.parametrize("schedule", ["offset_cosine", "cosine", "linear", "ddpm_linear"])
def test_schedules_are_curves_that_browsers_can_read(workspace, schedule):
    found = done(workspace, "schedules", run=None, schedule=schedule, min_signal_rate=0.1).result
    assert found["name"] == schedule
    assert len(found["times"]) == len(found["log_snr"]) == 101
    assert found["log_snr"] == sorted(found["log_snr"], reverse=True)
    if schedule == "offset_cosine":
        assert found["signal_rates"][-1] == pytest.approx(0.1)
    own = done(workspace, "schedules").result
    assert own["name"] == type(un.open(workspace.runs / "one").config.schedule).__name__
    json.dumps([found, own], allow_nan=False)


def test_a_checkup_shows_the_pictures_that_it_speaks_of(workspace):
    folder = workspace.pictures / "odd"
    shutil.copytree(workspace.pictures / "photos", folder)
    shutil.copyfile(folder / "00.png", folder / "copy.png")
    Image.fromarray(np.full((8, 8, 3), 90, np.uint8)).save(folder / "blank.png")
    found = done(workspace, "checkup", run=None, pictures="./pictures/odd", size=8)
    findings = {one["kind"]: one for one in found.result["findings"]}
    assert len(findings["exact copies"]["pictures"]) == 2
    first, second = (found.pixels(name) for name in findings["exact copies"]["pictures"])
    assert (first == second).all()
    (blank,) = findings["blank"]["pictures"]
    assert (found.pixels(blank) == 90).all()
    assert findings["blank"]["serious"]
    assert found.result["proposal"]["height"] == 8
    assert found.result["speed"] is None  # not measured beside a training
    assert "sheet.png" in found.files


def test_what_is_saved_is_what_was_seen(own):
    runs = OpenedRuns()
    drawn = done(own, "draw", runs, number=2, seed=4)
    steps, morph = done(own, "reverse", runs, seed=4), done(own, "morph", runs, seeds=[1, 2], frames=6)

    def saved(source, kind):
        found = done(own, "save", runs, run=None, task=source.folder.name, format=kind)
        assert found.files == [f"download.{kind}"]
        return found.folder / found.files[0]

    seen = np.stack([drawn.pixels(f"00000{seed}.png") for seed in (4, 5)])
    assert (np.load(saved(drawn, "npz"))["images"] == seen).all()
    assert saved(drawn, "png").read_bytes() == (drawn.folder / "sheet.png").read_bytes()
    assert frames(saved(drawn, "gif")) == 5  # the noise of four steps, and the pictures
    assert frames(saved(steps, "gif")) == 5
    assert frames(saved(morph, "gif")) == 6
    arrays = np.load(saved(steps, "npz"))
    assert (arrays["image"][-1] == steps.pixels("image-003.png")).all()
    assert arrays["noise_rates"].tolist() == steps.result["noise_rates"]
    for source in (steps, morph):
        assert frames(saved(source, "png")) == 1
    edited = done(own, "redraw", runs, picture={"path": str(drawn.folder / "000004.png")}, versions=1)
    assert saved(edited, "png").read_bytes() == (edited.folder / "sheet.png").read_bytes()
    assert "png only" in refused(own, "save", task=edited.folder.name, format="gif")

    # The run learns on: what was seen can still be saved, but not computed again.
    shutil.copyfile(own.runs / "two" / "model.safetensors", own.runs / "one" / "model.safetensors")
    assert (np.load(saved(drawn, "npz"))["images"] == seen).all()
    assert "has learned on" in refused(own, "save", task=drawn.folder.name, format="gif")


def test_new_weights_are_read_once_they_are_there(own, monkeypatch):
    from unnoise.runs.checkpoint import Run

    loaded, load = [], Run.averaged
    monkeypatch.setattr(Run, "averaged", lambda *words, **more: loaded.append(1) or load(*words, **more))
    runs = OpenedRuns()
    first = done(own, "draw", runs, number=1, seed=1)
    again = done(own, "draw", runs, number=1, seed=1)
    assert (first.pixels("000001.png") == again.pixels("000001.png")).all()
    assert len(loaded) == 1
    shutil.copyfile(own.runs / "two" / "model.safetensors", own.runs / "one" / "model.safetensors")
    changed = done(own, "draw", runs, number=1, seed=1)
    assert len(loaded) == 2
    assert (changed.pixels("000001.png") != first.pixels("000001.png")).any()
    fresh = un.open(own.runs / "one", device="cpu").generate(1, seed=1).numpy()[0]
    assert (changed.pixels("000001.png") == fresh).all()


def test_pages_and_exports_are_files(workspace):
    assert (done(workspace, "report").folder / "report.html").read_text().startswith("<!")


@pytest.mark.parametrize(
    ("kind", "words", "sentence"),
    [
        ("fly", {}, "There is no task 'fly'"),
        ("draw", {"run": None}, "needs run"),
        ("draw", {"run": "nobody"}, "nobody"),
        ("draw", {"run": "../runs/one"}, "nothing of this name"),
        ("draw", {"label": "cat"}, "knows no class"),
        ("draw", {"guidance": 2}, "without --labels"),
        ("draw", {"best": True}, "no best.safetensors"),
        ("draw", {"number": 10**12}, "memory"),
        ("reverse", {"seed": 1, "steps": 0}, "at least 1 step"),
        ("reverse", {"seed": -1}, "A seed is a whole number"),
        ("morph", {}, "needs seeds"),
        ("morph", {"seeds": [1]}, "at least 2 seeds"),
        ("morph", {"seeds": [1, 2, 3], "frames": 2}, "at least 3 frames"),
        ("redraw", {"picture": {"path": "gone.png"}}, "not there any more"),
        ("redraw", {"picture": {"held_out": 4}}, "4 held-out pictures"),
        ("redraw", {"picture": {"held_out": 0}, "strength": 3}, "strength"),
        ("inpaint", {"picture": {"held_out": 0}}, "Paint on the picture"),
        ("inpaint", {"picture": {"held_out": 0}, "mask": "data:image/png;base64,iVBORw0KGgo="}, "Paint on"),
        ("outpaint", {"picture": {"held_out": 0}, "height": 4, "width": 4}, "larger"),
        ("restore", {"picture": {"held_out": 0}, "task": "upscale", "factor": 3}, "factor"),
        ("forward", {"picture": {"held_out": 0}, "time": 2}, "The time is from 0"),
        ("schedules", {"run": None, "schedule": "magic"}, "There is no schedule 'magic'"),
        ("schedules", {"run": None, "min_signal_rate": 0.99}, "min_signal_rate"),
        ("checkup", {"run": None}, "needs pictures"),
        ("checkup", {"run": None, "pictures": "./nowhere"}, "nowhere"),
        ("save", {"run": None}, "needs task"),
        ("save", {"run": None, "task": "0" * 16}, "not drawn yet"),
        ("save", {"run": None, "task": "../../runs/one", "format": "png"}, "not drawn yet"),
        ("save", {"run": None, "task": "0" * 16, "format": "exe"}, "'exe' was asked for"),
        ("export", {"to": "paper"}, "nothing to export to"),
    ],
)
def test_bad_words_give_one_sentence(workspace, kind, words, sentence):
    assert sentence in refused(workspace, kind, **words)


@pytest.mark.parametrize(
    "damage", [lambda path: path.write_bytes(path.read_bytes()[:-9]), lambda path: path.unlink()]
)
@pytest.mark.parametrize("name", ["model.safetensors", "config.json"])
def test_a_damaged_run_is_told(own, name, damage):
    damage(own.runs / "one" / name)
    refused(own, "draw", number=1)


def test_a_picture_that_cannot_be_read_is_told(workspace):
    path = workspace.pictures / "bad.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    assert "Cannot read the picture" in refused(workspace, "vary", picture={"path": str(path)})


def test_a_bug_is_told_in_one_sentence_and_its_traceback_kept(workspace, monkeypatch):
    monkeypatch.setitem(kinds.KINDS, "draw", lambda task, workspace: 1 / 0)
    found = perform(workspace, ask(workspace, "draw"))
    assert found.state["state"] == "failed"
    assert "ZeroDivisionError" in found.state["error"]
    assert "1 / 0" in (found.folder / "traceback.txt").read_text()


def test_too_little_memory_is_told(workspace, monkeypatch):
    def work(*_):
        raise MemoryError

    monkeypatch.setitem(kinds.KINDS, "draw", work)
    assert "not enough memory" in refused(workspace, "draw")


def test_a_task_ends_at_the_step_after_it_was_cancelled(workspace, monkeypatch):
    told, progress = [], TaskFolder.progress

    def cancelling(task, fraction, doing):
        told.append((fraction, doing))
        if doing.endswith("step 2 of 1000"):
            (task.path / "cancel").touch()
        progress(task, fraction, doing)

    monkeypatch.setattr(TaskFolder, "progress", cancelling)
    for kind, words in (("draw", {"number": 2}), ("reverse", {"seed": 1}), ("morph", {"seeds": [1, 2]})):
        found = perform(workspace, ask(workspace, kind, steps=1000, **words))
        assert (found.state["state"], found.state["error"]) == ("failed", "Cancelled.")
        assert told[-1][1].endswith("step 2 of 1000")
        assert told[-1][0] == pytest.approx(0.002)


def test_a_task_that_was_cancelled_while_it_waited_is_not_begun(workspace):
    folder = ask(workspace, "draw")
    (folder / "cancel").touch()
    assert perform(workspace, folder).state["error"] == "Cancelled."
    assert {path.name for path in folder.iterdir()} == {"request.json", "state.json", "cancel"}


def test_a_task_that_is_removed_meanwhile_leaves_nothing(workspace, monkeypatch):
    folder = ask(workspace, "draw")
    monkeypatch.setitem(kinds.KINDS, "draw", lambda task, workspace: shutil.rmtree(task.path) or {})
    monkeypatch.setattr("helpers.worker_tasks.Done", lambda folder: None)
    perform(workspace, folder)
    assert not folder.exists()


def test_a_task_that_ends_the_worker_each_time_is_given_up(workspace):
    folder = ask(workspace, "draw", number=1)
    for begun, state in ((2, "done"), (3, "failed")):
        (folder / "state.json").write_text(json.dumps({"state": "working", "begun": begun}))
        left = folder / ".0123456789ab.png"
        left.write_bytes(b"half")
        found = perform(workspace, folder)
        assert found.state["state"] == state
        assert left.exists() == (state == "failed")
    assert "several times" in found.state["error"]
    assert isinstance(found, Done)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "[" * 100_000])
def test_damaged_requests_and_states_are_passed_over(workspace, text):
    folder = ask(workspace, "draw", number=1)
    (folder / "state.json").write_text(text)
    assert TaskFolder(folder, OpenedRuns()).is_open
    assert perform(workspace, folder).state["state"] == "done"
    (folder / "request.json").write_text(text)
    assert not TaskFolder(folder, OpenedRuns()).is_open
