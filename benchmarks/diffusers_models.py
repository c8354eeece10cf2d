"""Models of diffusers that benchmarks compare with: its U-Net, and its pipelines as their users run them."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import nn

from unnoise.diffusion.sampler_names import SamplerName
from unnoise.diffusion.tensors import Images

SIDE, WIDTHS = 32, (32, 64, 128)


class Pipeline(Protocol):
    """The part of a pipeline of diffusers that is used here."""

    unet: Callable[..., Any]

    def __call__(
        self,
        batch_size: int,
        generator: list[torch.Generator],
        *,
        num_inference_steps: int,
        output_type: str,
    ) -> Any:  # noqa: ANN401 (their record of arrays)
        """Samples a batch."""
        ...


def build_unet(
    widths: Sequence[int] = WIDTHS, side: int = SIDE, layers: int = 2, channels: int = 1, seed: int = 0
) -> nn.Module:
    """A `UNet2DModel` with attention at the lowest resolution, and random weights."""
    from diffusers import UNet2DModel

    plain = len(widths) - 1
    torch.manual_seed(seed)
    unet: nn.Module = UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=layers,
        block_out_channels=tuple(widths),
        norm_num_groups=8,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",),
        up_block_types=("AttnUpBlock2D",) + ("UpBlock2D",) * plain,
    )
    return unet.eval()


def build_pipeline(sampler: SamplerName, unet: nn.Module) -> Pipeline:
    """The pipeline of a sampler. For DPM-Solver++ that of DDPM, which takes any scheduler.

    Their defaults, except for those that would give other pictures: no clipping, velocity prediction (random
    weights that predict noise would draw only black and white), and trailing timesteps.
    """
    from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DPMSolverMultistepScheduler

    chain = {"num_train_timesteps": 1000, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
    pipeline: Any
    if sampler == "ddim":
        pipeline = DDIMPipeline(unet, DDIMScheduler(**chain, clip_sample=False))
    else:
        pipeline = DDPMPipeline(unet, DPMSolverMultistepScheduler(**chain, beta_start=1e-4, beta_end=0.02))
    pipeline.set_progress_bar_config(disable=True)
    built: Pipeline = pipeline
    return built


def draw(pipeline: Pipeline, num_images: int, num_steps: int) -> Images:
    """Pictures of the seeds 0, 1, ..., (B, 1, H, W) in [0, 1]."""
    generators = [torch.Generator().manual_seed(seed) for seed in range(num_images)]
    drawn = pipeline(num_images, generators, num_inference_steps=num_steps, output_type="np").images
    return torch.from_numpy(drawn).permute(0, 3, 1, 2)
