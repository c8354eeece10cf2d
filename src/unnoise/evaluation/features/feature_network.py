"""A few convolutions and the mean over all places: enough to tell small pictures apart, and soon trained."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn

_SMALL = 16
_FEWEST = 4
_LEAST_DEVIATION = 0.02


class FeatureNetwork(nn.Module):
    """Convolutions, then the mean over all places, standardised: (B, 3, H, W) to (B, num_features).

    Pictures of up to 16 pixels need one convolution less. Each halves the sides while these are above 4, but
    that the first does so only above 16, lest it lose what little there is.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: tuple[int, ...], side: int) -> None:
        super().__init__()
        used = widths[: max(1, len(widths) - 1)] if side <= _SMALL else widths
        stages, channels, left = list[nn.Module](), 3, side
        for place, width in enumerate(used):
            stride = 2 if left > (_SMALL if place == 0 else _FEWEST) else 1
            left = math.ceil(left / stride)
            stages += [
                nn.Conv2d(channels, width, 3, stride, padding=1, bias=False),
                nn.BatchNorm2d(width),
                nn.ReLU(),
            ]
            channels = width
        self.num_features = channels
        self.stages = nn.Sequential(*stages)
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))

    def forward(self, images: Tensor) -> Tensor:
        """The features."""
        pooled: Tensor = self.stages(images.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return (pooled - self.mean) / self.deviation

    @torch.no_grad()
    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Sets the mean and the deviation of the features of these images."""
        self.eval()
        self.mean.zero_()
        self.deviation.fill_(1)
        features = torch.cat([self(images) for images in batches])
        self.mean.copy_(features.mean(0))
        # Of a feature that hardly varies, a little more than rounding would otherwise count for everything.
        self.deviation.copy_(features.std(0).clamp(min=_LEAST_DEVIATION))
