"""A preset is a whole recipe with a name and a source; `default` is the one of ours that suits a budget."""

from collections.abc import Callable
from typing import NamedTuple

from unnoise.diffusion.noise_levels import LogNormal, UniformPower
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine, SigmoidAlphaBar, SignalStep
from unnoise.networks import AnnotatedConfig, UNetConfig
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.power_ema import USUAL
from unnoise.runs.config import Budget, Recipe
from unnoise.runs.sizing import choose
from unnoise.utils.errors import UnnoiseError


def levels_for(height: int, width: int, patch_size: int) -> int:
    """How many sizes the U-Net works at, so that the smallest is at most 8 positions across (2 to 5)."""
    positions, levels = max(height, width) // patch_size, 1
    while positions > 8 and levels < 5:
        positions, levels = (positions + 1) // 2, levels + 1
    return max(2, levels)


def _sized(channels: int, height: int, width: int, base: int, depth: int = 2, batch_size: int = 128) -> Recipe:
    """Our family: U-Nets on patches that predict the velocity, of any width and depth; see docs/log.md."""
    # Patches make each layer p^2 times cheaper; below 16 pixels there is nothing to give away.
    patch_size = 1 if min(height, width) < 16 else 2 if max(height, width) <= 64 else 4
    levels = levels_for(height, width, patch_size)
    return Recipe(
        network=UNetConfig(
            channels=channels,
            widths=tuple(min(base * 2**level, 8 * base) for level in range(levels)),
            block_depth=depth,
            attention=(False,) * (levels - 1) + (True,),
            patch_size=patch_size,
            embedding_dim=base,
            max_frequency=100.0,
        ),
        schedule=OffsetCosine(0.002, 0.9999),
        objective=Objective("velocity", "velocity", "l2"),
        noise_levels=LogNormal(0.3, 1.2, stratified=True),
        condition="log_snr",
        optimizer=OptimizerConfig(
            name="muon",
            learning_rate=6e-3,
            weight_decay=1e-2,
            betas=(0.9, 0.99),
            max_gradient_norm=1.0,
            warmup=0.02,
            decay="linear",
        ),
        # Two further averages are stored on the way, so that `unnoise ema` can make any other one.
        ema=EMAConfig(decay=0.9999, warmup=8.0, profiles=USUAL, megabytes=200.0),
        batch_size=batch_size,
        # Fresh noise on the way mends what a network that was trained for minutes gets wrong.
        sampling=Sampling(sampler="dpmpp_2m_sde", num_steps=30, spacing="log_snr"),
    )


def nano(channels: int, height: int, width: int) -> Recipe:
    """The smallest of our family: made for minutes on a laptop's CPU."""
    # In minutes there are few steps: they matter more than how exact each is.
    return _sized(channels, height, width, base=32 if max(height, width) <= 16 else 48, batch_size=64)


def small(channels: int, height: int, width: int) -> Recipe:
    """For hours or a night on a CPU, or minutes on a laptop's GPU."""
    return _sized(channels, height, width, base=64)


def medium(channels: int, height: int, width: int) -> Recipe:
    """For an hour on a GPU."""
    return _sized(channels, height, width, base=96)


def large(channels: int, height: int, width: int) -> Recipe:
    """For hours to days on GPUs."""
    return _sized(channels, height, width, base=128, depth=3, batch_size=256)


def keras_ddim(channels: int, height: int, width: int) -> Recipe:
    """The Keras DDIM example and Generative Deep Learning, 2nd edition, chapter 8 (train for 50 epochs)."""
    return Recipe(
        network=UNetConfig(
            channels=channels,
            block="book",
            normalization="batch",
            attention=(False,) * 4,
            embedding="input",
            upsampling="bilinear",
        )
    )


def clear_ddim(channels: int, height: int, width: int) -> Recipe:
    """clear-diffusion-keras: velocity, noise power uniform, the noise level in every block.

    Its attention heads are as wide as their level; ours share the width among them, as is usual.
    """
    return Recipe(
        network=UNetConfig(
            channels=channels,
            widths=(64, 128, 256, 512),
            attention=(False, False, True, True),
            embedding_dim=64,
            modulation="add",
            upsampling="bilinear",
        ),
        schedule=SignalStep(3.0, -10.0),
        objective=Objective("velocity", "velocity", "l2"),
        noise_levels=UniformPower(),
        optimizer=OptimizerConfig(learning_rate=2e-4, weight_decay=1e-4),
    )


def annotated_ddpm(channels: int, height: int, width: int) -> Recipe:
    """The first annotated study of DDPM (June 2022): T = 200, ConvNeXt blocks, Huber, for 5 epochs.

    Its betas are rescaled to T (there 36 % of the image is left where sampling starts from none).
    """
    return _annotated(AnnotatedConfig(study="convnext", channels=channels), 200)


def annotated_resnet(channels: int, height: int, width: int) -> Recipe:
    """The second (December 2022): T = 300, ResNet blocks with standardised weights, for 6 epochs."""
    return _annotated(AnnotatedConfig(study="resnet", channels=channels), 300)


def _annotated(network: AnnotatedConfig, num_timesteps: int) -> Recipe:
    return Recipe(
        network=network,
        schedule=LinearBeta(num_timesteps),
        objective=Objective("noise", "noise", "huber"),
        condition="timestep",
        normalization="symmetric",
        optimizer=OptimizerConfig(name="adam", learning_rate=1e-3, weight_decay=0.0),
        ema=EMAConfig(decay=0.0),  # the studies sample from the trained weights themselves
        batch_size=128,
        # The studies don't clip; but after a short training their chains drift off to white.
        sampling=Sampling(sampler="ancestral", num_steps=num_timesteps, clip="static"),
    )


def ddpm_study(channels: int, height: int, width: int) -> Recipe:
    """The DDPM study, which is lucidrains' v1.9: 35,719,555 parameters in colour, velocity, T = 1,000.

    Its EMA of 0.995 every 10 steps is 0.9995 every step here.
    """
    return Recipe(
        network=AnnotatedConfig(
            study="ddpm_study", channels=channels, dim=64, multipliers=(1, 2, 4, 8), groups=8
        ),
        schedule=SigmoidAlphaBar(1000),
        objective=Objective("velocity", "velocity", "l2"),
        condition="timestep",
        normalization="symmetric",
        optimizer=OptimizerConfig(
            name="adam", learning_rate=1e-4, weight_decay=0.0, betas=(0.9, 0.99), max_gradient_norm=1.0
        ),
        ema=EMAConfig(decay=0.9995),
        batch_size=16,
        sampling=Sampling(num_steps=250, clip="static"),
    )


PRESETS: dict[str, Callable[[int, int, int], Recipe]] = {
    "nano": nano,
    "small": small,
    "medium": medium,
    "large": large,
    "keras-ddim": keras_ddim,
    "clear-ddim": clear_ddim,
    "annotated-ddpm": annotated_ddpm,
    "annotated-resnet": annotated_resnet,
    "ddpm-study": ddpm_study,
}
OURS = ("nano", "small", "medium", "large")
DEFAULT = "default"
"""No recipe of its own, but the choice of one of ours."""


class About(NamedTuple):
    """What a person asks of a preset before choosing it."""

    purpose: str
    source: str


ABOUT = {
    "nano": About("CPU, minutes", "ours"),
    "small": About("CPU, hours; laptop GPU, minutes", "ours"),
    "medium": About("GPU, an hour", "ours"),
    "large": About("GPUs, hours to days", "ours"),
    "keras-ddim": About("GPU, 50 epochs", "Keras DDIM example"),
    "clear-ddim": About("GPU, hours", "clear-diffusion-keras"),
    "annotated-ddpm": About("5 epochs", "first annotated study"),
    "annotated-resnet": About("6 epochs", "second annotated study"),
    "ddpm-study": About("GPU, days", "DDPM study"),
}


def recipe(name: str, channels: int, height: int, width: int) -> Recipe:
    """The preset of this name for pictures of this shape; `default` is chosen as for 10 minutes on a CPU.

    Raises:
        UnnoiseError: for a name that is not in `PRESETS`.
    """
    if name == DEFAULT:
        name = choose("cpu", height, width, Budget().amount).name
    if name not in PRESETS:
        raise UnnoiseError(f"There is no preset {name!r}: choose one of {', '.join((DEFAULT, *PRESETS))}.")
    return PRESETS[name](channels, height, width)
