"""A device that computes nothing: PyTorch's meta device in place of a GPU, to see where the host would wait."""

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

_READS = {"_local_scalar_dense", "nonzero", "is_nonzero", "equal", "unique2", "_unique2", "masked_select"}
"""Operators whose result the host waits for."""
_FROM_NUMBERS = {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}
_GENERATOR = torch.Generator


class MetaGenerator(torch.Generator):
    """A generator that seems to be on the meta device, which has none of its own."""

    device = torch.device("meta")


class _Generators(torch.Generator):
    """In place of `torch.Generator`: one for the meta device, too."""

    def __new__(cls, device: torch.device | str = "cpu") -> torch.Generator:
        return MetaGenerator() if torch.device(device).type == "meta" else _GENERATOR(device)


class _Numbers(TorchFunctionMode):
    """Adds to a list where a tensor is made on the meta device from numbers of Python, which blocks, too."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self.found = found

    def __torch_function__(self, func, _types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if func in _FROM_NUMBERS and result.device.type == "meta":
            self.found.append("numbers to meta")
        return result


class Waits(TorchDispatchMode):
    """Context that counts what makes the host wait for a device: reads of its values, and blocking copies."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._numbers = _Numbers(self.found)

    def __enter__(self) -> "Waits":
        self._numbers.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *raised: object) -> None:
        super().__exit__(*raised)
        self._numbers.__exit__(*raised)

    def __torch_dispatch__(self, func, _types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        result = func(*args, **kwargs)
        given = [value.device.type for value in args if isinstance(value, torch.Tensor)]
        made = result.device.type if isinstance(result, torch.Tensor) else ""
        if name in _READS and "meta" in given:
            self.found.append(name)
        if name in {"_to_copy", "copy_"} and len({*given, made}) > 1:
            blocking = not (kwargs.get("non_blocking") or (name == "copy_" and args[2:] == (True,)))
            self.found += [f"{name} from {given[-1]} to {made}"] if blocking else []
        return result


def pretend_device(patches: pytest.MonkeyPatch) -> torch.device:
    """Makes the meta device do as one to train on, and returns it."""
    autocast = torch.autocast

    def unless_meta(kind: str, *choices: object, **more: object) -> AbstractContextManager[object]:
        return nullcontext() if kind == "meta" else autocast(kind, *choices, **more)

    patches.setattr(torch, "Generator", _Generators)
    patches.setattr(torch, "autocast", unless_meta)
    return torch.device("meta")
