"""State of a run as named tensors: the weights of several networks and the state of an optimiser, and back."""

from pathlib import Path

import torch
from torch import Tensor, nn

from unnoise.utils.errors import UnnoiseError, require


def prefixed(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors under the keys `<name>.<key>`."""
    return {f"{name}.{key}": tensor for key, tensor in tensors.items()}


def under(name: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose keys begin with `<name>.`, without that prefix."""
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def flat_optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimiser's state as `<parameter>.<name>` -> tensor; its settings are in config.json."""
    return {
        f"{parameter}.{name}": torch.as_tensor(value)
        for parameter, values in optimizer.state_dict()["state"].items()
        for name, value in values.items()
        if value is not None
    }


def fill_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], path: Path) -> None:
    """Loads what `flat_optimizer` gave; raises UnnoiseError for the state of another optimiser.

    Muon remembers something else of matrices than of other weights, so all of a group must have the same names.
    """
    state: dict[int, dict[str, Tensor]] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        like = parameters[int(index)] if index.isdecimal() and int(index) < len(parameters) else None
        if like is None or tensor.shape not in (like.shape, ()):
            raise _state_of_another(path, key)
        if tensor.shape == like.shape:
            # Fused kernels walk through memory, so it must lie there as the parameter does (channels last).
            tensor = torch.empty_like(like).copy_(tensor)
        state.setdefault(int(index), {})[name] = tensor
    first = 0
    for group in optimizer.param_groups:
        own = [index for index in range(first, first + len(group["params"])) if index in state]
        first += len(group["params"])
        unlike = [index for index in own if state[index].keys() != state[own[0]].keys()]
        if unlike:
            raise _state_of_another(path, f"{unlike[0]}.{next(iter(state[unlike[0]]))}")
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _state_of_another(path: Path, key: str) -> UnnoiseError:
    return UnnoiseError(
        f"{path} holds the state of another optimiser than that of config.json ({key}). Put the old "
        "optimizer.name and optimizer.muon back into config.json, or restore both from the same run."
    )


def fill_network(network: nn.Module, tensors: dict[str, Tensor], path: Path, *, new: str = "") -> None:
    """Loads weights into a network; raises UnnoiseError where names or shapes do not fit.

    Weights whose names begin with `new` may be missing, and then stay as they are.
    """
    wanted = network.state_dict()
    if new:
        tensors = {name: value for name, value in wanted.items() if name.startswith(new)} | tensors
    unlike = sorted(wanted.keys() ^ tensors.keys())
    require(
        not unlike,
        f"{path} does not fit the network of config.json: {', '.join(unlike[:3])} "
        f"{'is' if len(unlike) == 1 else 'are'} in only one of them. Restore both from the same run.",
    )
    for name, tensor in tensors.items():
        require(
            tensor.shape == wanted[name].shape,
            f"{path} does not fit the network of config.json: {name} is {tuple(tensor.shape)} in the file, "
            f"but {tuple(wanted[name].shape)} in the network. Restore both from the same run.",
        )
    network.load_state_dict(tensors)
