"""Footprint of a run: parameters, operations, memory and disk, forecast from its recipe without computing."""

from dataclasses import replace
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unnoise.networks import NetworkConfig, build
from unnoise.networks.limits import total_memory
from unnoise.runs.recipe import Recipe
from unnoise.runs.snapshots import kept_steps
from unnoise.utils.device_speed import count_flops
from unnoise.utils.uninterrupted import uninterrupted

PROCESS_BYTES = 320_000_000
"""Memory of a process that has imported all that training needs."""
_TEMPORARY = 1.5
"""Memory of a step, compared with what the backward pass needs of the forward pass; see docs/presets.md."""
_USABLE = 0.8
"""Share of the machine's memory that a run may fill."""
_DRAWN = 64
"""Pictures that are drawn at once, at most, if nothing else is asked for."""
_OF_A_NAME = 100
"""Bytes in the header of safetensors for a tensor's type, shape and offset, beside its name."""
_STATES = 3
"""See `retention.kept_states`."""
_IMAGES = 2
"""Images for which a network is counted; BatchNorm needs two."""


class NetworkSize(NamedTuple):
    """Size of a network."""

    parameters: int
    gigaflops: float
    """Of the forward pass of one image: matrix products and convolutions. Training takes about three times as
    many."""
    activation_bytes: int
    """Of one image: what the forward pass of training keeps for the backward pass, in float32."""


@cache
def network_size(config: NetworkConfig, height: int, width: int) -> NetworkSize:
    """Counts parameters, FLOPs and activations without computing: fake tensors have a shape, but no values."""
    from torch._subclasses.fake_tensor import FakeTensorMode

    with torch.device("meta"):
        network = build(config).train()
    with uninterrupted(), FakeTensorMode():
        _replace_tensors(network)
        images = torch.empty(_IMAGES, config.channels, height, width).to(memory_format=torch.channels_last)
        conditions = torch.empty(_IMAGES, 1, 1, 1)
        own = {tensor.untyped_storage()._cdata for tensor in (*network.parameters(), *network.buffers())}
        kept: dict[int, Tensor] = {}

        def keep(tensor: Tensor) -> Tensor:
            kept.setdefault(tensor.untyped_storage()._cdata, tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            flops = count_flops(lambda: network(images, conditions)) / _IMAGES
        taken = sum(one.untyped_storage().nbytes() for storage, one in kept.items() if storage not in own)
    parameters = sum(weight.numel() for weight in network.parameters())
    return NetworkSize(parameters, flops / 1e9, taken // _IMAGES)


def _replace_tensors(network: nn.Module) -> None:
    """Gives a network new tensors without values: faster than fake ones, which initialise."""
    for module in network.modules():
        for name, weight in [*module.named_parameters(recurse=False)]:
            setattr(module, name, nn.Parameter(torch.empty(weight.shape)))
        for name, buffer in [*module.named_buffers(recurse=False)]:
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype))


class DiskUse(NamedTuple):
    """Bytes that a run writes, by kind."""

    weights: int
    """The averaged weights, and a copy of those with the best samples."""
    states: int
    """The last two states to resume from and the pinned one, each with the best weights until then."""
    averages: int
    """Averages that are stored during training for `unnoise ema`."""
    cache: int = 0
    """The decoded pictures, which all runs share."""

    @property
    def run(self) -> int:
        """Bytes of the run's folder, without its small tables and pictures."""
        return self.weights + self.states + self.averages


def run_disk_use(recipe: Recipe, *, judged: bool) -> DiskUse:
    """Disk use of a run, as `Run.save` and `Snapshots.write` write it.

    Args:
        recipe: what is trained.
        judged: whether weights with the best samples are kept as well.
    """
    (weights, state), ema = _weights_and_state(recipe), recipe.ema
    needed = len(ema.profiles) * weights
    kept = kept_steps(ema.snapshots, ema.megabytes, needed) if needed else 0
    states = _STATES * (state + judged * weights)
    return DiskUse((2 if judged else 1) * weights, states, kept * needed)


@cache
def _weights_and_state(recipe: Recipe) -> tuple[int, int]:
    """Bytes of the weights, and of them with all their averages and what the optimiser remembers."""
    with torch.device("meta"):
        network = build(recipe.network)
    weights = sum(_tensor_bytes(name, value.nbytes) for name, value in network.state_dict().items())
    return weights, (2 + len(recipe.ema.profiles)) * weights + _optimizer_bytes(recipe, network)


def _optimizer_bytes(recipe: Recipe, network: nn.Module) -> int:
    """Adam keeps two numbers for each weight and a step count; Muon one for each weight of its matrices."""
    names, total = {weight: name for name, weight in network.named_parameters()}, 0
    for place, group in enumerate(recipe.optimizer.build(network).param_groups):
        for weight in group["params"]:
            matrix = recipe.optimizer.name == "muon" and place == 0
            moments = 1 if matrix or recipe.optimizer.name == "rmsprop" else 2
            total += moments * _tensor_bytes(names[weight], weight.nbytes)
            total += 0 if matrix else _tensor_bytes(names[weight], 4)
    return total


def _tensor_bytes(name: str, size: int) -> int:
    return size + len(name) + _OF_A_NAME


def memory_bytes(recipe: Recipe, height: int, width: int, images: int | None = None) -> int:
    """Forecast of the memory that training takes on a CPU in float32; docs/presets.md says how near it comes.

        process + state + max(1.5 images * activations, 3 weights)

    Args:
        recipe, height, width: what is trained, and on pictures of which size.
        images: that go through the network at once; the whole batch if left out.
    """
    size, (weights, state) = network_size(recipe.network, height, width), _weights_and_state(recipe)
    count = recipe.batch_size if images is None else images
    # Gradients, and what the optimiser makes of them, take the place of the activations.
    moving = max(int(_TEMPORARY * count * size.activation_bytes), 3 * weights)
    return PROCESS_BYTES + state + moving


def pieces_that_fit(recipe: Recipe, height: int, width: int) -> int | None:
    """Into how many pieces a batch is cut to fit into this machine's memory; None where not one image fits.

    It is a power of two. Where the system does not say how much memory there is, or a bound shows that there is
    enough, nothing is counted.
    """
    available = total_memory()
    if available is None or _surely_fits(recipe, height, width, _USABLE * available):
        return 1
    pieces = 1
    while memory_bytes(recipe, height, width, -(-recipe.batch_size // pieces)) > _USABLE * available:
        if pieces >= recipe.batch_size:
            return None
        pieces = min(2 * pieces, recipe.batch_size)
    return pieces


def pictures_that_fit(recipe: Recipe, height: int, width: int) -> int | None:
    """How many pictures can be drawn at once in this machine's memory; None where `_DRAWN` can.

    As if the network was trained on them: drawing takes 0.2 to 0.7 of that.
    """
    pieces = pieces_that_fit(replace(recipe, batch_size=_DRAWN), height, width)
    return None if pieces == 1 else _DRAWN // (pieces or _DRAWN)


def _surely_fits(recipe: Recipe, height: int, width: int, available: float) -> bool:
    """Whether a generous bound on the memory is small: for usual runs, which then start without counting."""
    network = recipe.network
    positions = height * width / getattr(network, "patch_size", 1) ** 2
    depth = max(2, getattr(network, "block_depth", 2), *getattr(network, "depths", ()))
    # All presets take 160 to 950 bytes for each position and channel of their first level, and a pixel head
    # 21 for each pixel and feature.
    widest = max(width / 2**level for level, width in enumerate(network.widths))
    of_pixels = 30 * height * width * getattr(network, "pixel_width", 0)
    activations = (800 * depth * positions * widest + of_pixels) * recipe.batch_size
    parameters = 400 * depth * max(network.widths) ** 2
    needed: float = PROCESS_BYTES + activations + 40 * parameters
    return needed <= available
