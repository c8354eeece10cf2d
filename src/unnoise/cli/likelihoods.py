"""Bits/dim on the screen: a bar while they are measured, then a table; the same in RUN/evaluation.json."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.cli.console import Bar, count, result, say
from unnoise.cli.loading import as_trained
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.data import ImageSet
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.evaluation import Measured
    from unnoise.runs.checkpoint import Run


@dataclass(frozen=True)
class Bits:
    """How bits/dim are measured; see `unnoise evaluate --help`."""

    num_images: int
    num_steps: int | None
    num_terms: int
    seed: int
    batch_size: int


def evaluate_bits(path: Path, source: str | None, bits: Bits, device: str, *, bound: bool, flow: bool) -> None:
    """The bound, the likelihood of the flow, or both."""
    from unnoise import evaluation
    from unnoise.runs.checkpoint import Run
    from unnoise.training.loop import choose_device
    from unnoise.utils.files import check_writable

    run = Run.open(path)
    check_writable(path / "evaluation.json")
    denoiser = run.load(choose_device(device))
    images = run_pictures(run, source)
    if bound:
        measure_bits(run, denoiser, images, bits)
    if flow:
        indices = evaluation.judges(run.config, images, bits.num_images, bits.seed)
        shared = {"seed": bits.seed, "batch_size": bits.batch_size}
        facts = {"source": images.source, "seed": bits.seed}
        measured = evaluation.measure_flow(denoiser, images, indices, **shared)
        _finish(run, "ode_bits_per_dim", _watch(measured, "Flowing", "flow", lambda: 0.0), facts)
    result("evaluation", path / "evaluation.json")


def measure_bits(
    run: "Run", denoiser: "Denoiser", images: "ImageSet", bits: Bits, spent: Callable[[], float] = lambda: 0.0
) -> None:
    """The bound; stops early, with the pictures it has, once 1 of its time is spent."""
    from unnoise import evaluation

    indices = evaluation.judges(run.config, images, bits.num_images, bits.seed)
    steps = evaluation.default_steps(denoiser) if bits.num_steps is None else bits.num_steps
    shared = {"seed": bits.seed, "batch_size": bits.batch_size}
    chain = {"num_steps": steps, "num_terms": bits.num_terms}
    measured = evaluation.measure_bound(denoiser, images, indices, **chain, **shared)
    facts = {"source": images.source, "seed": bits.seed, **chain}
    _finish(run, "bits_per_dim", _watch(measured, "Bounding", "total", spent), facts)


def run_pictures(run: "Run", source: str | None) -> "ImageSet":
    """The run's pictures, or others.

    Raises:
        UnnoiseError: when it can't be told which of them the run has seen.
    """
    data = run.config.data
    images = as_trained(run, source)
    if images.fingerprint != data.fingerprint:
        if source is None:
            raise UnnoiseError(
                f"{data.source} no longer holds the pictures that this run was trained on, so it can't be told "
                f"which were held out: name the pictures, as in unnoise evaluate {run.path} PICTURES."
            )
        say(f"{source} holds other pictures than the run was trained on: all of them count as not seen.")
    return images


def _watch(
    measured: "Iterator[Measured]", task: str, name: str, spent: Callable[[], float]
) -> "dict[str, Tensor]":
    """Shows how far it is, and what it comes to so far; returns the end."""
    from unnoise.evaluation import Estimate

    with Bar(task, 1.0) as shown:
        for step in measured:
            so_far = "{:.3f} ± {:.3f} bits/dim".format(*Estimate.of(step.bits[name])) if step.bits else ""
            shown.show(max(step.done, min(1.0, spent()) if step.bits else 0.0), so_far)
            if step.bits and spent() >= 1:
                break
    return step.bits


def _finish(run: "Run", measure: str, bits: "dict[str, Tensor]", facts: dict[str, object]) -> None:
    """Prints a table of bits/dim with standard errors, and writes the same."""
    from rich.console import Console
    from rich.table import Table

    from unnoise.evaluation import Estimate, write_evaluation

    table = Table(box=None, pad_edge=False)
    for title in ("", "bits/dim", "±"):
        table.add_column(title, justify="left" if not title else "right")
    number = len(next(iter(bits.values())))
    written: dict[str, object] = {**facts, "num_images": number}
    for name, values in bits.items():
        mean, error = Estimate.of(values)
        # A single picture has no standard error, and JSON no infinity.
        written[name] = {"mean": mean, "standard_error": error if len(values) > 1 else None}
        table.add_row(name, f"{mean:.4f}", f"{error:.4f}")
    write_evaluation(run, {measure: written})
    Console(highlight=False).print(table)
    say(f"On {count(number, 'picture')} that the run has not seen.")
