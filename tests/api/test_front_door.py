"""The front door: what docs/python.md says one can do works, with the words of the command line."""

import inspect
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import unnoise as un
from helpers.command_line import ok
from unnoise import api
from unnoise.api.reporting import Silent, collecting, progress_bar, reporting, tell, tell_output

TINY = {
    "batch_size": 4,
    "preset": "nano",
    "device": "cpu",
    "set": (
        "network.widths=[8,16]",
        'network.attention=["none","full"]',
        "network.block_depth=1",
        "sampling.num_steps=3",
    ),
}
METHODS = (
    "generate reverse morph redraw vary invert inpaint outpaint restore evaluate solve report ema resume export"
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Forty colour pictures of 8 x 8 in two classes."""
    folder, numbers = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for place in range(40):
        path = folder / ("cat", "dog")[place % 2] / f"{place:02d}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(numbers.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    return folder


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UNNOISE_CACHE", str(tmp_path_factory.mktemp("cache")))
        pictures = un.load(photos, size=8, labels="auto")
        out = tmp_path_factory.mktemp("runs") / "mine"
        made = un.train(pictures, steps=3, out=out, held_out=4, **TINY)
    return un.open(made.path, device="cpu")


def test_labels_are_left_out_where_they_are_not_wanted(photos):
    assert un.load(photos, size=8, labels=False).labels is None
    assert un.load(photos, size=8, labels=True).labels is not None


def test_a_layout_is_taken_for_an_array_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    np.save(tmp_path / "x.npy", np.zeros((30, 3, 8, 9), np.uint8))
    images = un.load("~/x.npy", layout="NCHW").images
    assert (images.channels, images.height, images.width) == (3, 8, 9)


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))


def test_the_block_of_the_documentation(run, tmp_path):
    """Each line of it, at small size."""
    drawn = run.generate(6, seed=1, labels=["cat"])
    assert drawn.tensor.shape == (6, 3, 8, 8)
    assert drawn.numpy().dtype == np.uint8
    assert drawn.numpy().shape == (6, 8, 8, 3)
    assert [one.size for one in drawn.pil()] == [(8, 8)] * 6
    for name in ("x.png", "x.gif", "x.npz", "folder"):
        assert drawn.save(name) == Path(name)
        assert Path(name).exists()
    assert len(list(Path("folder").iterdir())) == 6
    run.reverse(4).save("reverse.gif")
    run.morph([1, 2, 3], frames=6).save("morph.gif")
    assert run.report(tmp_path / "report.html").read_text().startswith("<!")
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save("photo.png")
    Image.fromarray(np.tile(np.uint8([255, 0]), (8, 4))).save("mask.png")
    for edited in (
        run.inpaint("photo.png", mask="mask.png", repeats=1),
        run.invert("photo.png", num_steps=3),
        run.vary("photo.png", num_steps=3, num_variations=2),
        run.outpaint("photo.png", size=(8, 12), repeats=1),
        run.restore("photo.png", task="deblur", num_solves=1),
        run.redraw("photo.png", versions=2),
    ):
        assert edited.columns
        assert edited.sheet().size > (8, 8)
        edited.save("edited.png")


def test_the_plain_object_underneath_is_as_it_was_saved(run):
    diffusion = run.diffusion
    assert isinstance(diffusion, un.Diffusion)
    averaged = run.folder.load().network.state_dict()
    found = diffusion.ema.network.state_dict()
    assert all(torch.equal(found[name], averaged[name]) for name in averaged)
    assert not all(torch.equal(diffusion.network.state_dict()[name], averaged[name]) for name in averaged)
    diffusion.train_step(torch.rand(2, 3, 8, 8), torch.tensor([0, 1]))


def test_a_run_is_resumed_and_measured(photos, tmp_path):
    run = un.train(photos, size=8, steps=2, out="r", held_out=16, **TINY)
    assert run.path == Path("r")
    resumed = run.resume(steps=2)
    assert next(int(path.stem) for path in resumed.folder.states()) == 4
    found = resumed.evaluate(num_samples=16, num_images=2, num_terms=2)
    assert found.record == json.loads(Path("r/evaluation.json").read_text())
    assert "KID" in str(found)
    assert "KID" in found._repr_html_()
    assert "steps" in repr(resumed)


def test_a_trained_run_draws_with_the_polish_that_was_found(photos, monkeypatch):
    def found(level):
        name = "unnoise.trainer.previews.polishing.find_polish"
        monkeypatch.setattr(name, lambda images, *_: (level, images))

    found(0.25)
    run = un.train(photos, size=8, steps=1, out="r", held_out=4, **TINY)
    assert run.config.recipe.sampling.polish == 0.25
    assert run.config == un.open("r").config
    found(0.5)
    again = run.resume(steps=1)
    assert again.config.recipe.sampling.polish == 0.5
    assert again.config == un.open("r").config


def test_train_has_the_weights_of_the_command_line(photos):
    words = {"size": 8, "steps": 2, "seed": 3, "held_out": 4} | TINY
    un.train(photos, **words, out="python")
    changes = words.pop("set")
    options = [text for name, value in words.items() for text in (f"--{name.replace('_', '-')}", value)]
    ok("train", photos, *options, "--set", *changes, "--out", "line")
    assert Path("python/config.json").read_text() == Path("line/config.json").read_text()
    ours, theirs = (un.open(name).folder.load().network.state_dict() for name in ("python", "line"))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_loop_of_ones_own_may_end_early_and_everything_is_saved(photos):
    words = {"size": 8, "held_out": 4} | TINY
    losses = []
    with un.training(photos, steps=50, out="r", **words) as steps:
        for step in steps:
            losses.append(float(step.result.loss))
            if step.progress.step == 2:
                break
    assert len(losses) == 2
    assert [int(path.stem) for path in steps.run.folder.states()] == [2]
    whole = [float(step.result.loss) for step in un.training(photos, steps=3, out="s", **words)]
    assert losses == whole[:2]
    with pytest.raises(un.UnnoiseError, match="no option 'minuts'"):
        un.training(photos, minuts=3)


def test_ctrl_c_saves_and_returns_the_run(photos):
    """As interrupting a notebook's kernel does, which sends it the same signal."""
    told = []

    def interrupt(part, text):
        if text.startswith("Training"):
            told.append(part)
        if len(told) == 1:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    run = un.train(photos, size=8, steps=1000, out="r", held_out=4, progress=interrupt, **TINY)
    assert signal.getsignal(signal.SIGINT) is before
    (state,) = run.folder.states()
    assert 1 <= int(state.stem) < 1000
    assert run.generate(1).tensor.shape == (1, 3, 8, 8)


def test_ctrl_c_during_a_step_ends_a_loop_of_ones_own_and_saves(photos, monkeypatch):
    step = un.Diffusion.train_step
    taken = []

    def interrupted(*arguments, **options):
        taken.append(1)
        if len(taken) == 3:
            signal.raise_signal(signal.SIGINT)
        return step(*arguments, **options)

    monkeypatch.setattr(un.Diffusion, "train_step", interrupted)
    steps = un.training(photos, size=8, steps=50, out="r", held_out=4, **TINY)
    assert [one.progress.step for one in steps] == [1, 2, 3]
    assert [int(path.stem) for path in steps.run.folder.states()] == [3]


def test_training_works_in_a_thread_which_gets_no_signals(photos):
    made = []
    thread = threading.Thread(target=lambda: made.append(un.train(photos, size=8, steps=1, out="r", **TINY)))
    thread.start()
    thread.join()
    assert [int(path.stem) for path in made[0].folder.states()] == [1]


def test_pictures_show_themselves_and_are_read_once(photos):
    pictures = un.load(photos, size="8x8", labels="auto")
    assert len(pictures) == 40
    assert pictures.class_names == ("cat", "dog")
    assert pictures.take([0, 1]).shape == (2, 3, 8, 8)
    shown = pictures._repr_mimebundle_()
    assert "40 pictures of 8 x 8" in shown["text/plain"]
    assert shown["image/png"].startswith(b"\x89PNG")
    assert "Findings" in str(pictures.checkup())
    with pytest.raises(un.UnnoiseError, match="--size has no effect on pictures that are loaded already"):
        un.train(pictures, size=16, steps=1, out="r")


@pytest.mark.parametrize("name", ["x.png", "x.npz", "x.gif", "many"])
def test_files_are_those_of_the_command_line(run, name):
    run.generate(3, seed=5).save(f"a-{name}")
    ok("generate", run.path, "--num-images", 3, "--seed", 5, "--out", f"b-{name}", "--device", "cpu")
    ours, theirs = Path(f"a-{name}"), Path(f"b-{name}")
    files = [(ours, theirs)] if ours.is_file() else [(one, theirs / one.name) for one in ours.iterdir()]
    assert len(files) == (3 if name == "many" else 1)
    for left, right in files:
        if name.endswith(".npz"):
            with np.load(left) as a, np.load(right) as b:
                assert np.array_equal(a["images"], b["images"])
        else:
            assert left.read_bytes() == right.read_bytes()


def test_progress_is_told_to_any_callable_from_0_to_1(run):
    heard = []
    run.generate(5, batch_size=2, progress=lambda part, text: heard.append((part, text)))
    # Batches of 2, 2 and 1 pictures: each of its three steps, and its end.
    steps = [(2 / 3, 4 / 3, 2, 2), (8 / 3, 10 / 3, 4, 4), (13 / 3, 14 / 3, 5, 5)]
    assert [part for part, _ in heard] == pytest.approx([done / 5 for batch in steps for done in batch])
    each = [f"Generating: step {step} of 3" for step in (1, 2, 3)]
    assert [text for _, text in heard] == 3 * [*each, "Generating"]


def test_progress_of_reading_pictures_is_told(photos):
    heard = []
    un.load(photos, size=8, progress=lambda part, text: heard.append((text, part)))
    assert heard[-1] == ("Reading pictures", 1.0)
    assert [part for text, part in heard if text == "Reading pictures"] == sorted(
        part for text, part in heard if text == "Reading pictures"
    )


def test_tables_are_kept_and_passed_on():
    heard = []

    class Hears(Silent):
        def output(self, *parts):
            heard.extend(parts)

        def message(self, text):
            heard.append(text)

    with reporting(Hears()), collecting() as parts:
        tell_output("a table")
        tell("a sentence")
        with progress_bar("Task", 2) as bar:
            bar.advance(1)
    assert parts == ["a table"]
    assert heard == ["a table", "a sentence"]


def test_lazy_drawings_are_written_batch_by_batch(run):
    drawing = run.generate(5, batch_size=2, lazy=True)
    assert [len(part) for part in drawing.batches()] == [2, 2, 1]
    drawing.save("folder")
    assert sorted(path.name for path in Path("folder").iterdir()) == [f"{seed:06d}.png" for seed in range(5)]


def test_importing_the_package_imports_nothing_heavy():
    code = "import sys, unnoise; unnoise.train; unnoise.open; print({'torch', 'rich'} & {*sys.modules})"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "set()"


@pytest.mark.parametrize("name", METHODS.split())
def test_methods_of_a_run_are_the_functions(name):
    """So that each keyword and default stands once."""
    assert getattr(un.OpenRun, name) is getattr(api, name)
    assert inspect.getdoc(getattr(api, name))
