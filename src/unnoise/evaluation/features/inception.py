"""FID and KID have a meaning elsewhere only with one network: the Inception of 2015, with its own resize.

2,048 features of its last pooling (GANs Trained by a Two Time-Scale Update Rule, 1706.08500), as
torch-fidelity carries them over from TensorFlow. It resizes to 299 x 299 by itself, without antialiasing, as
the original does: here, and only here, this is kept, for numbers of other people were measured so.
"""

import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, TypeAlias

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from unnoise.diffusion.tensors import Pixels
from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of, first_line
from unnoise.evaluation.features.preparing import to_colour
from unnoise.evaluation.features.store import Store
from unnoise.utils.errors import UnnoiseError, require

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SHA256_PREFIX = "6726825d"
SIDE = 299

Download: TypeAlias = Callable[[str, str, str], object]
"""`(url, path, first digits of the SHA-256)`: leaves a file there only where these are right."""


class Inception(nn.Module):
    """torch-fidelity's network, which gives a tuple of the features asked for: (B, 3, H, W) to (B, 2048)."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        # What it says while it loads is not for the output of a library.
        with redirect_stdout(sys.stderr):
            self.backbone = _package().FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
            )

    def forward(self, pictures: Tensor) -> Tensor:
        """The features of uint8 pictures."""
        features: Tensor = self.backbone(pictures)[0]
        return features


def inception(
    *,
    weights: Path | None = None,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    download: Download | None = None,
) -> NetworkExtractor:
    """The extractor; its weights are those of `weights`, or of the cache, where they are downloaded to once.

    Its numbers are comparable with those of others only with the standard weights, which their SHA-256 tells.

    Raises:
        UnnoiseError: when torch-fidelity is missing, or weights are missing, damaged or anything but weights.
    """
    _package()
    path = weights or _cached_weights(Store(cache).root / "extractors", download or _download)
    require(
        path.is_file(), f"Inception's weights are one file, but there is none at {str(path)!r}: see {URL} ."
    )
    _check_weights(path)
    try:
        network = Inception(path).requires_grad_(False).eval().to(device)
    except RuntimeError as error:
        raise UnnoiseError(
            f"Inception's weights are those of {URL}, but {str(path)!r} do not fit the network "
            f"({first_line(error)}): fetch that file."
        ) from None
    return NetworkExtractor(
        "inception",
        SIDE,
        f"bilinear as in TensorFlow 1, not antialiased, to {SIDE} x {SIDE} (whatever their shape)",
        digest_of("inception", network),
        _sha256(path).startswith(SHA256_PREFIX),
        _whole_colours,
        network,
        device,
    )


def _whole_colours(pictures: Pixels) -> UInt8[Tensor, "batch 3 height width"]:
    return to_colour(pictures).round().to(torch.uint8)


def _package() -> Any:  # noqa: ANN401 - an optional package without types
    try:
        import torch_fidelity.feature_extractor_inceptionv3 as package
    except (ImportError, RuntimeError) as error:  # RuntimeError: torchvision of another PyTorch
        raise UnnoiseError(
            f"'inception' needs torch-fidelity and a torchvision that fits this PyTorch "
            f"({first_line(error)}): run pip install 'unnoise[fid]', or choose 'lite0', which needs "
            f"neither."
        ) from None
    return package


def _cached_weights(folder: Path, download: Download) -> Path:
    path = folder / URL.rpartition("/")[2]
    if path.is_file():
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        download(URL, str(path), SHA256_PREFIX)
    except (OSError, RuntimeError) as error:  # RuntimeError: another checksum
        raise UnnoiseError(
            f"Inception's weights are downloaded once, but {URL} gave no usable file ({error}): name one with "
            f"--weights FILE, or choose 'lite0', which needs no network."
        ) from None
    return path


def _download(url: str, path: str, prefix: str) -> None:
    torch.hub.download_url_to_file(url, path, hash_prefix=prefix, progress=False)


def _check_weights(path: Path) -> None:
    """torch-fidelity unpickles whatever it is given, so what is more than tensors is refused before."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - what a damaged file raises depends on where it is damaged
        raise UnnoiseError(
            f"Inception's weights are a file of tensors and nothing else, but {str(path)!r} is not "
            f"({first_line(error)}): remove it, or fetch {URL} again."
        ) from None


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
