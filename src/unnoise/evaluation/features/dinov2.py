"""DINOv2 sees what people see, where Inception sees ImageNet's classes: so a second opinion is its CLS feature.

Exposing flaws of generative model evaluation metrics (2306.04675) takes ViT-L/14 at 224 x 224; any folder of a
Dinov2Model may be named instead, and a side that is a multiple of the patch.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of, first_line
from unnoise.evaluation.features.preparing import imagenet
from unnoise.utils.errors import UnnoiseError, require

HUB = "facebook/dinov2-large"
SIDE = 224


class ClassToken(nn.Module):
    """The CLS token of the last layer, normalised: (B, 3, side, side) to (B, d)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone = network

    def forward(self, images: Tensor) -> Tensor:
        """The features."""
        features: Tensor = self.backbone(images).last_hidden_state[:, 0]
        return features


def dinov2(
    *, weights: Path | None = None, side: int | None = None, device: torch.device | str = "cpu"
) -> NetworkExtractor:
    """The extractor of `weights`, a folder of a Dinov2Model, or of the hub's ViT-L/14 (1.2 GB).

    `side` is brought to the nearest multiple of the patch; 224 if None.

    Raises:
        UnnoiseError: when transformers is missing, or the network is neither here nor to be had.
    """
    network = _load(weights)
    patch = int(network.config.patch_size)
    whole = max(1, round((side or SIDE) / patch)) * patch
    require(whole <= 4096, f"DINOv2's side is at most 4096 pixels, but got {side}: try {SIDE}.")
    prepare, token = imagenet(whole), ClassToken(network).requires_grad_(False).eval().to(device)
    return NetworkExtractor(
        "dinov2" if weights is None else f"dinov2:{weights.name}",
        whole,
        prepare.words,
        digest_of("dinov2", prepare, token),
        True,
        prepare,
        token,
        device,
    )


def _load(weights: Path | None) -> Any:  # noqa: ANN401 - an optional package
    try:
        from transformers import Dinov2Model
        from transformers.utils import logging
    except ImportError:
        raise UnnoiseError(
            "'dinov2' needs transformers, which is not installed: run pip install 'unnoise[dinov2]', or choose "
            "'lite0', which does without."
        ) from None
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # Safetensors only: the other format is unpickled.
        network, info = Dinov2Model.from_pretrained(
            str(weights or HUB),
            local_files_only=weights is not None,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        wanted = f"the folder {str(weights)!r}" if weights else f"the hub's {HUB}"
        raise UnnoiseError(
            f"DINOv2 is a folder of config.json and model.safetensors, but {wanted} gave none "
            f"({first_line(error)}): name one with --weights FOLDER, or choose 'lite0'."
        ) from None
    finally:
        if shown:
            logging.enable_progress_bar()
    missing = sorted(info["missing_keys"])
    require(
        not missing,
        f"DINOv2's weights are all in one folder, but {str(weights or HUB)!r} lacks {', '.join(missing[:1])}, "
        f"which would be random: name another with --weights FOLDER.",
    )
    return network
