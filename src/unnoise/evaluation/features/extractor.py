"""Feature extractor: a network that turns pictures into vectors, with a description and a hash of its settings.

Two distances are comparable only if the network, its weights, the input size and the resizing were the same (On
Aliased Resizing and Surprising Subtleties in GAN Evaluation, 2104.11222). So an extractor describes and hashes
all of these.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Images, Pixels
from unnoise.utils.errors import require
from unnoise.utils.out_of_memory import Pieces

Vectors: TypeAlias = Float[Tensor, "batch dimensions"]
"""Features of a batch of pictures, float32."""

AllVectors: TypeAlias = Float[Tensor, "pictures dimensions"]
"""Features of any number of pictures, float32."""

_PIECE = 2**20


@runtime_checkable
class Extractor(Protocol):
    """Function from pictures to feature vectors, with the properties that its distances depend on."""

    @property
    def name(self) -> str:
        """`lite0`, `learned`, `inception`, `dinov2`, `torchscript:NAME` or `onnx:NAME`."""
        ...

    @property
    def side(self) -> int:
        """The longer side of the network's input, in pixels."""
        ...

    @property
    def resize(self) -> str:
        """Description of the resizing and scaling of pictures, to print beside a distance."""
        ...

    @property
    def digest(self) -> str:
        """A hash of the weights and all settings: where it is the same, so are the features."""
        ...

    @property
    def comparable(self) -> bool:
        """Whether its distances are comparable between data sets and with published ones."""
        ...

    def __call__(self, pictures: Pixels) -> Vectors:
        """Features, float32 (B, d) on the CPU, of uint8 pictures (B, C, H, W)."""
        ...


@dataclass(frozen=True, eq=False)
class NetworkExtractor:
    """Extractor made of a preprocessing and a network.

    Args:
        name, side, resize, digest, comparable: see `Extractor`.
        prepare: from uint8 pictures (B, C, H, W) to the input of the network.
        backbone: the network; its output is (B, d) or (B, d, 1, 1).
        device: where the network is.
    """

    name: str
    side: int
    resize: str
    digest: str
    comparable: bool
    prepare: Callable[[Pixels], Images | Pixels]
    backbone: Callable[[Tensor], object]
    device: torch.device | str = "cpu"
    pieces: Pieces = field(init=False)
    """How many pictures the network takes at once; fewer once memory ran out."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "pieces", Pieces(device=self.device))

    def __call__(self, pictures: Pixels) -> Vectors:
        """Features, float32 (B, d) on the CPU.

        Raises:
            UnnoiseError: when the output of the network is not one vector for each picture.
        """
        if isinstance(self.backbone, nn.Module):
            self.backbone.eval()  # in training mode, the features of a picture could depend on its batch
        return self.pieces.apply(self._features, pictures)

    def _features(self, pictures: Pixels) -> Vectors:
        with torch.inference_mode():
            features = self.backbone(self.prepare(pictures.to(self.device)))
        return self._checked(features, len(pictures))

    def _checked(self, features: object, count: int) -> Vectors:
        shape = tuple(features.shape) if isinstance(features, Tensor) else None
        pooled = shape is not None and len(shape) in {2, 4} and shape[0] == count and shape[2:] in {(), (1, 1)}
        require(
            pooled,
            f"The output of an extractor is one vector per picture, (B, d) or (B, d, 1, 1), but {self.name} "
            f"returns {f'{shape} for B = {count}' if shape else type(features).__name__}: pool its last layer.",
        )
        assert isinstance(features, Tensor)
        # A copy, because tensors of inference mode cannot be changed outside it.
        return features.flatten(1).to("cpu", torch.float32, copy=True)


def digest_of(*parts: object) -> str:
    """Hash of values (by their repr), of the bytes of files (Path) and of weights (nn.Module)."""
    total = blake2b(digest_size=16)
    for part in parts:
        total.update(_hash_of(part))
    return total.hexdigest()


def first_line(error: Exception) -> str:
    """First line of an error message, shortened to fit into a sentence."""
    return (str(error).splitlines() or [type(error).__name__])[0][:160].rstrip(".: ")


def _hash_of(part: object) -> bytes:
    one = blake2b(digest_size=16)
    if isinstance(part, nn.Module):
        for name, tensor in sorted(part.state_dict().items()):
            one.update(f"{name} {tuple(tensor.shape)} {tensor.dtype} ".encode())
            one.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    elif isinstance(part, Path):
        with part.open("rb") as file:
            while piece := file.read(_PIECE):
                one.update(piece)
    else:
        one.update(repr(part).encode())
    return one.digest()
