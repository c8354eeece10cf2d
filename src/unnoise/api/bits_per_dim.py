"""Bits/dim of `unnoise evaluate`: a progress bar, a table, and RUN/evaluation.json."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from unnoise.api.editing import require_every_step
from unnoise.api.loading import DenoiserOptions, load_run_pictures
from unnoise.api.reporting import count, progress_bar, tell, tell_output, tell_result
from unnoise.api.tables import table
from unnoise.utils.errors import UnnoiseError

if TYPE_CHECKING:
    from torch import Tensor

    from unnoise.api.opening import OpenRun
    from unnoise.data import ImageSet
    from unnoise.diffusion.denoiser import Denoiser
    from unnoise.evaluation import LikelihoodProgress
    from unnoise.runs.checkpoint import Run


@dataclass(frozen=True)
class BitsOptions:
    """The options of `unnoise evaluate` for bits/dim; its help explains them."""

    num_images: int
    num_steps: int | None
    num_terms: int
    seed: int
    batch_size: int
    denoiser: DenoiserOptions

    def facts(self, images: "ImageSet") -> dict[str, object]:
        """What is written beside a measurement."""
        weights = {"weights": "with the best samples"} if self.denoiser.best else {}
        return {"source": images.source, "seed": self.seed, **weights}


def evaluate_bits(
    opened: "OpenRun", source: str | None, options: BitsOptions, *, bound: bool, flow: bool
) -> None:
    """Measures the variational bound, the likelihood of the probability flow, or both."""
    from unnoise import evaluation
    from unnoise.runs.drawing_precision import exact
    from unnoise.utils.files import check_writable

    run, path = opened.folder, opened.path
    require_every_step(opened, "A likelihood")
    check_writable(path / "evaluation.json")
    denoiser = exact(run.averaged(opened.torch_device, best=options.denoiser.best))
    images = run_pictures(run, source)
    if bound:
        measure_bits(run, denoiser, images, options)
    if flow:
        indices = evaluation.unseen_pictures(run.config, images, options.num_images, options.seed)
        shared = {"seed": options.seed, "batch_size": options.batch_size}
        measured = evaluation.measure_flow(denoiser, images, indices, **shared)
        bits = _measure(measured, "Measuring bits/dim (flow)", "flow", lambda: 0.0)
        _write(run, "ode_bits_per_dim", bits, options.facts(images))
    tell_result("evaluation", path / "evaluation.json")


def measure_bits(
    run: "Run",
    denoiser: "Denoiser",
    images: "ImageSet",
    options: BitsOptions,
    spent: Callable[[], float] = lambda: 0.0,
    next_batch: Callable[[], int] | None = None,
) -> None:
    """Measures the variational bound; stops early, with the pictures it has, once `spent` reaches 1.

    `next_batch` gives the number of pictures of each batch, and 0 where there is no time for another.
    """
    from unnoise import evaluation

    indices = evaluation.unseen_pictures(run.config, images, options.num_images, options.seed)
    steps = evaluation.default_steps(denoiser) if options.num_steps is None else options.num_steps
    chain = {"num_steps": steps, "num_terms": options.num_terms}
    size = next_batch or options.batch_size
    measured = evaluation.measure_bound(denoiser, images, indices, **chain, seed=options.seed, batch_size=size)
    bits = _measure(measured, "Measuring bits/dim", "total", spent)
    if bits:
        _write(run, "bits_per_dim", bits, options.facts(images) | chain)
    else:
        tell("There was no time left for bits/dim: allow more --minutes, or add --bits-per-dim.")


def run_pictures(run: "Run", source: str | None) -> "ImageSet":
    """The run's pictures, or those of another source.

    Raises:
        UnnoiseError: when the run's own source has changed, so that its held-out pictures are unknown.
    """
    data = run.config.data
    images = load_run_pictures(run.config, source)
    if images.fingerprint != data.fingerprint:
        if source is None:
            raise UnnoiseError(
                f"{data.source} has changed since this run was trained, so its held-out pictures are unknown: "
                f"name other pictures to compare with, as in unnoise evaluate {run.path} PICTURES."
            )
        tell(f"{source} holds other pictures than the run was trained on, so all of them count as unseen.")
    return images


def _measure(
    measured: "Iterator[LikelihoodProgress]", task: str, name: str, spent: Callable[[], float]
) -> "dict[str, Tensor]":
    """Runs a measurement with a progress bar that shows the result so far; returns the bits of each picture."""
    from unnoise.evaluation import MeanEstimate

    bits: dict[str, Tensor] = {}
    with progress_bar(task, 1.0) as bar:
        for step in measured:
            bits = step.bits
            so_far = "{:.3f} ± {:.3f} bits/dim".format(*MeanEstimate.of(bits[name])) if bits else ""
            bar.update(max(step.done, min(1.0, spent()) if bits else 0.0), so_far)
            if bits and spent() >= 1:
                break
    return bits


def _write(run: "Run", measure: str, bits: "dict[str, Tensor]", facts: dict[str, object]) -> None:
    """Prints a table of bits/dim with standard errors, and writes it to RUN/evaluation.json."""
    from unnoise.evaluation import MeanEstimate, write_evaluation

    rows = table("", "bits/dim", "±")
    number = len(next(iter(bits.values())))
    written: dict[str, object] = {**facts, "num_images": number}
    for name, values in bits.items():
        mean, error = MeanEstimate.of(values)
        # A single picture has no standard error, and JSON no infinity.
        written[name] = {"mean": mean, "standard_error": error if len(values) > 1 else None}
        rows.add_row(name, f"{mean:.4f}", f"{error:.4f}")
    write_evaluation(run, {measure: written})
    tell_output(rows)
    tell(f"Mean over {count(number, 'picture')} that the run was not trained on.")
