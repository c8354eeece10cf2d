"""Checks on a GPU: its own tests, the same pictures as on a CPU, and bfloat16 beside float32."""

import io
import itertools
import math
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.report import table
from unnoise.cli import run
from unnoise.data.sources.named import DIGITS, FASHION, FASHION_FOLDERS
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.reports.records import read_evaluation
from unnoise.runs.checkpoint import Run
from unnoise.runs.history import HISTORY, read_history

TESTS = ("-m", "cuda", "-q", "-p", "no:cacheprovider")
SAMPLERS = (
    Sampling(sampler="ddim", num_steps=20),
    Sampling(sampler="dpmpp_2m", num_steps=20, spacing="log_snr"),
    Sampling(sampler="dpmpp_2m_sde", num_steps=20, spacing="log_snr"),
)
NUM_IMAGES = 16


class Tests(NamedTuple):
    """Outcome of the tests that need a CUDA device."""

    passed: bool
    sentence: str


class Training(NamedTuple):
    """Amounts of the comparison of precisions."""

    source: str
    steps: int
    samples: int
    seeds: int


FULL = Training("fashion-mnist", steps=2000, samples=2000, seeds=2)
REHEARSAL = Training("digits", steps=2, samples=12, seeds=1)


class PrecisionRun(NamedTuple):
    """A run trained in one precision, with its scores."""

    precision: str
    seed: int
    run: Path
    held_out_loss: float
    scores: Mapping[str, tuple[float, ...]]
    """Value and 95 % interval by name."""


def device_tests(where: str = "tests") -> Tests:
    """Runs the tests in this folder or file that are marked `cuda`, which are skipped where there is none."""
    command = [sys.executable, "-m", "pytest", *TESTS, where]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (our own command)
    lines = done.stdout.strip().splitlines() or [done.stderr.strip() or "no output"]
    counts = ", ".join(re.findall(r"\d+ (?:passed|failed|skipped|errors?)", lines[-1])) or lines[-1]
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    text = "\n".join([f"`python -m pytest {' '.join(TESTS[:2])} tests`: {counts}.", *failed])
    return Tests(done.returncode == 0, text)


def trained(work: Path, training: Training, device: torch.device) -> list[PrecisionRun]:
    """Trains and evaluates a run in float32 and in bfloat16, from the same weights, for each seed.

    Raises:
        RuntimeError: when a command fails.
    """
    # Fashion-MNIST must be on the machine: a measurement does not depend on a network.
    there = training.source != FASHION or any(folder.is_dir() for folder in FASHION_FOLDERS)
    source, runs = training.source if there else DIGITS, []
    for seed, precision in itertools.product(range(training.seeds), ("float32", "bfloat16")):
        folder, on = work / f"{precision}-{seed}", ["--device", str(device)]
        options = ["--steps", str(training.steps), "--seed", str(seed), "--precision", precision]
        options += ["--size", "16", "--preset", "nano", *on, "--out", str(folder)]
        _unnoise("train", source, *options)
        _unnoise("evaluate", str(folder), "--num-samples", str(training.samples), "--extractor", "lite0", *on)
        loss = next(row.held_out_loss for row in reversed(read_history(folder / HISTORY)) if row.held_out_loss)
        runs.append(PrecisionRun(precision, seed, folder, loss, _scores(Run.open(folder))))
    return runs


def _unnoise(*arguments: str) -> None:
    said = io.StringIO()
    with redirect_stdout(said), redirect_stderr(said):
        code = run(arguments)
    if code:
        last = (said.getvalue().strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"`unnoise {' '.join(arguments)}` failed with exit code {code}: {last}")


def _scores(trained_run: Run) -> dict[str, tuple[float, ...]]:
    """The Fréchet and kernel distances of a run."""
    quality = read_evaluation(trained_run.path / "evaluation.json").quality
    return {
        score.name: tuple(number or math.nan for number in (score.value, score.low, score.high))
        for score in (quality.scores if quality else ())
        if score.name.startswith(("FID", "KID"))
    }


def precision_table(runs: Sequence[PrecisionRun]) -> str:
    """A row for each run: seed, precision, held-out loss, and distances with their intervals."""
    names = list(runs[0].scores)
    rows = [
        [one.precision, str(one.seed), f"{one.held_out_loss:.4f}"]
        + ["{:.4g} ({:.4g} to {:.4g})".format(*one.scores[name]) for name in names]
        for one in runs
    ]
    return table(["precision", "seed", "held-out loss", *names], rows)


def same_seeds(path: Path, device: torch.device) -> dict[str, tuple[float, float]]:
    """Largest and mean difference of the same seeds' pictures on the CPU and on the device, in levels of 255.

    Full float32 on both: TF32 has three digits.
    """
    saved, found = Run.open(path), {}
    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        for sampling in SAMPLERS:
            pictures = [
                saved.load(where).generate(NUM_IMAGES, sampling=sampling).cpu() for where in ("cpu", device)
            ]
            off = (pictures[0] - pictures[1]).abs() * 255
            found[f"{sampling.sampler}, {sampling.num_steps} steps"] = (float(off.max()), float(off.mean()))
    return found


def agreement_table(found: Mapping[str, tuple[float, float]]) -> str:
    """A row for each sampler."""
    rows = [[name, f"{largest:.3f}", f"{mean:.5f}"] for name, (largest, mean) in found.items()]
    return table(["sampler", "largest difference, of 255", "mean difference, of 255"], rows)
