"""Two identical runs: their files of tensors are equal byte for byte, but for the time that they took."""

from dataclasses import replace
from pathlib import Path

import pytest

from helpers.command_line import ok
from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.trainer.loop import train
from unnoise.utils.tensor_files import read_tensors, write_tensors


def files_of_a_run(path: Path) -> dict[str, bytes]:
    """The files of tensors of a small run with stored averages, and of an average synthesised from them."""
    run = start(path, 6)
    ema = replace(run.config.recipe.ema, profiles=(0.05, 0.1))
    run = run.with_config(replace(run.config, recipe=replace(run.config.recipe, ema=ema)))
    last(train(run, digits()))
    ok("ema", path, "--sigma-rel", 0.07, "--out", path / "averaged")
    for state in run.states():
        tensors, facts = read_tensors(state)
        assert float(facts.pop("seconds")) > 0
        write_tensors(state, tensors, facts)
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*.safetensors"))}


@pytest.mark.filterwarnings("ignore:The stored averages cannot be combined")
def test_the_same_run_twice_is_the_same_files(tmp_path):
    once, again = files_of_a_run(tmp_path / "a"), files_of_a_run(tmp_path / "b")
    assert once.keys() == again.keys()
    folders = {name.rpartition("/")[0] for name in once}
    assert folders == {"", "training", "ema", "averaged", "averaged/ema"}
    assert [name for name in once if once[name] != again[name]] == []
