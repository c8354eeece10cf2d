"""Feature extractor learned on the pictures at hand by contrastive training (SimCLR, 2002.05709).

It suits small pictures that are unlike ImageNet, and needs no download: a few convolutions are trained in less
than a minute, without labels, to recognise two views of the same picture. The features are taken before the
projection, as in the paper: they hold more than what the views have in common. Each is standardised over the
training pictures, so that a distance weighs all of them equally.

Distances compare runs on the same pictures only, not data sets: `comparable` is False, and the name is
`learned`.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unnoise.data.batches import Batches, Indices, Pictures
from unnoise.evaluation.features.contrastive import Views, contrastive_loss
from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of
from unnoise.evaluation.features.preprocessing import Preparation
from unnoise.utils.errors import require

_LARGEST_SIDE = 64
_MIDDLE = (127.5, 127.5, 127.5)
_MAX_MEASURED = 2048
_BATCH = 256

_SMALL_SIDE = 16
_MIN_SIDE = 4
_MIN_DEVIATION = 0.02


@dataclass(frozen=True)
class LearnedConfig:
    """Settings of the training; its length is in steps, not in seconds, so that a seed determines the result.

    The repr of this class is part of cache keys: do not rename it or its fields.

    Args:
        num_steps: steps of training.
        batch_size: pictures in a step, each in two views; fewer where there are fewer pictures.
        learning_rate: its maximum: 20 steps of warm-up, then a cosine decay.
        widths: channels of the convolutions; the last one used is the number of features (see
            `FeatureNetwork`).
        projection: the length of the vectors that are compared in training.
        views: augmentation.

    Raises:
        UnnoiseError: unless all numbers are above 0.
    """

    num_steps: int = 150
    batch_size: int = 64
    learning_rate: float = 3e-3
    widths: tuple[int, ...] = (32, 64, 96, 96)
    projection: int = 64
    views: Views = Views()

    def __post_init__(self) -> None:
        for name in ("num_steps", "batch_size", "learning_rate", "projection"):
            value = getattr(self, name)
            require(value > 0, f"The {name} of the learned extractor must be above 0, but got {value}.")
        require(
            bool(self.widths) and min(self.widths) > 0,
            f"The widths of the learned extractor must be above 0, but got {self.widths}.",
        )


class FeatureNetwork(nn.Module):
    """Convolutions, global average pooling and standardisation: (B, 3, H, W) to (B, num_features).

    Pictures of up to 16 pixels a side get one convolution less. Each convolution halves the sides while these
    are above 4; the first one only above 16, to keep the details of small pictures.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, widths: tuple[int, ...], side: int) -> None:
        super().__init__()
        used = widths[: max(1, len(widths) - 1)] if side <= _SMALL_SIDE else widths
        stages, channels, left = list[nn.Module](), 3, side
        for place, width in enumerate(used):
            stride = 2 if left > (_SMALL_SIDE if place == 0 else _MIN_SIDE) else 1
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
        """Features, (B, num_features)."""
        pooled: Tensor = self.stages(images.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return (pooled - self.mean) / self.deviation

    @torch.no_grad()
    def standardise(self, batches: Iterable[Tensor]) -> None:
        """Sets mean and standard deviation of the features to those of these images."""
        self.eval()
        self.mean.zero_()
        self.deviation.fill_(1)
        features = torch.cat([self(images) for images in batches])
        self.mean.copy_(features.mean(0))
        # Without a minimum, a feature that hardly varies would amplify rounding errors.
        self.deviation.copy_(features.std(0).clamp(min=_MIN_DEVIATION))


class TrainingProgress(NamedTuple):
    """Step, loss and network of the training; after the last step the network is ready."""

    step: int
    num_steps: int
    loss: float
    network: FeatureNetwork


def input_size(height: int, width: int) -> tuple[int, int]:
    """Height and width of the network's input: those of the pictures, with the longer side at most 64."""
    longer = max(height, width)
    if longer <= _LARGEST_SIDE:
        return height, width
    return max(1, round(height * _LARGEST_SIDE / longer)), max(1, round(width * _LARGEST_SIDE / longer))


def preparation(pictures: Pictures, indices: Indices) -> Preparation:
    """Preprocessing for the pictures at `indices`: values from -1 to 1, the aspect ratio unchanged.

    Raises:
        UnnoiseError: for fewer than 2.
    """
    require(
        len(indices) >= 2,
        f"The extractor 'learned' needs at least 2 pictures to train on, and better hundreds, but got "
        f"{len(indices)}: choose 'lite0' instead.",
    )
    height, width = pictures.take(indices[:1]).shape[2:]
    return Preparation(*input_size(height, width), _MIDDLE, _MIDDLE, "from -1 to 1")


def new_network(config: LearnedConfig, prepare: Preparation, seed: int) -> FeatureNetwork:
    """Feature network with random weights of this seed; PyTorch's global generator is left unchanged."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FeatureNetwork(config.widths, max(prepare.height, prepare.width))


def train_feature_network(
    pictures: Pictures,
    indices: Indices,
    config: LearnedConfig = LearnedConfig(),
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[TrainingProgress]:
    """Trains a feature network on the pictures at `indices`; yields its progress after each step.

    The same seed gives the same network on the same machine.

    Raises:
        UnnoiseError: for fewer than 2 pictures.
    """
    prepare = preparation(pictures, indices)
    network = new_network(config, prepare, seed).to(device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 1)
        projection = _projection(network.num_features, config.projection).to(device)
    parameters = [*network.parameters(), *projection.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=1e-4)
    generator = torch.Generator().manual_seed(seed)
    batches = Batches(pictures, indices, min(config.batch_size, len(indices)), seed)
    for step in range(config.num_steps):
        optimizer.param_groups[0]["lr"] = _learning_rate(config, step)
        images = prepare(batches[step])
        both = torch.cat([config.views(images, generator) for _ in range(2)]).to(device)
        loss = contrastive_loss(*projection(network.train()(both)).chunk(2))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step + 1 == config.num_steps:
            _standardise(network, prepare, pictures, indices, device)
        yield TrainingProgress(step + 1, config.num_steps, float(loss.detach()), network)


def learned_extractor(
    network: FeatureNetwork, prepare: Preparation, *, device: torch.device | str = "cpu"
) -> NetworkExtractor:
    """Extractor with a trained feature network."""
    network = network.requires_grad_(False).eval().to(device)
    return NetworkExtractor(
        "learned",
        max(prepare.height, prepare.width),
        f"to {prepare.height} x {prepare.width} (bilinear, antialiased), {prepare.scale}; not comparable "
        f"between data sets",
        digest_of("learned", prepare, network),
        False,
        prepare,
        network,
        device,
    )


def _projection(features: int, length: int) -> nn.Module:
    return nn.Sequential(
        nn.Linear(features, features), nn.BatchNorm1d(features), nn.ReLU(), nn.Linear(features, length)
    )


def _learning_rate(config: LearnedConfig, step: int) -> float:
    rise = min(1.0, (step + 1) / 20)
    return config.learning_rate * rise * (1 + math.cos(math.pi * step / config.num_steps)) / 2


def _standardise(
    network: FeatureNetwork,
    prepare: Preparation,
    pictures: Pictures,
    indices: Indices,
    device: torch.device | str,
) -> None:
    """Standardises the features over at most 2,048 training pictures, evenly spread."""
    chosen = indices[:: math.ceil(len(indices) / _MAX_MEASURED)]
    starts = range(0, len(chosen), _BATCH)
    network.standardise(prepare(pictures.take(chosen[start : start + _BATCH])).to(device) for start in starts)
