"""A network that has seen nothing but these pictures can still tell whether others are like them.

For small, odd pictures, and offline: a few convolutions learn in less than a minute, without labels, to
recognise a picture in two views of it (SimCLR, 2002.05709); views.py says what the views share. The features
are those before the projection, as there, which know more than what the views have in common. Each is brought
to mean 0 and deviation 1 over the training pictures, so that a distance counts all of them alike.

Such features are a ruler of the user's own: with them a run can be compared with another on the same pictures,
and with no other data set. `comparable` is False, and the name says `learned`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import nn

from unnoise.data.batches import Batches, Indices, Pictures
from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of
from unnoise.evaluation.features.feature_network import FeatureNetwork
from unnoise.evaluation.features.preparing import Preparation
from unnoise.evaluation.features.views import Views, contrastive_loss
from unnoise.utils.errors import require

_LARGEST_SIDE = 64
_MIDDLE = (127.5, 127.5, 127.5)
_MEASURED = 2048
_AT_ONCE = 256


@dataclass(frozen=True)
class LearnedConfig:
    """How the network learns; its cost is bound by steps, not by the clock, so that a seed means something.

    Args:
        num_steps: of training.
        batch_size: pictures a step, each in two views; fewer where there are fewer pictures.
        learning_rate: its largest; it rises for 20 steps, then falls along a cosine.
        widths: of the convolutions; the last one used is the number of features (see `FeatureNetwork`).
        projection: the length of the vectors that are compared in training.
        views: how these differ.

    Raises:
        UnnoiseError: unless the numbers are above 0.
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
            require(value > 0, f"The learned extractor's {name} is above 0, but got {value}.")
        require(
            bool(self.widths) and min(self.widths) > 0,
            f"The learned extractor has convolutions of a width above 0, but got {self.widths}.",
        )


class Learning(NamedTuple):
    """How far the training has come; after the last step the network is ready."""

    step: int
    num_steps: int
    loss: float
    network: FeatureNetwork


def seen_size(height: int, width: int) -> tuple[int, int]:
    """The height and width that the network sees: as they are, or shrunk until the longer side is 64."""
    longer = max(height, width)
    if longer <= _LARGEST_SIDE:
        return height, width
    return max(1, round(height * _LARGEST_SIDE / longer)), max(1, round(width * _LARGEST_SIDE / longer))


def preparation(pictures: Pictures, indices: Indices) -> Preparation:
    """How the pictures at `indices` are brought to the network: -1 to 1, in their own shape.

    Raises:
        UnnoiseError: for fewer than 2.
    """
    require(
        len(indices) >= 2,
        f"The learned extractor learns to tell pictures apart, so that it needs 2 to train on, and better "
        f"hundreds, but got {len(indices)}: choose 'lite0' instead.",
    )
    height, width = pictures.take(indices[:1]).shape[2:]
    return Preparation(*seen_size(height, width), _MIDDLE, _MIDDLE, "from -1 to 1")


def new_network(config: LearnedConfig, prepare: Preparation, seed: int) -> FeatureNetwork:
    """The network before training; PyTorch's own random numbers are left as they were."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return FeatureNetwork(config.widths, max(prepare.height, prepare.width))


def learn(
    pictures: Pictures,
    indices: Indices,
    config: LearnedConfig = LearnedConfig(),
    *,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Iterator[Learning]:
    """Trains a network on the pictures at `indices`, and says after each step how far it is.

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
        yield Learning(step + 1, config.num_steps, float(loss.detach()), network)


def learned(
    network: FeatureNetwork, prepare: Preparation, *, device: torch.device | str = "cpu"
) -> NetworkExtractor:
    """The extractor of a network that has learned."""
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
    """Over at most 2,048 of the training pictures, evenly spread."""
    chosen = indices[:: math.ceil(len(indices) / _MEASURED)]
    starts = range(0, len(chosen), _AT_ONCE)
    network.standardise(prepare(pictures.take(chosen[start : start + _AT_ONCE])).to(device) for start in starts)
