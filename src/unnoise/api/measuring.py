"""Evaluation of a run, as one call: scores, copies, colours and bits/dim."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from unnoise.api.bits_per_dim import BitsOptions, evaluate_bits
from unnoise.api.effects import refuse_without_effect
from unnoise.api.evaluating import EvaluationOptions, evaluate_all
from unnoise.api.loading import DenoiserOptions
from unnoise.api.reporting import Progress, collecting, reporting
from unnoise.api.shown import Findings
from unnoise.diffusion.sampler_names import Clip, SamplerName, Spacing, Variance

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun
    from unnoise.api.reporting import Part

_MINUTES = 5.0
_TERMS = 64


class Evaluation(Findings):
    """Tables of what was measured, and the numbers in `record`, as in RUN/evaluation.json."""

    def __init__(self, parts: "list[Part]", record: dict[str, Any]) -> None:
        super().__init__(parts)
        self.record = record


def evaluate(
    run: "OpenRun",
    source: str | None = None,
    *,
    minutes: float | None = None,
    num_samples: int | None = None,
    split: Literal["held-out", "training", "all"] | None = None,
    extractor: str | None = None,
    weights: str | Path | None = None,
    best: bool = False,
    num_steps: int | None = None,
    eta: float | None = None,
    sampler: SamplerName | None = None,
    spacing: Spacing | None = None,
    variance: Variance | None = None,
    clip: Clip | None = None,
    polish: float | None = None,
    guidance: float | None = None,
    guidance_rescale: float | None = None,
    guidance_interval: tuple[float, float] | None = None,
    autoguidance: float | None = None,
    weak: str | None = None,
    bits_per_dim: bool = False,
    ode: bool = False,
    num_images: int = 256,
    num_terms: int | None = None,
    seed: int = 0,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Evaluation:
    """Measures how good a run's pictures are, and whether they are copies of training pictures.

    Args:
        run: the run.
        source: The run's pictures, if they have moved, or others.
        minutes: How long all of it may take, in minutes. More gives more samples and narrower intervals. The
            speed is measured all the while, so that a busy machine takes as long with fewer samples.
        num_samples: Draw exactly this many samples, however long it and all that follows takes.
        split: Which real pictures to compare samples with.
        extractor: Network whose features are compared: lite0 (works offline), learned (trained on your
            pictures), inception (of published FID and KID), dinov2, or a TorchScript or ONNX file. auto is
            lite0.
        weights: Weights of inception or dinov2, if they are on this machine.
        num_steps: Steps from noise to picture. With --bits-per-dim: steps of the chain whose bound is measured
            (by default 1000, or those of the schedule).
        eta: Noise added on the way by the sampler ddim, from 0 (none) to 1.
        sampler: How noise is removed; see unnoise generate --help.
        spacing: How the steps are spread; see unnoise generate --help.
        guidance: Scale of classifier-free guidance. Above 1 samples are more typical of their class.
        guidance_rescale: From 0 to 1: brings the contrast of guided samples back to normal.
        guidance_interval: Guide only where noise / signal is between these two numbers.
        bits_per_dim: Measure only the variational bound on bits/dim: how well unseen pictures could be
            compressed.
        ode: Measure only the likelihood of the probability flow, in bits/dim (with --bits-per-dim both). Takes
            longer.
        num_images: Bits/dim are measured on at most this many held-out pictures.
        num_terms: How many noise levels of each picture are measured for bits/dim. More is more exact, and
            slower.
        seed: Seed of the first sample, the choice of pictures and all noise.
        batch_size: Pictures processed at once. Less needs less memory.
        best, variance, clip, polish, autoguidance, weak: as for `generate`.
        progress: called with the fraction that is done, and what is being done.

    Returns:
        Tables and numbers; what was measured before Ctrl-C is kept.

    Raises:
        UnnoiseError: for values out of range, options without effect, and pictures that can't be read.
    """
    drawn: dict[str, object] = {"num_steps": num_steps, "eta": eta, "sampler": sampler, "spacing": spacing}
    drawn |= {"variance": variance, "clip": clip, "polish": polish}
    guided = {"scale": guidance, "rescale": guidance_rescale, "interval": guidance_interval}
    denoiser = DenoiserOptions(best, autoguidance, weak)
    terms = _TERMS if num_terms is None else num_terms
    with reporting(progress), collecting() as parts:
        if bits_per_dim or ode:
            compared = {"minutes": minutes, "num_samples": num_samples, "split": split, "extractor": extractor}
            unused = compared | {"weights": weights} | drawn | {"num_steps": None, "guidance": guidance}
            unused |= {f"guidance_{name}": guided[name] for name in ("rescale", "interval")}
            where = "with --bits-per-dim or --ode, which draw no samples"
            refuse_without_effect(unused | {"autoguidance": autoguidance, "weak": weak}, where)
            if not bits_per_dim:
                refuse_without_effect({"num_steps": num_steps, "num_terms": num_terms}, "with --ode alone")
            bits = BitsOptions(num_images, num_steps, terms, seed, batch_size, denoiser)
            evaluate_bits(run, source, bits, bound=bits_per_dim, flow=ode)
        else:
            # Smaller batches of bits/dim, so that there is a first one however slow the network is.
            bits = BitsOptions(num_images, None, terms, seed, min(batch_size, 16), denoiser)
            options = EvaluationOptions(
                _MINUTES if minutes is None else minutes,
                num_samples,
                split or "held-out",
                extractor or "auto",
                None if weights is None else Path(weights),
                drawn,
                guided,
                denoiser,
                seed,
                batch_size,
                bits,
            )
            evaluate_all(run, source, options)
    return Evaluation(parts, _record(run))


def _record(run: "OpenRun") -> dict[str, Any]:
    from unnoise.evaluation import read_evaluation

    return dict(read_evaluation(run.folder))
