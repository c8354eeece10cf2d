"""Memory layouts: a training step keeps images with the channels last, and copies none to another layout."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from unnoise.networks import build
from unnoise.networks.stages import Level
from unnoise.runs.presets import recipe
from unnoise.utils.precision import Precision

LAST = torch.channels_last
COPIES = {"aten::clone", "aten::_to_copy", "aten::copy_"}


class Layouts(TorchDispatchMode):
    """Context that counts copies of images to another layout, and convolutions of images in another layout."""

    def __init__(self, batch: int) -> None:
        super().__init__()
        self.batch, self.copies, self.convolutions = batch, Counter[str](), Counter[str]()

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        result, name = func(*args, **(kwargs or {})), func._schema.name
        if name in COPIES and self.image(result):
            source = args[1] if name == "aten::copy_" else args[0]
            if source.is_contiguous(memory_format=LAST) != result.is_contiguous(memory_format=LAST):
                self.copies[f"{name} {tuple(source.shape)}"] += 1
        if name.startswith("aten::convolution"):
            images = [one for one in args[:3] if self.image(one)]
            self.convolutions[name] += any(not one.is_contiguous(memory_format=LAST) for one in images)
        return result

    def image(self, value):
        """Whether this is a tensor of the features of a batch of images."""
        return isinstance(value, torch.Tensor) and value.ndim == 4 and len(value) == self.batch


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(("channels", "side"), [(1, 28), (3, 64)])
def test_no_image_is_copied_to_another_layout(channels: int, side: int, precision: Precision) -> None:
    """But the few that pixels come and go in, and the heads of attention, which are no images."""
    network = build(recipe("nano", channels, side, side).network).to(memory_format=LAST)
    images = torch.rand(5, channels, side, side)

    def step():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            output = network(images, torch.rand(5, 1, 1, 1))
        output.square().mean().backward()

    step()
    with Layouts(len(images)) as seen:
        step()
    assert not [
        name for name in seen.copies if f"({len(images)}, {network.config.attention_heads}," not in name
    ]
    # The pixels that the stem takes; their gradient, that of the head's, and those of each level's skips. A
    # pixel head takes and returns pixels, too.
    skips = sum(isinstance(level, Level) for level in network.up) * network.config.block_depth
    ends = 1 if network.pixel_head is None else 2
    assert seen.convolutions == {"aten::convolution": ends, "aten::convolution_backward": 2 * ends + skips}
