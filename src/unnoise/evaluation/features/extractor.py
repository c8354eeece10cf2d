"""An extractor turns pictures into vectors; a distance between vectors is worth what is said of the extractor.

Two numbers can be compared only where the network, its weights, the size that pictures are brought to, and how
they are brought there were the same (On Aliased Resizing and Surprising Subtleties in GAN Evaluation,
2104.11222). So an extractor tells all of it, and hashes all of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unnoise.diffusion.tensors import Images, Pixels
from unnoise.utils.errors import require

Vectors: TypeAlias = Float[Tensor, "batch dimensions"]
"""The features of each picture, float32."""

AllVectors: TypeAlias = Float[Tensor, "pictures dimensions"]
"""The features of more pictures than fit into a batch."""

_PIECE = 2**20


@runtime_checkable
class Extractor(Protocol):
    """Pictures in, feature vectors out."""

    @property
    def name(self) -> str:
        """`lite0`, `learned`, `inception`, `dinov2`, `torchscript:NAME` or `onnx:NAME`."""
        ...

    @property
    def side(self) -> int:
        """The longer side, in pixels, of what the network sees."""
        ...

    @property
    def resize(self) -> str:
        """How pictures are brought to that size and range, in words to print beside a number."""
        ...

    @property
    def digest(self) -> str:
        """A hash of the weights and of every setting: where it is the same, so are the features."""
        ...

    @property
    def comparable(self) -> bool:
        """Whether its numbers mean the same for another data set, and elsewhere."""
        ...

    def __call__(self, pictures: Pixels) -> Vectors:
        """The features, float32 (B, d) on the CPU, of uint8 pictures (B, C, H, W)."""
        ...


@dataclass(frozen=True, eq=False)
class NetworkExtractor:
    """Any network behind any preparation: the one extractor that there is.

    Args:
        name, side, resize, digest, comparable: see `Extractor`.
        prepare: uint8 (B, C, H, W) into what the network takes.
        backbone: gives (B, d), or (B, d, 1, 1).
        device: where it is.
    """

    name: str
    side: int
    resize: str
    digest: str
    comparable: bool
    prepare: Callable[[Pixels], Images | Pixels]
    backbone: Callable[[Tensor], object]
    device: torch.device | str = "cpu"

    def __call__(self, pictures: Pixels) -> Vectors:
        """The features, float32 (B, d) on the CPU.

        Raises:
            UnnoiseError: when the network gives anything but a vector for each picture.
        """
        if isinstance(self.backbone, nn.Module):
            self.backbone.eval()  # in training mode, a picture's features would depend on its batch
        with torch.inference_mode():
            features = self.backbone(self.prepare(pictures.to(self.device)))
        return self._checked(features, len(pictures))

    def _checked(self, features: object, count: int) -> Vectors:
        shape = tuple(features.shape) if isinstance(features, Tensor) else None
        pooled = shape is not None and len(shape) in {2, 4} and shape[0] == count and shape[2:] in {(), (1, 1)}
        require(
            pooled,
            f"An extractor gives one vector for each picture, (B, d) or (B, d, 1, 1), but {self.name} gives "
            f"{f'{shape} for B = {count}' if shape else type(features).__name__}: pool its last layer.",
        )
        assert isinstance(features, Tensor)
        # A copy, because tensors of inference mode may not be worked on outside it.
        return features.flatten(1).to("cpu", torch.float32, copy=True)


def digest_of(*parts: object) -> str:
    """A hash of texts and numbers, of the bytes of files (Path), and of weights (nn.Module)."""
    total = blake2b(digest_size=16)
    for part in parts:
        total.update(_hash_of(part))
    return total.hexdigest()


def first_line(error: Exception) -> str:
    """What a library complains of, short enough to stand in a sentence."""
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
