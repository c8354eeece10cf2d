"""`unnoise evaluate`: how good a run is, in numbers, beside pictures that it has not seen."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from tyro.conf import Positional, arg

from unnoise.cli.commands.generate import Clip, Interval, Own, Sampler, Variance

Source: TypeAlias = Annotated[
    str | None, Positional, arg(metavar="[SOURCE]", help_behavior_hint="(default: the run's)")
]
Steps: TypeAlias = Annotated[int | None, arg(metavar="K", help_behavior_hint="(default: the preset's)")]
Samples: TypeAlias = Annotated[
    int | None, arg(metavar="N", help_behavior_hint="(default: what there is time for, at most 10,000)")
]
Weights: TypeAlias = Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="(default: none)")]


def evaluate(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    source: Source = None,
    /,
    minutes: float = 5.0,
    num_samples: Samples = None,
    split: Literal["held-out", "training", "all"] = "held-out",
    extractor: Annotated[str, arg(metavar="NAME|FILE")] = "auto",
    weights: Weights = None,
    num_steps: Steps = None,
    eta: Own[float] = None,
    sampler: Sampler = None,
    variance: Variance = None,
    clip: Clip = None,
    guidance: Own[float] = None,
    guidance_rescale: Own[float] = None,
    guidance_interval: Interval = None,
    bits_per_dim: bool = False,
    ode: bool = False,
    num_images: int = 256,
    num_terms: int = 64,
    seed: int = 0,
    batch_size: int = 64,
    device: str = "auto",
) -> None:
    """Measures a run, and notes it in RUN/evaluation.json.

    Draws samples and compares them with real pictures: KID, FID, precision, recall, density, coverage, colours,
    and whether they are copies of training pictures. Then bits/dim of pictures that the run was not trained on.

    Args:
        run: The folder that unnoise train made.
        source: Its pictures, where they have moved, or others: then all of them count as not seen.
        minutes: How long all of it may take; more minutes are more samples, and narrower intervals.
        num_samples: Draw just so many, however long that takes.
        split: The real pictures that samples are compared with.
        extractor: What compares: lite0 (offline), learned (trained on your pictures, offline), inception (that
            of FID and KID), dinov2, or a TorchScript or ONNX file; auto is lite0.
        weights: Of inception or dinov2, where they are on this machine already.
        num_steps: Calls of the network for each sample; with --bits-per-dim, length of the chain that is
            bounded (1000, or its table's).
        eta: Fresh noise on the way, from 0 (none) to 1.
        sampler: ddim, or ancestral: the chain of DDPM.
        variance: Of the ancestral chain's fresh noise.
        clip: Keep predictions in the range of pixels on the way.
        guidance: Above 1 samples become more typical of their class.
        guidance_rescale: From 0 to 1, gives guided samples back their spread.
        guidance_interval: Guides only where noise / signal lies between these two.
        bits_per_dim: Only the variational bound on what an unseen picture costs, in bits for each of its bytes.
        ode: Only (or besides it) the likelihood of the probability flow, which takes longer.
        num_images: Bits/dim are of at most so many pictures, of those held out.
        num_terms: At how many steps of the chain each picture is measured; more is less noisy, and slower.
        seed: Of the first sample, the choice of pictures, and all noise.
        batch_size: Pictures at a time.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    from unnoise.cli.evaluation_run import Wanted, evaluate_all
    from unnoise.cli.likelihoods import Bits, evaluate_bits

    if bits_per_dim or ode:
        bits = Bits(num_images, num_steps, num_terms, seed, batch_size)
        evaluate_bits(run, source, bits, device, bound=bits_per_dim, flow=ode)
        return
    changes = {"num_steps": num_steps, "eta": eta, "sampler": sampler, "variance": variance, "clip": clip}
    guided = {"scale": guidance, "rescale": guidance_rescale, "interval": guidance_interval}
    # Smaller batches of bits/dim, so that there is a first one however slow the network is.
    bits = Bits(num_images, None, num_terms, seed, min(batch_size, 16))
    wanted = Wanted(minutes, num_samples, split, extractor, weights, changes, guided, seed, batch_size, bits)
    evaluate_all(run, source, wanted, device)
