"""`unnoise solve` makes the best sampler the run's own, and writes the numbers and pictures of all it tried."""

import json
import re

import pytest
from PIL import Image

from helpers.fake_extractors import random_filters
from helpers.runs import start
from unnoise.api.time_limit import TimeLimit
from unnoise.cli import run
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.evaluation import sampler_search
from unnoise.runs.checkpoint import Progress, Run

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with its initial weights, which are enough to compare samplers."""
    opened = start(tmp_path_factory.mktemp("solve") / "run")
    opened.save(opened.config.build(), Progress(step=1))
    return opened.path


@pytest.fixture(autouse=True)
def _reference_of_12_calls(monkeypatch):
    monkeypatch.setattr("unnoise.evaluation.sampler_search.search.REFERENCE_CALLS", 12)


WORDS = ["--calls", "2", "4", "--samplers", "ddim", "heun", "--spacings", "uniform"]


@pytest.fixture(scope="module")
def extractor(tmp_path_factory) -> str:
    """A file with a network of a few random filters: quick, and always the same."""
    return random_filters(tmp_path_factory.mktemp("extractor") / "tiny.pt")


def solve(trained, extractor, number: int, *options: str) -> None:
    words = [*WORDS, "--num-samples", str(number), "--extractor", extractor]
    assert run(["solve", str(trained), *words, *options]) == 0


@pytest.fixture
def _enough_is_16(monkeypatch):
    """In place of 256, which take seconds."""
    assert sampler_search.ENOUGH_SAMPLES == 256
    monkeypatch.setattr(sampler_search, "ENOUGH_SAMPLES", 16)


@pytest.mark.usefixtures("_enough_is_16")
def test_the_recommended_sampler_becomes_the_runs_own_and_can_be_undone(trained, extractor, capfd):
    solve(trained, extractor, 16)
    found = json.loads((trained / "solve.json").read_text())
    printed = capfd.readouterr()
    assert "recommended" in printed.out
    assert f"unnoise solve {trained} --restore" in printed.err
    kept = Run.open(trained).config.recipe.sampling
    assert kept.sampler == found["chosen"]["sampling"]["sampler"]
    assert kept.num_steps == found["chosen"]["sampling"]["num_steps"]
    # Of the tried ones either the cheapest below the references' limit, or the lowest.
    references = min((one["distance"] for one in found["trials"][:2]), key=lambda each: each["value"])
    tried = found["trials"][2:]
    good = [one for one in tried if one["distance"]["value"] <= references["high"]]
    best = min(good or tried, key=lambda one: (one["calls"] if good else 0, one["distance"]["value"]))
    assert best == found["chosen"]
    assert {(one["sampling"]["sampler"], one["calls"]) for one in tried} == {
        ("ddim", 2),
        ("ddim", 4),
        ("heun", 2),
        ("heun", 4),
    }
    for name in ("errors", "side_by_side"):
        with Image.open(trained / "solve" / f"{name}.png") as picture:
            assert min(picture.size) > 200
    assert run(["solve", str(trained), "--restore"]) == 0
    assert Run.open(trained).config.recipe.sampling == Sampling(num_steps=3)


@pytest.mark.usefixtures("_enough_is_16")
def test_with_keep_the_config_does_not_change(trained, extractor):
    before = (trained / "config.json").read_bytes()
    solve(trained, extractor, 16, "--keep")
    assert (trained / "config.json").read_bytes() == before


@pytest.mark.usefixtures("_enough_is_16")
def test_fewer_than_256_samples_change_nothing_but_tell_what_they_would_have_chosen(trained, extractor, capfd):
    before, number = (trained / "config.json").read_bytes(), 15
    solve(trained, extractor, number)
    assert (trained / "config.json").read_bytes() == before
    found = json.loads((trained / "solve.json").read_text())
    assert found["kept"] is True
    said, chosen = " ".join(capfd.readouterr().err.split()), found["chosen"]["sampling"]
    assert f"keeps its present sampler: {number} samples of each cannot tell" in said
    command = re.search(rf"unnoise generate {trained} (--sampler .*)\.", said)
    options = f"--sampler {chosen['sampler']} --spacing {chosen['spacing']} --num-steps {chosen['num_steps']}"
    assert command[1] == options
    drawn = trained.parent / "one.png"
    assert run(["generate", str(trained), "--num-images", "1", "--out", str(drawn), *options.split()]) == 0


@pytest.mark.usefixtures("_enough_is_16")
def test_a_search_that_changes_nothing_can_still_be_followed_by_restore(trained, extractor):
    first = Run.open(trained).config.recipe.sampling
    solve(trained, extractor, 16)
    assert Run.open(trained).config.recipe.sampling != first
    solve(trained, extractor, 15)
    assert run(["solve", str(trained), "--restore"]) == 0
    assert Run.open(trained).config.recipe.sampling == first


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--samplers", "dpmpp"], "There is no sampler 'dpmpp': choose from ddim, ancestral, heun"),
        (["--spacings", "even"], "There is no spacing 'even': choose from uniform, log_snr, karras"),
        (["--calls", "0"], "at least 1 call of the network, but got 0"),
        (["--minutes", "0"], "more than 0 minutes, but got 0"),
        (["--num-samples", "1"], "At least 2 samples are compared, but got 1"),
    ],
)
def test_wrong_options_are_refused(trained, words, sentence, capfd):
    assert run(["solve", str(trained), *words]) == 2
    assert sentence in capfd.readouterr().err


def test_restore_without_a_solve_before_is_refused(tmp_path, capfd):
    opened = start(tmp_path / "run")
    assert run(["solve", str(opened.path), "--restore"]) == 2
    assert "nothing to restore" in capfd.readouterr().err


def test_a_trial_that_would_end_after_the_time_limit_does_not_fit(monkeypatch):
    monkeypatch.setattr("time.monotonic", lambda: 40.0)
    limit = TimeLimit(10.0, 60.0)
    assert limit.spent() == 0.5
    assert limit.fits(30.0)
    assert not limit.fits(30.1)
