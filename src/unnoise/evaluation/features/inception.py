"""Inception v3 feature extractor of the published FID and KID.

2,048 features of the last pooling (GANs Trained by a Two Time-Scale Update Rule, 1706.08500), with the weights
of 2015 that torch-fidelity ported from TensorFlow. Like the original, the network resizes to 299 x 299 itself,
without antialiasing. Other extractors antialias; this one does not, so that its distances compare with
published ones.
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
from unnoise.evaluation.features.feature_cache import FeatureCache
from unnoise.evaluation.features.preprocessing import to_colour
from unnoise.utils.errors import UnnoiseError, require, require_permitted

URL = "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth"
SHA256_PREFIX = "6726825d"
SIDE = 299

Download: TypeAlias = Callable[[str, str, str], object]
"""`(url, path, first digits of the SHA-256)`: writes the file only where its hash begins with these digits."""


class Inception(nn.Module):
    """Inception v3 of torch-fidelity: uint8 (B, 3, H, W) to (B, 2048)."""

    def __init__(self, weights: Path) -> None:
        super().__init__()
        # torch-fidelity prints while it loads; stdout is for results.
        with redirect_stdout(sys.stderr):
            self.backbone = _package().FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], feature_extractor_weights_path=str(weights)
            )

    def forward(self, pictures: Tensor) -> Tensor:
        """Features of uint8 pictures."""
        features: Tensor = self.backbone(pictures)[0]
        return features


def inception_extractor(
    *,
    weights: Path | None = None,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    download: Download | None = None,
) -> NetworkExtractor:
    """Inception extractor with the file `weights`, or with the published weights, downloaded once to the cache.

    Its distances are comparable only with the published weights, which are recognised by their SHA-256.

    Raises:
        UnnoiseError: when torch-fidelity is missing, or the weights are missing, damaged or not only tensors.
    """
    _package()
    path = weights or _cached_weights(FeatureCache(cache).folder / "extractors", download or _download)
    require(path.is_file(), f"There is no file {str(path)!r}. The weights of Inception are at {URL} .")
    _check_weights(path)
    try:
        network = Inception(path).requires_grad_(False).eval().to(device)
    except RuntimeError as error:
        raise UnnoiseError(
            f"The weights in {str(path)!r} do not fit Inception ({first_line(error)}): download {URL} instead."
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
            f"'inception' needs torch-fidelity and a torchvision that fits this PyTorch ({first_line(error)}): "
            f"run pip install 'unnoise[fid]', or choose 'lite0'."
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
            f"Cannot download the weights of Inception from {URL}: {error}. Name a file of them with "
            f"--weights FILE, or choose 'lite0', which needs no download."
        ) from None
    return path


def _download(url: str, path: str, prefix: str) -> None:
    torch.hub.download_url_to_file(url, path, hash_prefix=prefix, progress=False)


def _check_weights(path: Path) -> None:
    """Refuses files that hold more than tensors, because torch-fidelity would unpickle them."""
    try:
        torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # noqa: BLE001 - a damaged file can raise any class of error
        require_permitted(path, error)
        raise UnnoiseError(
            f"{str(path)!r} is damaged, or holds more than the weights of Inception ({first_line(error)}): "
            f"remove it, and download {URL} again."
        ) from None


def _sha256(path: Path) -> str:
    import hashlib

    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
