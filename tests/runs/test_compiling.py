"""Compiled training: the same weights under the same names as without."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import unnoise
from helpers.runs import digits, start
from helpers.sampling import last
from unnoise.cli import run
from unnoise.runs import compiling
from unnoise.runs.compiling import compile_training
from unnoise.trainer.compiler import TrainingCompiler
from unnoise.trainer.loop import train

TINY = ["network.widths=[8,16]", 'network.attention=["none","none"]']


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("UNNOISE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)


@pytest.fixture
def calls(monkeypatch):
    """Stands in for the compiler: the network's own call, counted."""
    batches = []

    class Compiled(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, noisy_images, *told, **more):
            batches.append(len(noisy_images))
            return self.network(noisy_images, *told, **more)

    monkeypatch.setattr(torch, "compile", Compiled)
    return batches


def compiler(heard: list[str] | None = None) -> TrainingCompiler:
    return TrainingCompiler("always", tell=[].append if heard is None else heard.append)


def losses(made, compiler=None) -> list[float]:
    return [float(step.result.loss) for step in train(made, digits(), compiler=compiler)]


def saved(made) -> dict[str, dict[str, torch.Tensor]]:
    return {str(file.relative_to(made.path)): load_file(file) for file in made.path.rglob("*.safetensors")}


def test_training_calls_what_was_compiled_and_saves_the_same_files(tmp_path, calls):
    plain, faster = (start(tmp_path / name, 4) for name in ("plain", "faster"))
    heard = []
    assert losses(faster, compiler(heard)) == losses(plain)
    assert calls == [16] * 5  # one to rehearse; nothing but training calls it
    assert [sentence[:9] for sentence in heard] == ["Compiling", "Compiled "]
    expected, found = saved(plain), saved(faster)
    assert found.keys() == expected.keys()
    for name, tensors in expected.items():
        assert found[name].keys() == tensors.keys()
        assert all(torch.equal(found[name][key], value) for key, value in tensors.items())


@pytest.mark.parametrize("changes", [("network.dropout=0.2",), ('network.normalization="batch"',)])
def test_a_rehearsal_changes_nothing(tmp_path, changes):
    diffusion = start(tmp_path / "r", recipe_changes=changes).config.build()
    before = {name: value.clone() for name, value in diffusion.network.state_dict().items()}
    numbers = torch.get_rng_state()
    compiling.rehearse(diffusion, digits().take(range(5)), accumulate=2)
    assert torch.equal(torch.get_rng_state(), numbers)
    after = diffusion.network.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(parameter.grad is None for parameter in diffusion.network.parameters())
    assert diffusion.weights.average.steps == 0


def test_a_run_is_resumed_with_and_without_compiling(tmp_path, calls):
    made, whole = (start(tmp_path / name, 6) for name in ("parts", "whole"))
    for choice in (compiler(), None, compiler()):
        steps = train(made, digits(), compiler=choice)
        assert len([next(steps), next(steps)]) == 2
        steps.close()
    assert calls == [16] * 6
    last(train(whole, digits()))
    one, other = (load_file(each.path / "model.safetensors") for each in (made, whole))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_network_that_cannot_be_compiled_trains_with_a_warning(tmp_path, monkeypatch):
    class Failing(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, *_told, **_more):
            raise OSError("No working C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", Failing)
    plain, other = (start(tmp_path / name, 3) for name in ("plain", "other"))
    with pytest.warns(UserWarning, match=r"cannot be compiled here \(OSError: No working C") as told:
        found = losses(other, compiler(heard := []))
    assert len(heard) == 1  # not that it was compiled
    (warning,) = told
    assert str(warning.message).endswith(
        "compiler found). Training goes on without. Install a C++ compiler, or give --no-compile."
    )
    assert found == losses(plain)


def test_what_was_compiled_is_kept_beside_the_pictures_unless_told_elsewhere(tmp_path, calls, monkeypatch):
    diffusion = start(tmp_path / "r").config.build()
    compile_training(diffusion, digits().take(range(4)))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "cache" / "compiled")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "elsewhere")
    compile_training(diffusion, digits().take(range(4)))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == "elsewhere"


def test_the_command_says_how_long_it_took(tmp_path, calls, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    options = ["--device", "cpu", "--batch-size", "4", "--held-out", "0"]
    changes = ["--set", *TINY, "sampling.num_steps=2"]
    assert run(["train", "digits", "--out", "r", "--steps", "2", *options, "--compile", *changes]) == 0
    said = capsys.readouterr().err
    assert "Compiling the network" in said
    assert "Compiled in " in said
    assert run(["train", "digits", "--out", "r", "--steps", "3", *options, "--resume"]) == 0
    assert "ompil" not in capsys.readouterr().err
    assert Path("r/training/0000000003.safetensors").exists()


@pytest.mark.parametrize("backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
def test_compiled_steps_have_the_losses_of_plain_ones(tmp_path, backend):
    compiles = shutil.which("g++") is not None
    if compiles != (backend == "inductor"):
        pytest.skip("inductor, which compiles for CPUs with g++, where it is there, else aot_eager")
    tests = Path(__file__).parents[1]
    arguments = [sys.executable, tests / "helpers" / "compiled_steps.py", backend]
    search = os.pathsep.join([str(Path(unnoise.__file__).parents[1]), str(tests)])
    # One kernel after the other: to start processes that compile several at once takes longer than these few.
    more = {"PYTHONPATH": search, "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, env={**os.environ, **more})
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["seconds"] > 0, done.stderr
    plain, faster = found["losses"]
    assert faster == pytest.approx(plain, abs=1e-4)
    assert found["still compiled"]
    assert found["flops"][0] == found["flops"][1]
    for keys in (found["keys"], found["averaged"]):
        assert keys[0] == keys[1]
    assert bool(list((tmp_path / "cache/compiled").rglob("*.so"))) == (backend == "inductor")
