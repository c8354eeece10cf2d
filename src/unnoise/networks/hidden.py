"""Hidden features of a network: what its layers return for some input, as far as the last of them.

They measure how far apart two noisy images look (`diffusion.walks`).
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from unnoise.diffusion.tensors import Levels, NextFeatures


class _EnoughError(Exception):
    """Ends a forward pass whose rest is not needed."""


def hidden_features(network: nn.Module, layers: Sequence[nn.Module], *given: Any) -> Levels:  # noqa: ANN401
    """What each of these layers returns when the network is called; layers after the last are not run."""
    found: Levels = []

    def keep(layer: nn.Module, _: object, output: NextFeatures) -> None:
        found.append(output)
        if layer is layers[-1]:
            raise _EnoughError

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        network(*given)
    except _EnoughError:
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return found
