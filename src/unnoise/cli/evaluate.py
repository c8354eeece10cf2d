"""`unnoise evaluate`: how good a run is, in numbers, on pictures that it has not seen."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from tyro.conf import Positional, arg

from unnoise.cli.console import Bar, count, result, say
from unnoise.errors import UnnoiseError

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.checkpoint import Run
    from unnoise.data import ImageSet
    from unnoise.evaluation import Measured

Source: TypeAlias = Annotated[
    str | None, Positional, arg(metavar="[SOURCE]", help_behavior_hint="(default: the run's)")
]
Steps: TypeAlias = Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: 1000, or its table's)")]


def evaluate(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    source: Source = None,
    /,
    bits_per_dim: bool = False,
    ode: bool = False,
    num_images: int = 256,
    num_steps: Annotated[
        int | None, arg(metavar="K", help_behavior_hint="(default: 1000, or its table's)")
    ] = None,
    num_terms: int = 64,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
) -> None:
    """Measures a run on pictures that it was not trained on, and notes it in RUN/evaluation.json.

    Args:
        run: The folder that unnoise train made.
        source: Its pictures, where they have moved, or others: then all of them count as not seen.
        bits_per_dim: The variational bound on what an unseen picture costs, in bits for each of its bytes.
        ode: Besides it the likelihood of the probability flow, which takes longer.
        num_images: At most so many pictures, of those held out.
        num_steps: Length of the chain that is bounded.
        num_terms: At how many of these steps each picture is measured; more is less noisy, and slower.
        seed: Of the choice of pictures, and of their noises.
        batch_size: Pictures at a time.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    if not (bits_per_dim or ode):
        raise UnnoiseError("unnoise evaluate measures --bits-per-dim and --ode, but got neither: ask for one.")
    from unnoise import evaluation
    from unnoise.checkpoint import Run
    from unnoise.files import check_writable
    from unnoise.training import choose_device

    opened = Run.open(run)
    check_writable(run / "evaluation.json")
    diffusion = opened.load(choose_device(device))
    images = _pictures(opened, source)
    indices = evaluation.judges(opened.config, images, num_images, seed)
    shared = {"seed": seed, "batch_size": batch_size}
    facts = {"source": images.source, "num_images": len(indices), "seed": seed}
    if bits_per_dim:
        steps = evaluation.default_steps(diffusion) if num_steps is None else num_steps
        chain = {"num_steps": steps, "num_terms": num_terms}
        bound = evaluation.measure_bound(diffusion, images, indices, **chain, **shared)
        _finish(opened, "bits_per_dim", _watch(bound, "Bounding", "total"), {**facts, **chain})
    if ode:
        flow = evaluation.measure_flow(diffusion, images, indices, **shared)
        _finish(opened, "ode_bits_per_dim", _watch(flow, "Flowing", "flow"), facts)
    result("evaluation", run / "evaluation.json")


def _pictures(run: "Run", source: str | None) -> "ImageSet":
    from unnoise.data import load

    data = run.config.data
    images = load(
        source or data.source,
        size=(data.height, data.width),
        channels=data.channels,
        fit=data.fit,
        background=data.background,
        progress=True,
    )
    if images.fingerprint != data.fingerprint:
        if source is None:
            raise UnnoiseError(
                f"{data.source} no longer holds the pictures that this run was trained on, so it can't be told "
                f"which were held out: name the pictures, as in unnoise evaluate {run.path} PICTURES."
            )
        say(f"{source} holds other pictures than the run was trained on: all of them count as not seen.")
    return images


def _watch(measured: "Iterator[Measured]", task: str, name: str) -> "dict[str, Tensor]":
    """Shows how far it is, and what it comes to so far; returns the end."""
    from unnoise.evaluation import Estimate

    with Bar(task, 1.0) as shown:
        for step in measured:
            so_far = "{:.3f} ± {:.3f} bits/dim".format(*Estimate.of(step.bits[name])) if step.bits else ""
            shown.show(step.done, so_far)
    return step.bits


def _finish(run: "Run", measure: str, bits: "dict[str, Tensor]", facts: dict[str, object]) -> None:
    """Prints a table of bits/dim with standard errors, and writes the same."""
    from rich.console import Console
    from rich.table import Table

    from unnoise.evaluation import Estimate, write_evaluation

    table = Table(box=None, pad_edge=False)
    for title in ("", "bits/dim", "±"):
        table.add_column(title, justify="left" if not title else "right")
    written: dict[str, object] = dict(facts)
    for name, values in bits.items():
        mean, error = Estimate.of(values)
        # A single picture has no standard error, and JSON no infinity.
        written[name] = {"mean": mean, "standard_error": error if len(values) > 1 else None}
        table.add_row(name, f"{mean:.4f}", f"{error:.4f}")
    write_evaluation(run, {measure: written})
    Console(highlight=False).print(table)
    say(f"On {count(len(next(iter(bits.values()))), 'picture')} that the run has not seen.")
