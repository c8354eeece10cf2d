"""Presets: complete recipes with a name; `default` is the one of our family that suits the budget."""

import math
from collections.abc import Callable
from dataclasses import replace

from unnoise.diffusion.noise_levels import LogNormal, UniformPower
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.diffusion.schedules import LinearBeta, OffsetCosine, SigmoidAlphaBar, SignalStep, noise_shift_for
from unnoise.networks import AnnotatedConfig, OwnConfig, TransformerConfig, UNet2DConfig, UNetConfig
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.optim.power_ema import DEFAULT_SIGMA_RELS
from unnoise.runs.config import Budget
from unnoise.runs.footprint import pieces_that_fit
from unnoise.runs.recipe import Recipe
from unnoise.runs.sizing import PresetChoice, choose_preset, is_middling, num_levels
from unnoise.utils.errors import UnnoiseError


def _sized(
    channels: int,
    height: int,
    width: int,
    *,
    base: int,
    depth: int = 2,
    batch_size: int = 128,
    patch_size: int | None = None,
    embedding_dim: int | None = None,
    pixel_width: int = 0,
) -> Recipe:
    """Recipe of our family: U-Nets on patches that predict the velocity, of any width; see docs/log.md."""
    # Patches make layers p^2 times cheaper; pictures below 16 pixels need their full resolution.
    # Patches of 4 x 4 begin where they have three levels, too: one pixel more makes no smaller network.
    patch_size = patch_size or (1 if min(height, width) < 16 else 2 if is_middling(height, width) else 4)
    levels = num_levels(height, width, patch_size, most=3 if patch_size == 2 else 5)
    network = UNetConfig(
        channels=channels,
        widths=tuple(min(base * 2**level, 8 * base) for level in range(levels)),
        block_depth=depth,
        attention=(False,) * (levels - 1) + (True,),
        patch_size=patch_size,
        embedding_dim=embedding_dim or base,
        max_frequency=100.0,
        input_skip=True,
        pixel_width=pixel_width,
    )
    return _own(network, height, width, batch_size)


def _own(network: OwnConfig, height: int, width: int, batch_size: int) -> Recipe:
    """The recipe of all our presets, with this network."""
    return Recipe(
        network=network,
        schedule=OffsetCosine(0.002, 0.9999),
        objective=Objective("velocity", "velocity", "l2"),
        noise_levels=LogNormal(0.3, 1.2, stratified=True),
        # Larger pictures stay recognisable under more noise; up to 32 pixels none better was found than above.
        noise_shift=max(1.0, noise_shift_for(height, width)),
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
        # Two further averages are stored, from which `unnoise ema` synthesises others.
        ema=EMAConfig(decay=0.9999, warmup=8.0, profiles=DEFAULT_SIGMA_RELS),
        batch_size=batch_size,
        # A stochastic sampler corrects errors of networks that were trained for minutes only.
        sampling=Sampling(sampler="dpmpp_2m_sde", num_steps=30, spacing="log_snr"),
        find_polish=True,
    )


def nano(channels: int, height: int, width: int) -> Recipe:
    """Preset `nano`: for minutes on a laptop's CPU."""
    # In minutes there are few steps: their number matters more than the size of their batches.
    largest = max(height, width)
    base, fine = 32 if largest <= 16 else 48, dict[str, int]()
    if height * width > 32 * 32 and min(height, width) >= 16:
        # At most 32 patches across (up to 2,048 pixels) make many steps; single pixels get a head.
        across = min(math.ceil(largest / 32), min(height, width) // 4, 64)
        fine = {"patch_size": max(4, across), "pixel_width": 16}
        if is_middling(height, width):
            base, fine = 96, {**fine, "embedding_dim": 48}
    chosen = _sized(channels, height, width, base=base, batch_size=64, **fine)
    guided = replace(chosen.sampling, num_steps=20)
    if largest <= 32:  # small pictures need no fresh noise, and fewer calls; see docs/log.md
        guided = Sampling(sampler="dpmpp_2m", num_steps=12, spacing="karras")
    return replace(chosen, autoguidance=2.0, guided_sampling=guided, clusters=128)


def small(channels: int, height: int, width: int) -> Recipe:
    """Preset `small`: for hours on a CPU, or minutes on a laptop's GPU."""
    return _sized(channels, height, width, base=64)


def medium(channels: int, height: int, width: int) -> Recipe:
    """Preset `medium`: for an hour on a GPU."""
    return _sized(channels, height, width, base=96)


def large(channels: int, height: int, width: int) -> Recipe:
    """Preset `large`: for hours to days on GPUs."""
    return _sized(channels, height, width, base=128, depth=3, batch_size=256)


def transformer(channels: int, height: int, width: int) -> Recipe:
    """Preset `transformer`: an hourglass of attention, to be compared with the others."""
    side = (height * width) ** 0.5
    patch_size = 1 if side < 16 else 2 if side <= 32 else 4 if side <= 128 else 8
    levels = num_levels(height, width, patch_size)
    network = TransformerConfig(
        channels=channels,
        patch_size=patch_size,
        widths=tuple(min(128 * 2**level, 384) for level in range(levels)),
        depths=(2,) * (levels - 1) + (6,),
        input_skip=True,
    )
    return _own(network, height, width, 128)


def keras_ddim(channels: int, height: int, width: int) -> Recipe:
    """Preset `keras-ddim`: the Keras DDIM example, and Generative Deep Learning, 2nd edition, chapter 8."""
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
    """Preset `clear-ddim`: clear-diffusion-keras, with velocity and uniform noise power.

    Its attention heads are each as wide as their level; ours divide the width among them, as is usual.
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
    """Preset `annotated-ddpm`: first annotated study of DDPM (June 2022): T = 200, ConvNeXt, Huber, 5 epochs.

    Its betas are rescaled to T; in the study 36 % of the image is left at the level where sampling starts.
    """
    return _annotated(AnnotatedConfig(study="convnext", channels=channels), 200)


def annotated_resnet(channels: int, height: int, width: int) -> Recipe:
    """Preset `annotated-resnet`: second annotated study (December 2022): T = 300, ResNet blocks, 6 epochs."""
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
        # The studies don't clip, but after a short training their samples drift to white.
        sampling=Sampling(sampler="ancestral", num_steps=num_timesteps, clip="static"),
    )


def ddpm_study(channels: int, height: int, width: int) -> Recipe:
    """Preset `ddpm-study`: the DDPM study, lucidrains' v1.9: 35,719,555 parameters, velocity, T = 1,000.

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


def diffusers(channels: int, height: int, width: int) -> Recipe:
    """Preset `diffusers`: a `UNet2DModel`, trained as in diffusers' train_unconditional.py; it can be exported.

    The network is that of ddpm-cifar10-32 up to 64 pixels, and that of the tutorial on butterflies above, with
    fewer levels where sides cannot be halved as often, but at least 3.
    """
    wide = max(height, width) > 64
    widths = (128, 128, 256, 256, 512, 512) if wide else (128, 256, 256, 256)
    halvings = min((side & -side).bit_length() - 1 for side in (height, width))
    levels = max(3, min(len(widths), halvings + 1))
    attended = min(4 if wide else 1, levels - 1)
    return Recipe(
        network=UNet2DConfig(
            channels=channels,
            widths=widths[:levels],
            attention=tuple(level == attended for level in range(levels)),
        ),
        schedule=LinearBeta(1000),
        objective=Objective("noise", "noise", "l2"),
        condition="timestep",
        normalization="symmetric",
        optimizer=OptimizerConfig(
            learning_rate=1e-4,
            weight_decay=1e-6,
            betas=(0.95, 0.999),
            max_gradient_norm=1.0,
            warmup=0.02,
            decay="cosine",
        ),
        ema=EMAConfig(decay=0.9999, warmup=1.0),
        batch_size=16,
        # A tenth of the timesteps. DDIM of diffusers clips in a way that barely trained networks do not bear.
        sampling=Sampling(sampler="ancestral", num_steps=100, clip="static"),
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
    "diffusers": diffusers,
    "transformer": transformer,
}
OWN_PRESETS = ("nano", "small", "medium", "large")
DEFAULT = "default"
"""The name that stands for one of `OWN_PRESETS`, chosen by `sizing.choose_preset`."""


def preset_for(
    device_type: str, shape: tuple[int, int, int], budget: Budget, batch_size: int = 64, devices: int = 1
) -> PresetChoice:
    """The preset that `default` stands for: of `choose_preset`, or a smaller one that fits into memory.

    Args:
        device_type: cpu, cuda or mps. Only the memory of a CPU is looked at: that of the machine.
        shape: (channels, height, width) of the pictures.
        budget, batch_size: how long is trained, and images per step where the budget counts steps.
        devices: that train together.
    """
    choice = choose_preset(device_type, *shape[1:], budget.amount, budget.unit, batch_size, devices)
    place, on_cpu = OWN_PRESETS.index(choice.name), device_type == "cpu"
    while on_cpu and place and pieces_that_fit(recipe(OWN_PRESETS[place], *shape), *shape[1:]) is None:
        place -= 1
    name, why = OWN_PRESETS[place], choice.why.removesuffix(".")
    if name == choice.name:
        return choice
    return PresetChoice(name, f"{why}, but {name} is the largest that fits into this machine's memory.")


def recipe(name: str, channels: int, height: int, width: int) -> Recipe:
    """The recipe of this preset for pictures of this shape; `default` is that for 10 minutes on a CPU.

    Raises:
        UnnoiseError: for a name that is not in `PRESETS`.
    """
    if name == DEFAULT:
        name = choose_preset("cpu", height, width, Budget().amount).name
    if name not in PRESETS:
        raise UnnoiseError(f"There is no preset {name!r}. Choose from {', '.join((DEFAULT, *PRESETS))}.")
    return PRESETS[name](channels, height, width)
