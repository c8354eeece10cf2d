"""Feature extractors from TorchScript (.pt, .ts) and ONNX (.onnx) files.

The input of the network is float (B, 3, side, side), its output must be (B, d) or (B, d, 1, 1). Pictures are
standardised with ImageNet's mean and standard deviation, on which nearly all published networks were trained; a
network for another scale can convert it in its first layer. Neither format is unpickled.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of, first_line
from unnoise.evaluation.features.preprocessing import imagenet_preparation
from unnoise.utils.errors import UnnoiseError, require, require_permitted

SIDE = 224
TORCHSCRIPT = (".pt", ".ts")
ONNX = (".onnx",)


def extractor_from_file(
    path: Path, *, side: int | None = None, device: torch.device | str = "cpu"
) -> NetworkExtractor:
    """Extractor with the network in a file.

    `side` None is the side of the network's input where that is fixed (ONNX), and otherwise 224.

    Raises:
        UnnoiseError: when the file is missing, has another format, or its input is no picture of `side`.
    """
    suffix = path.suffix.lower()
    require(
        suffix in TORCHSCRIPT + ONNX,
        f"An extractor's file is TorchScript (.pt, .ts) or ONNX (.onnx), but got {str(path)!r}.",
    )
    require(path.is_file(), f"There is no file {str(path)!r}: check the name of the extractor.")
    network: nn.Module | OnnxNetwork
    if suffix in ONNX:
        network, kind = OnnxNetwork(path), "onnx"
        device, side = "cpu", network.input_side(side)
    else:
        network, kind = _torchscript(path, device), "torchscript"
    prepare = imagenet_preparation(side or SIDE)
    digest = digest_of(kind, prepare, path)
    return NetworkExtractor(
        f"{kind}:{path.stem}", prepare.height, prepare.words, digest, True, prepare, network, device
    )


def _torchscript(path: Path, device: torch.device | str) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated, but its files can still be read.
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        require_permitted(path, error)
        raise UnnoiseError(
            f"{str(path)!r} is not TorchScript ({first_line(error)}): save the network with torch.jit.save. "
            f"Files of torch.save can run any code, so they are not opened."
        ) from None
    return network


class OnnxNetwork:
    """ONNX network, run by onnxruntime on the CPU: float (B, 3, side, side) to its first output."""

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        self._session = _session(path)
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shape) == 4
        fits = fits and (not isinstance(shape[1], int) or shape[1] == 3)
        require(
            fits,
            f"The input of an ONNX extractor is one float tensor (B, 3, side, side), but that of "
            f"{self._name!r} is {', '.join(f'{one.type} {tuple(one.shape)}' for one in inputs) or 'missing'}: "
            "export it again.",
        )
        self._input = inputs[0].name
        self._batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        self._sides = [value for value in shape[2:] if isinstance(value, int)]

    def input_side(self, side: int | None) -> int | None:
        """The side of the input: `side`, or the fixed side of the network.

        Raises:
            UnnoiseError: when the two differ, or the input is not square.
        """
        if not self._sides:
            return side
        require(
            len(set(self._sides)) == 1 and side in {None, self._sides[0]},
            f"The input of {self._name!r} is fixed to {' x '.join(str(one) for one in self._sides)}, but must "
            f"be {f'{side} x {side}' if side else 'square'}: leave the side out, or export the network with "
            f"another input.",
        )
        return self._sides[0]

    def __call__(self, images: Tensor) -> Tensor:
        """First output of the network; a fixed batch size is kept by repeating a picture in the last batch."""
        size = self._batch or len(images)
        outputs = []
        for first in range(0, len(images), size):
            part = images[first : first + size]
            filled = torch.cat((part, part[:1].expand(size - len(part), -1, -1, -1)))
            outputs.append(self._run(filled)[: len(part)])
        return torch.cat(outputs)

    def _run(self, images: Tensor) -> Tensor:
        try:
            (output, *_) = self._session.run(None, {self._input: images.contiguous().cpu().numpy()})
        except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no other class
            raise UnnoiseError(
                f"{self._name!r} fails on an input of {tuple(images.shape)} ({first_line(error)}): try another "
                f"side."
            ) from None
        return torch.as_tensor(output)


def _session(path: Path) -> Any:  # noqa: ANN401 - an optional package without types
    try:
        import onnxruntime
    except ImportError:
        raise UnnoiseError(
            "An .onnx file needs onnxruntime, which is not installed: run pip install 'unnoise[onnx]', or name "
            "a TorchScript file."
        ) from None
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no other class
        require_permitted(path, error)
        raise UnnoiseError(
            f"{str(path)!r} is damaged or not ONNX ({first_line(error)}): export the network again."
        ) from None
