"""Roles of weights: the matrices of hidden layers, apart from stems, heads and embeddings.

Muon is meant for matrices between hidden features (K. Jordan, 2024). A stem reads pixels, a head writes them,
and each row of an embedding is of one class alone: nothing asks there for updates that are equally long in all
directions. The linear layers after the sinusoids of a noise level count as hidden: what they read are features
that every step has, unlike rows of a table. AdamW moves everything else: stems, heads, embeddings, learned
tokens, scales and biases.
"""

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

from torch import nn

MuonWeights: TypeAlias = Literal["hidden", "wide"]
"""Which weights Muon moves: those of hidden layers, or (in older runs, which knew no other) all wide ones."""

_LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@runtime_checkable
class HasEnds(Protocol):
    """A network that tells which of its layers are stems and heads."""

    @property
    def ends(self) -> Sequence[nn.Module]:
        """Layers that read what is given to the network, or write what it returns."""
        ...


def muon_weights(network: nn.Module, which: MuonWeights) -> list[nn.Parameter]:
    """The weights that Muon moves, in the network's own order."""
    moved = {id(weight) for weight in (_hidden(network) if which == "hidden" else _wide(network))}
    return [weight for weight in network.parameters() if id(weight) in moved]


def _hidden(network: nn.Module) -> Iterator[nn.Parameter]:
    """Matrices of linear layers and convolutions, but for stems, heads and filters of a single channel.

    A network without `ends` has them in its first and last such layer.
    """
    layers = [module for module in network.modules() if isinstance(module, _LAYERS)]
    named = network.ends if isinstance(network, HasEnds) else layers[:1] + layers[-1:]
    ends = {module for end in named for module in end.modules()}
    for layer in layers:
        # A filter of a depthwise convolution, or a layer with one output, is a vector and has one direction.
        if layer not in ends and len(layer.weight) > 1 and layer.weight.shape[1] > 1:
            assert isinstance(layer.weight, nn.Parameter)
            yield layer.weight


def _wide(network: nn.Module) -> Iterator[nn.Parameter]:
    """Matrices of at least 16 rows and columns, whatever they are for."""
    for weight in network.parameters():
        if weight.ndim >= 2 and min(len(weight), weight[0].numel()) >= 16 and weight.shape[1] > 1:
            yield weight
