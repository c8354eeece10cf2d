"""Sheet of the stages of each picture, side by side under their names."""

from collections.abc import Mapping

import torch
from PIL import Image

from unnoise.diffusion.tensors import Images
from unnoise.pictures.sheets import near_square
from unnoise.pictures.strips import strip

BACKGROUND_GREY = 0.65
"""Stands for missing pixels; as grey as the background of a sheet."""


def stage_sheet(columns: Mapping[str, Images]) -> Image.Image:
    """The stages of each picture side by side, under their names.

    Args:
        columns: name of a stage -> its pictures (N, C, H, W) in [0, 1], all of one size.
    """
    stages = torch.stack(tuple(columns.values()))
    num_stages, number, _, height, width = stages.shape
    blocks = near_square(number, num_stages * width / height)
    missing = stages.new_full((num_stages, -number % blocks, *stages.shape[2:]), BACKGROUND_GREY)
    filled = torch.cat([stages, missing], dim=1)
    # Reading order within each block of columns, and from block to block.
    rows = filled.reshape(num_stages, blocks, -1, *stages.shape[2:]).transpose(0, 1).flatten(0, 1)
    return strip(rows, labels=tuple(columns) * blocks, max_steps=len(rows))
