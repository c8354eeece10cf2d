"""Imports at startup: help imports no PyTorch, and a first training step nothing for charts or scores."""

import subprocess
import sys
import textwrap

import pytest

from helpers.data_files import save_many
from unnoise.data import load

TOOLS = ["tyro", "rich", "PIL", "numpy", "torch", "accelerate"]
LATER = [
    *("matplotlib", "imageio", "av", "torchmetrics", "torchvision", "torch_fidelity"),
    *("sklearn", "scipy", "pandas", "tensorboard", "transformers", "diffusers"),
]
"""For charts, animations, scores, other sources and formats: imported after the first step, or never."""


def imported(code: str, *arguments: object) -> set[str]:
    """The packages that a new interpreter has imported by the time that it runs `told()`, where it ends."""
    told = """
        import os, sys
        def told(*_, **__):
            print("\\n" + " ".join({name.partition(".")[0] for name in sys.modules}), flush=True)
            os._exit(0)
        """
    command = [sys.executable, "-c", textwrap.dedent(told) + textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def imported_by(*arguments: str) -> set[str]:
    """What a command that only prints has imported at its end."""
    return imported(
        """
        from unnoise.cli import run
        try:
            run(sys.argv[1:])
        finally:
            told()
        """,
        *arguments,
    )


@pytest.mark.parametrize(
    ("arguments", "needed"), [(["--help"], set()), (["--version"], set()), (["train", "--help"], {"tyro"})]
)
def test_help_imports_no_library_but_tyro(arguments, needed):
    found = imported_by(*arguments)
    assert "unnoise" in found
    assert found & {*TOOLS, *LATER} == needed


def first_step(source: object, out: object) -> set[str]:
    """What `unnoise train` has imported when its first step begins."""
    return imported(
        """
        from unnoise.cli import run
        from unnoise.diffusion.diffusion import Diffusion
        Diffusion.train_step = told
        run(["train", sys.argv[1], "--out", sys.argv[2], "--steps", "9", "--device", "cpu"])
        raise SystemExit("no step was taken")
        """,
        source,
        out,
    )


def test_the_first_step_imports_nothing_for_charts_scores_or_formats(tmp_path):
    save_many(tmp_path / "pictures", {f"{place}.png": (place, 2 * place, 90) for place in range(50)})
    found = first_step(tmp_path / "pictures", tmp_path / "run")
    assert {"torch", "accelerate", "rich"} <= found
    assert found & set(LATER) == set()


def test_digits_need_no_scikit_learn_once_they_are_cached(tmp_path):
    pytest.importorskip("sklearn")
    load("digits")  # into the cache of this test
    assert first_step("digits", tmp_path / "run") & set(LATER) == set()
