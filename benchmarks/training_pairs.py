"""The same networks with the same weights in unnoise and in the libraries they come from, and their steps.

A training step is the whole of it: noise, network, backward pass, clipping, optimiser, average.
"""

import copy
import re
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.diffusers_models import build_unet
from unnoise import Diffusion, Normalizer
from unnoise.diffusion.objectives import Objective
from unnoise.diffusion.schedules import LinearBeta, SigmoidAlphaBar
from unnoise.networks import UNet
from unnoise.optim.ema import EMAConfig
from unnoise.optim.optimizers import OptimizerConfig
from unnoise.utils.precision import Precision

BATCH, SIDE = 64, 32
TOLERANCE = 1e-4

RENAMED = {
    r"^init_conv": "stem",
    r"^time_mlp\.1": "dense.0",
    r"^time_mlp\.3": "dense.2",
    r"^mid_block1": "middle_first",
    r"^mid_attn": "middle_attention",
    r"^mid_block2": "middle_second",
    r"^final_res_block": "final",
    r"^final_conv": "head",
    r"^(down|up)s\.(\d+)\.0\.": r"\1.\2.first.",
    r"^(down|up)s\.(\d+)\.1\.": r"\1.\2.second.",
    r"^(down|up)s\.(\d+)\.2\.": r"\1.\2.attention.",
    r"^(down|up)s\.(\d+)\.3\.": r"\1.\2.resize.",
    r"mlp\.1\.": "modulate.project.",
    r"block1\.proj": "first",
    r"block1\.norm": "first_norm",
    r"block2\.proj": "second",
    r"block2\.norm": "second_norm",
    r"res_conv": "shortcut",
    r"to_out\.1\.g$": "out_norm.gain",
    r"norm\.g$": "norm.gain",
    r"to_qkv": "qkv",
    r"to_out(\.0)?\.": "project.",
    r"mem_kv": "memory",
}
"""Parameter names of the U-Net of denoising-diffusion-pytorch, and those of `UNet.ddpm_study`."""


class Pair(NamedTuple):
    """One network in two libraries: a step of each, and the largest difference of their outputs."""

    name: str
    parameters: int
    ours: Callable[[], object]
    theirs: Callable[[], object]
    difference: float


def renamed(state: Mapping[str, Tensor], like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights of denoising-diffusion-pytorch under our names, and in our shapes.

    Raises:
        RuntimeError: when a weight has no counterpart of its size.
    """
    found = {}
    for name, tensor in state.items():
        for old, new in RENAMED.items():
            name = re.sub(old, new, name)
        if name not in like or like[name].numel() != tensor.numel():
            raise RuntimeError(f"unnoise has no parameter {name} of this size.")
        if like[name].ndim == 4 and tensor.shape == like[name].mT.shape != like[name].shape:
            tensor = tensor.mT
        found[name] = tensor.reshape(like[name].shape)
    if found.keys() != like.keys():
        raise RuntimeError(f"The other network lacks {', '.join(sorted(like.keys() - found.keys()))}.")
    return found


def difference(mine: nn.Module, theirs: Callable[[Tensor, Tensor], Tensor]) -> float:
    """The largest difference of two networks' outputs.

    Raises:
        RuntimeError: when it is above `TOLERANCE`, so that different work is never compared.
    """
    images, steps = torch.randn(4, 1, SIDE, SIDE), torch.tensor([0.0, 17.0, 500.0, 999.0])
    with torch.no_grad():
        found = float((mine(images, steps.view(-1, 1, 1, 1)) - theirs(images, steps)).abs().max())
    if not found <= TOLERANCE:
        raise RuntimeError(f"The two networks are not the same: their outputs differ by {found:g}.")
    return found


def pictures(device: str) -> Tensor:
    """A batch of random pictures in [0, 1]."""
    return torch.rand(BATCH, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0)).to(device)


def with_diffusers(device: str = "cpu", precision: Precision = "float32") -> Pair:
    """`UNet2DModel`, trained as in their train_unconditional.py: predicts noise, AdamW, clipping, EMA."""
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    theirs: Any = build_unet().train()
    network = UNet.diffusers(theirs.config)
    network.load_state_dict(theirs.state_dict())
    off = difference(network, lambda images, steps: theirs(images, steps).sample)
    theirs.to(device)
    diffusion = Diffusion(
        network,
        (1, SIDE, SIDE),
        normalizer=Normalizer.symmetric(1),
        schedule=LinearBeta(1000),
        objective=Objective("noise", "noise", "l2"),
        condition="timestep",
        optimizer=OptimizerConfig(
            learning_rate=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, max_gradient_norm=1.0
        ),
        ema=EMAConfig(decay=0.9999, warmup=1.0),
        device=device,
        precision=precision,
    )
    optimizer = torch.optim.AdamW(theirs.parameters(), 1e-4, (0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    average = EMAModel(theirs.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    scheduler, images = DDPMScheduler(1000), pictures(device)

    def step() -> None:
        clean = images * 2 - 1
        noise, steps = torch.randn_like(clean), torch.randint(0, 1000, (BATCH,), device=device)
        with mixed(device, precision):
            predicted = theirs(scheduler.add_noise(clean, noise, steps), steps).sample
        loss = functional.mse_loss(predicted.float(), noise)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.step(theirs.parameters())

    return Pair("diffusers, UNet2DModel", _size(theirs), lambda: diffusion.train_step(images), step, off)


def with_lucidrains(device: str = "cpu", precision: Precision = "float32") -> Pair:
    """Its `Unet` in its `GaussianDiffusion`, trained as by its `Trainer`: velocity, Adam, clipping, EMA."""
    from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    from ema_pytorch import EMA

    unet = Unet(28, dim_mults=(1, 2, 4), channels=1, resnet_block_groups=4)
    network = UNet.ddpm_study(1, 28, (1, 2, 4), groups=4)
    network.load_state_dict(renamed(unet.state_dict(), network.state_dict()))
    off = difference(network, unet)
    diffusion = Diffusion(
        network,
        (1, SIDE, SIDE),
        normalizer=Normalizer.symmetric(1),
        schedule=SigmoidAlphaBar(1000),
        objective=Objective("velocity", "velocity", "l2"),
        condition="timestep",
        optimizer=OptimizerConfig(name="adam", learning_rate=1e-4, betas=(0.9, 0.99), max_gradient_norm=1.0),
        ema=EMAConfig(decay=0.995),
        device=device,
        precision=precision,
    )
    theirs: Any = GaussianDiffusion(copy.deepcopy(unet), image_size=SIDE, timesteps=1000).to(device)
    optimizer = torch.optim.Adam(theirs.parameters(), 1e-4, (0.9, 0.99))
    average, images = EMA(theirs, beta=0.995, update_every=10), pictures(device)

    def step() -> None:
        with mixed(device, precision):
            loss = theirs(images)
        loss.item()  # as it shows it after each step
        loss.backward()
        nn.utils.clip_grad_norm_(theirs.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        average.update()

    name = "denoising-diffusion-pytorch 1.9.4, Unet"
    return Pair(name, _size(unet), lambda: diffusion.train_step(images), step, off)


def mixed(device: str, precision: Precision) -> torch.autocast:
    """Their mixed precision, which both have from Accelerate: autocast around the network."""
    return torch.autocast(torch.device(device).type, torch.bfloat16, enabled=precision == "bfloat16")


def _size(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


class MakePair(Protocol):
    """Builds a pair for a device, in a precision."""

    def __call__(self, device: str = "cpu", precision: Precision = "float32") -> Pair:
        """The pair."""
        ...


def pairs() -> list[MakePair]:
    """Builders of the pairs whose library is installed; diffusers must be."""
    made: list[MakePair] = [with_diffusers]
    if find_spec("denoising_diffusion_pytorch"):
        made.append(with_lucidrains)
    return made
