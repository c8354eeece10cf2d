"""Any network in a file may judge: TorchScript (.pt, .ts) or ONNX (.onnx), in ImageNet's mean and deviation.

It is given float (B, 3, side, side) and must give (B, d), or (B, d, 1, 1). Published networks were nearly all
trained on values from 0 to 1, less ImageNet's mean, over its deviation, so this is what they get; one that
wants another scale can undo it in its first layer. Neither format is unpickled.
"""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of, first_line
from unnoise.evaluation.features.preparing import imagenet
from unnoise.utils.errors import UnnoiseError, require

SIDE = 224
TORCHSCRIPT = (".pt", ".ts")
ONNX = (".onnx",)


def given(path: Path, *, side: int | None = None, device: torch.device | str = "cpu") -> NetworkExtractor:
    """The extractor of a file, by its suffix.

    `side` is that of the file where its input is fixed (ONNX), and otherwise 224 if None.

    Raises:
        UnnoiseError: when there is no such file, it is of another format, or its input is no picture of `side`.
    """
    suffix = path.suffix.lower()
    require(
        suffix in TORCHSCRIPT + ONNX,
        f"A file that extracts features is TorchScript (.pt, .ts) or ONNX (.onnx), but got {str(path)!r}.",
    )
    require(path.is_file(), f"An extractor's file must be there, but {str(path)!r} is not: check its name.")
    network: nn.Module | OnnxNetwork
    if suffix in ONNX:
        network, kind = OnnxNetwork(path), "onnx"
        device, side = "cpu", network.settled(side)
    else:
        network, kind = _torchscript(path, device), "torchscript"
    prepare = imagenet(side or SIDE)
    digest = digest_of(kind, prepare, path)
    return NetworkExtractor(
        f"{kind}:{path.stem}", prepare.height, prepare.words, digest, True, prepare, network, device
    )


def _torchscript(path: Path, device: torch.device | str) -> nn.Module:
    try:
        with warnings.catch_warnings():
            # TorchScript is no longer developed, but files of it are there, and read as before.
            warnings.simplefilter("ignore", DeprecationWarning)
            network: nn.Module = torch.jit.load(path, map_location=device)  # type: ignore[no-untyped-call]
    except (RuntimeError, ValueError, OSError) as error:
        raise UnnoiseError(
            f"A .pt file must be TorchScript, but {str(path)!r} is not ({first_line(error)}): save it with "
            f"torch.jit.save; what torch.save writes may run any code and is not opened."
        ) from None
    return network


class OnnxNetwork:
    """A network that onnxruntime runs on the CPU: float (B, 3, side, side) to its first output."""

    def __init__(self, path: Path) -> None:
        self._name = str(path)
        self._session = _session(path)
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape) if inputs else []
        fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(shape) == 4
        fits = fits and (not isinstance(shape[1], int) or shape[1] == 3)
        require(
            fits,
            f"An ONNX extractor takes one input, float (B, 3, side, side), but {self._name!r} takes "
            f"{', '.join(f'{one.type} {tuple(one.shape)}' for one in inputs) or 'none'}: export it so.",
        )
        self._input = inputs[0].name
        self._batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        self._sides = [value for value in shape[2:] if isinstance(value, int)]

    def settled(self, side: int | None) -> int | None:
        """The side that is asked for, or that of the file.

        Raises:
            UnnoiseError: when the two differ, or the file's pictures are no squares.
        """
        if not self._sides:
            return side
        require(
            len(set(self._sides)) == 1 and side in {None, self._sides[0]},
            f"{self._name!r} takes pictures of {' x '.join(str(one) for one in self._sides)} only, and an "
            f"extractor's are square{f', but a side of {side} was asked for' if side else ''}: leave the side "
            f"out, or export the network for another one.",
        )
        return self._sides[0]

    def __call__(self, images: Tensor) -> Tensor:
        """Its first output; where its batch is fixed, so many at a time, and the last of them filled up."""
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
                f"An ONNX extractor takes float (B, 3, side, side), but {self._name!r} fails on "
                f"{tuple(images.shape)} ({first_line(error)}): try another side."
            ) from None
        return torch.as_tensor(output)


def _session(path: Path) -> Any:  # noqa: ANN401 - an optional package without types
    try:
        import onnxruntime
    except ImportError:
        raise UnnoiseError(
            "An .onnx file needs onnxruntime, which is not installed: run pip install 'unnoise[onnx]', or give "
            "TorchScript."
        ) from None
    try:
        return onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 - onnxruntime's errors share no other class
        raise UnnoiseError(
            f"An .onnx file must be a whole network, but {str(path)!r} is none ({first_line(error)}): export "
            f"it again."
        ) from None
