"""Small pipelines of diffusers with random weights, and what they draw from the noises of seeds."""

import json
import shutil
from pathlib import Path

import torch
from diffusers import DDIMPipeline, DDPMPipeline, DDPMScheduler, DiffusionPipeline, UNet2DModel

SEEDS = (3, 4)


def tiny_network(**options) -> UNet2DModel:
    """A network of three levels, whose weights are nowhere zero or one."""
    tiny = {
        "sample_size": 8,
        "in_channels": 1,
        "out_channels": 1,
        "layers_per_block": 1,
        "block_out_channels": (8, 16, 16),
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    }
    torch.manual_seed(1)
    model = UNet2DModel(**(tiny | options))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model.eval()


def saved(folder: Path, scheduler=None, *, ddim=False, flat=False, **options) -> Path:
    """The folder of a pipeline; `flat` has all files side by side, as those of the DDPM paper."""
    kind = DDIMPipeline if ddim else DDPMPipeline
    kind(tiny_network(**options), scheduler or DDPMScheduler()).save_pretrained(folder)
    if flat:
        for part in ("unet", "scheduler"):
            for file in (folder / part).iterdir():
                file.rename(folder / file.name)
            shutil.rmtree(folder / part)
    return folder


def edit(file: Path, **changes) -> None:
    """Changes values of a JSON file; None removes them."""
    values = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({name: value for name, value in values.items() if value is not None}))


def drawn(folder: Path, num_steps: int) -> torch.Tensor:
    """What a saved pipeline draws from the noises of `SEEDS`, (B, C, H, W) in [0, 1]."""
    pipeline = DiffusionPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    images = pipeline(len(SEEDS), generators, num_inference_steps=num_steps, output_type="np").images
    return torch.from_numpy(images).permute(0, 3, 1, 2)
