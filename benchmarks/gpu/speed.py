"""Speed and memory of training steps by preset and size of pictures: eager, compiled, and of diffusers."""

import bisect
import gc
import itertools
import warnings
from collections.abc import Callable, Mapping
from functools import cache
from statistics import median
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.power_law import fit
from benchmarks.report import table
from benchmarks.turns import timed
from unnoise.diffusion.diffusion import Diffusion
from unnoise.diffusion.normalizer import Normalizer
from unnoise.runs.compiling import compile_training
from unnoise.runs.config import RunConfig
from unnoise.runs.data_config import DataConfig
from unnoise.runs.presets import OWN_PRESETS, recipe
from unnoise.utils.device_peak import device_peak
from unnoise.utils.device_speed import count_flops, synchronize
from unnoise.utils.out_of_memory import DoesNotFitError
from unnoise.utils.precision import DeviceCapabilities, set_tf32

Kind: TypeAlias = Literal["eager", "compiled", "diffusers"]
CHANNELS = 3
UNKNOWN = "–"
_TOLERANCE = 0.15
"""By which the parameters of diffusers' network may differ from ours."""
_BASES = range(4, 321, 4)
"""Widths of its first level."""


class Case(NamedTuple):
    """Training steps of one preset at one size of pictures."""

    preset: str
    side: int
    kind: Kind


class Amount(NamedTuple):
    """How much is measured."""

    presets: tuple[str, ...]
    sides: tuple[int, ...]
    largest_batch: int
    turns: int
    calls: int


FULL = Amount(OWN_PRESETS, (32, 64, 128, 256), largest_batch=256, turns=5, calls=4)
REHEARSAL = Amount(("nano",), (16,), largest_batch=2, turns=1, calls=1)


class Speed(NamedTuple):
    """Measured training steps."""

    parameters: int
    batch: int
    images_per_second: float
    megabytes: float
    gigaflops: float
    """GFLOP of an image's part of a step."""
    peak_share: float
    """Fraction of the speed of the device's fastest operation."""


def cases(amount: Amount) -> list[Case]:
    """Eager steps and those of diffusers first, as compiling takes longest."""
    pairs = list(itertools.product(amount.sides, amount.presets))
    together = [Case(preset, side, kind) for side, preset in pairs for kind in ("eager", "diffusers")]
    return together + [Case(preset, side, "compiled") for side, preset in pairs]


def precision(device: torch.device) -> Literal["float32", "bfloat16"]:
    """bfloat16 where the device computes in it."""
    return "bfloat16" if device.type == "cuda" and DeviceCapabilities.of(device).bfloat16 else "float32"


def peak_sentence(device: torch.device) -> str:
    """The practical peaks of the device."""
    kinds = (
        {"float32": torch.float32, "bfloat16": torch.bfloat16}
        if device.type == "cuda"
        else {"float32": torch.float32}
    )
    peaks = {name: device_peak(device, kind) for name, kind in kinds.items()}
    return ", ".join(f"{peak.gflops:,.0f} GFLOP/s in {name} ({peak.operation})" for name, peak in peaks.items())


def measure(case: Case, amount: Amount, device: torch.device) -> Speed | None:
    """Speed of the largest batch that fits, of the recipe's and its halves; None where no batch fits."""
    batch = min(amount.largest_batch, recipe(case.preset, CHANNELS, case.side, case.side).batch_size)
    while batch:
        try:
            return _measure(case, batch, amount, device)
        except (torch.OutOfMemoryError, DoesNotFitError):
            batch //= 2
        finally:
            _free(device)
    return None


def _measure(case: Case, batch: int, amount: Amount, device: torch.device) -> Speed:
    torch.manual_seed(0)
    set_tf32(device, precision(device))  # as training does
    build = _theirs if case.kind == "diffusers" else _ours
    step, network, flops = build(case, batch, device)
    for _ in range(2):  # these allocate, and choose kernels
        step()

    def synchronous() -> None:
        step()
        synchronize(device)

    work = flops()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    seconds = median(timed(synchronous, amount.calls) for _ in range(amount.turns))
    most = torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else 0.0
    kind = torch.bfloat16 if precision(device) == "bfloat16" else torch.float32
    return Speed(
        parameters=sum(weight.numel() for weight in network.parameters()),
        batch=batch,
        images_per_second=batch / seconds,
        megabytes=most,
        gigaflops=work / batch / 1e9,
        peak_share=work / seconds / 1e9 / device_peak(device, kind).gflops,
    )


Step: TypeAlias = tuple[Callable[[], object], nn.Module, Callable[[], float]]
"""A training step, the network that it trains, and the floating-point operations of a step."""


def _ours(case: Case, batch: int, device: torch.device) -> Step:
    chosen = recipe(case.preset, CHANNELS, case.side, case.side)
    data = DataConfig(source="noise", height=case.side, width=case.side, channels=CHANNELS)
    config = RunConfig(
        data=data, normalizer=Normalizer.symmetric(CHANNELS), recipe=chosen, precision=precision(device)
    )
    diffusion: Diffusion = config.build(device)
    network, images = diffusion.network, _pixels(case, batch, device)
    work = count_flops(lambda: diffusion.train_step(images))  # a compiled network hides its operators
    if case.kind == "compiled":
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a failure would be measured as eager
            compile_training(diffusion, images)
    return lambda: diffusion.train_step(images), network, lambda: work


def _theirs(case: Case, batch: int, device: torch.device) -> Step:
    """`UNet2DModel` of as many parameters, trained as by diffusers' train_unconditional.py."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    unet: Any = of_equal_size(case).to(device)
    optimizer = torch.optim.AdamW(unet.parameters(), 1e-4, (0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    average = EMAModel(unet.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    scheduler, clean = DDPMScheduler(1000), _pixels(case, batch, device) / 127.5 - 1
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=precision(device) == "bfloat16")

    def step() -> None:
        noise, steps = torch.randn_like(clean), torch.randint(0, 1000, (batch,), device=device)
        with autocast:
            predicted = unet(scheduler.add_noise(clean, noise, steps), steps).sample
        functional.mse_loss(predicted.float(), noise).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(unet.parameters())

    return step, unet, lambda: count_flops(step)


def of_equal_size(case: Case) -> nn.Module:
    """Diffusers' `UNet2DModel` with the levels of our network and as many parameters.

    Raises:
        RuntimeError: when none is near enough.
    """
    from unnoise.networks import build

    chosen: Any = recipe(case.preset, CHANNELS, case.side, case.side).network
    with torch.device("meta"):
        wanted = _size(build(chosen))

    def size(base: int) -> int:
        return _their_size(_levels(chosen.widths, base))

    above = bisect.bisect_left(_BASES, wanted, hi=len(_BASES) - 1, key=size)  # wider ones have more
    nearest = min(_BASES[max(above - 1, 0) : above + 1], key=lambda base: abs(size(base) - wanted))
    found = size(nearest)
    if abs(found - wanted) > _TOLERANCE * wanted:
        raise RuntimeError(f"No UNet2DModel has about {wanted:,} parameters: the nearest has {found:,}.")
    return _unet(_levels(chosen.widths, nearest), case.side)


def _levels(widths: tuple[int, ...], base: int) -> tuple[int, ...]:
    """Widths in the same ratios, of which the first is the base."""
    return tuple(base * width // widths[0] for width in widths)


@cache
def _their_size(levels: tuple[int, ...]) -> int:
    """Parameters of diffusers' network, the same for pictures of any size; to build it takes a while."""
    with torch.device("meta"):
        return _size(_unet(levels, side=32))


def _unet(levels: tuple[int, ...], side: int) -> nn.Module:
    from diffusers import UNet2DModel

    plain = len(levels) - 1
    network: nn.Module = UNet2DModel(
        sample_size=side,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        block_out_channels=levels,
        norm_num_groups=4,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
    )
    return network


def _size(network: nn.Module) -> int:
    return sum(weight.numel() for weight in network.parameters())


def _pixels(case: Case, batch: int, device: torch.device) -> Tensor:
    return torch.randint(0, 256, (batch, CHANNELS, case.side, case.side), dtype=torch.uint8, device=device)


def _free(device: torch.device) -> None:
    gc.collect()
    torch.compiler.reset()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def speed_table(found: Mapping[Case, Speed | None]) -> str:
    """A row for each preset and size: parameters, batch, images a second, memory and share of the peak."""
    rows = []
    for case, eager in found.items():
        if case.kind != "eager":
            continue
        others: list[Speed | None] = [found.get(case._replace(kind=kind)) for kind in ("compiled", "diffusers")]
        size = f"{eager.parameters:,}" if eager else UNKNOWN
        rows.append(
            [f"`{case.preset}`", f"{case.side}", size, *_cells(eager), *_cells(others[0]), *_cells(others[1])]
        )
    three = ("images/s", "MB", "of the peak")
    header = [
        "preset",
        "px",
        "parameters",
        *(f"{kind}: {text}" for kind in ("eager", "compiled", "diffusers") for text in three),
    ]
    return table(header, rows)


def _cells(speed: Speed | None) -> list[str]:
    if speed is None:
        return [UNKNOWN] * 3
    return [f"{speed.images_per_second:,.0f}", f"{speed.megabytes:,.0f}", f"{speed.peak_share:.0%}"]


def growth_table(found: Mapping[Case, Speed | None]) -> str:
    """Power of the number of pixels that seconds an image grow with, for each preset."""
    rows = []
    for preset in dict.fromkeys(case.preset for case in found):
        laws = [
            UNKNOWN if law is None else f"pixels^{law:.2f}"
            for law in (growth(found, preset, kind) for kind in ("eager", "compiled", "diffusers"))
        ]
        rows.append([f"`{preset}`", *laws])
    return table(["preset", "eager", "compiled", "diffusers"], rows)


def growth(found: Mapping[Case, Speed | None], preset: str, kind: Kind) -> float | None:
    """Slope of log(seconds an image) over log(pixels); None for fewer than two sizes."""
    costs = {
        case.side**2: 1 / speed.images_per_second
        for case, speed in found.items()
        if speed is not None and (case.preset, case.kind) == (preset, kind)
    }
    return fit(costs).slope if len(costs) > 1 else None
