"""`unnoise evaluate`: measure the quality of a run."""

from pathlib import Path
from typing import Annotated, Literal

from unnoise.api.effects import refuse_without_effect
from unnoise.cli import arguments as cli

_MINUTES = 5.0
_TERMS = 64


def evaluate(
    run: cli.Run,
    source: cli.RunSource = None,
    /,
    minutes: Annotated[float | None, cli.option("MINUTES", "5")] = None,
    num_samples: Annotated[int | None, cli.option("N", "as many as --minutes allow, at most 10,000")] = None,
    split: Annotated[Literal["held-out", "training", "all"] | None, cli.option(None, "held-out")] = None,
    extractor: cli.Extractor = None,
    weights: Annotated[Path | None, cli.option("FILE", "downloaded")] = None,
    best: cli.Best = False,
    num_steps: Annotated[int | None, cli.option("N", "the run's own")] = None,
    eta: cli.RunNumber = None,
    sampler: cli.Sampler = None,
    spacing: cli.Spacing = None,
    variance: cli.Variance = None,
    clip: cli.Clip = None,
    guidance: cli.RunNumber = None,
    guidance_rescale: cli.RunNumber = None,
    guidance_interval: cli.RunInterval = None,
    autoguidance: cli.AutoguidanceScale = None,
    weak: cli.Weak = None,
    bits_per_dim: cli.Flag = False,
    ode: cli.Flag = False,
    num_images: cli.Integer = 256,
    num_terms: Annotated[int | None, cli.option("N", "64")] = None,
    seed: cli.Integer = 0,
    batch_size: cli.Integer = 64,
    device: cli.Device = "auto",
) -> None:
    """Measure how good a run's pictures are, and whether they are copies of training pictures.

    Draws samples and compares them with real pictures: KID, FID, precision, recall, density, coverage, copies
    and colours. Then it measures bits/dim of pictures that the run was not trained on. Prints tables, and
    writes all numbers to RUN/evaluation.json.

      unnoise evaluate runs/photos
      unnoise evaluate runs/photos --minutes 30 --extractor inception
      unnoise evaluate runs/photos --bits-per-dim

    Args:
        minutes: How long all of it may take, in minutes. More gives more samples and narrower intervals. The
            speed is measured all the while, so that a busy machine takes as long with fewer samples.
        num_samples: Draw exactly this many samples, however long it and all that follows takes.
        split: Which real pictures to compare samples with.
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
    """
    from unnoise.api.bits_per_dim import BitsOptions, evaluate_bits
    from unnoise.api.evaluating import EvaluationOptions, evaluate_all
    from unnoise.api.loading import DenoiserOptions

    drawn: dict[str, object] = {"num_steps": num_steps, "eta": eta, "sampler": sampler, "spacing": spacing}
    drawn |= {"variance": variance, "clip": clip}
    guided = {"scale": guidance, "rescale": guidance_rescale, "interval": guidance_interval}
    denoiser = DenoiserOptions(best, autoguidance, weak)
    if bits_per_dim or ode:
        compared = {"minutes": minutes, "num_samples": num_samples, "split": split, "extractor": extractor}
        unused = compared | {"weights": weights} | drawn | {"num_steps": None, "guidance": guidance}
        unused |= {f"guidance_{name}": guided[name] for name in ("rescale", "interval")}
        where = "with --bits-per-dim or --ode, which draw no samples"
        refuse_without_effect(unused | {"autoguidance": autoguidance, "weak": weak}, where)
        if not bits_per_dim:
            refuse_without_effect({"num_steps": num_steps, "num_terms": num_terms}, "with --ode alone")
        terms = _TERMS if num_terms is None else num_terms
        bits = BitsOptions(num_images, num_steps, terms, seed, batch_size, denoiser)
        evaluate_bits(run, source, bits, device, bound=bits_per_dim, flow=ode)
        return
    # Smaller batches of bits/dim, so that there is a first one however slow the network is.
    terms, size = _TERMS if num_terms is None else num_terms, min(batch_size, 16)
    bits = BitsOptions(num_images, None, terms, seed, size, denoiser)
    options = EvaluationOptions(
        _MINUTES if minutes is None else minutes,
        num_samples,
        split or "held-out",
        extractor or "auto",
        weights,
        drawn,
        guided,
        denoiser,
        seed,
        batch_size,
        bits,
    )
    evaluate_all(run, source, options, device)
