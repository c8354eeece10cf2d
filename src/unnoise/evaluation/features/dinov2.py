"""DINOv2 feature extractor: the CLS token of a vision transformer.

Distances in DINOv2's features agree with people's judgement better than Inception's (Exposing flaws of
generative model evaluation metrics, 2306.04675, which uses ViT-L/14 at 224 x 224). Any folder of a Dinov2Model
may be named instead, and any side that is a multiple of the patch.
"""

from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from unnoise.evaluation.features.extractor import NetworkExtractor, digest_of, first_line
from unnoise.evaluation.features.preprocessing import imagenet_preparation
from unnoise.utils.errors import UnnoiseError, require

HUB = "facebook/dinov2-large"
SIDE = 224


class ClassToken(nn.Module):
    """Network that returns the normalised CLS token of the last layer: (B, 3, side, side) to (B, d)."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.backbone = network

    def forward(self, images: Tensor) -> Tensor:
        """Features, (B, d)."""
        features: Tensor = self.backbone(images).last_hidden_state[:, 0]
        return features


def dinov2_extractor(
    *, weights: Path | None = None, side: int | None = None, device: torch.device | str = "cpu"
) -> NetworkExtractor:
    """DINOv2 extractor with the Dinov2Model in the folder `weights`, or with ViT-L/14 of the hub (1.2 GB).

    `side` is rounded to the nearest multiple of the patch; 224 if None.

    Raises:
        UnnoiseError: when transformers is missing, or the network is missing, incomplete or cannot be
            downloaded.
    """
    network = _load(weights)
    patch = int(network.config.patch_size)
    whole = max(1, round((side or SIDE) / patch)) * patch
    require(whole <= 4096, f"The side of DINOv2 is at most 4096 pixels, but got {side}: try {SIDE}.")
    prepare, token = imagenet_preparation(whole), ClassToken(network).requires_grad_(False).eval().to(device)
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
            "'lite0'."
        ) from None
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        # Safetensors only: the other format would be unpickled.
        network, info = Dinov2Model.from_pretrained(
            str(weights or HUB),
            local_files_only=weights is not None,
            use_safetensors=True,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        wanted = f"the folder {str(weights)!r}" if weights else f"{HUB} on the Hugging Face hub"
        raise UnnoiseError(
            f"Cannot load DINOv2 from {wanted}: {first_line(error)}. Name a folder that holds its config.json "
            f"and model.safetensors with --weights FOLDER, or choose 'lite0'."
        ) from None
    finally:
        if shown:
            logging.enable_progress_bar()
    missing = sorted(info["missing_keys"])
    require(
        not missing,
        f"The weights of DINOv2 in {str(weights or HUB)!r} are incomplete ({', '.join(missing[:1])} is "
        f"missing): name another folder with --weights FOLDER.",
    )
    return network
