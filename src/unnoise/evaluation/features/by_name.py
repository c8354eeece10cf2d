"""Feature extractors by name: lite0, learned, inception, dinov2, or a network file."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch

from unnoise.data.batches import Indices
from unnoise.evaluation.features import lite0, network_file
from unnoise.evaluation.features.dinov2 import dinov2_extractor
from unnoise.evaluation.features.extractor import Extractor, digest_of
from unnoise.evaluation.features.feature_cache import FeatureCache, FingerprintedPictures
from unnoise.evaluation.features.inception import SIDE, inception_extractor
from unnoise.evaluation.features.learned import (
    FeatureNetwork,
    LearnedConfig,
    learned_extractor,
    new_network,
    preparation,
    train_feature_network,
)
from unnoise.utils.errors import require

ShareProgress: TypeAlias = Callable[[float], object]
"""Called with the share that is done, from 0 to 1."""

NAMES = ("auto", "lite0", "learned", "inception", "dinov2")

_VERSION = 1
_FILES = network_file.TORCHSCRIPT + network_file.ONNX


def choose_extractor(
    name: str,
    pictures: FingerprintedPictures,
    training: Indices,
    *,
    weights: Path | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    side: int | None = None,
    cache: Path | None = None,
    progress: ShareProgress | None = None,
) -> Extractor:
    """The extractor of this name: one of `NAMES`, or a .pt, .ts or .onnx file.

    Args:
        name: `auto` is lite0, or learned where lite0 is not installed.
        pictures, training: pictures to train `learned` on; their size also sets the default side of lite0.
        weights: a file for inception, a folder for dinov2.
        seed: of the training of `learned`.
        device: where the network runs (.onnx: always on the CPU).
        side: side of the input of lite0, dinov2 and network files, in pixels; None for the default.
        cache: folder of learned networks and downloads; None is the cache of the data.
        progress: called during the training of `learned`.

    Raises:
        UnnoiseError: for an unknown name, a setting without effect, or missing packages or files.
    """
    if name == "auto":
        name = "lite0" if lite0.is_installed() else "learned"
    is_file = Path(name).suffix.lower() in _FILES
    require(
        is_file or name in NAMES,
        f"There is no extractor {name!r}: choose from {', '.join(NAMES)}, or name a TorchScript (.pt, .ts) or "
        f"ONNX (.onnx) file.",
    )
    _refuse_settings_without_effect(name, weights, side)
    if is_file:
        return network_file.extractor_from_file(Path(name), side=side, device=device)
    if name == "inception":
        return inception_extractor(weights=weights, device=device, cache=cache)
    if name == "dinov2":
        return dinov2_extractor(weights=weights, side=side, device=device)
    if name == "lite0":
        return lite0.lite0_extractor(side=side or lite0_side(pictures, training), device=device)
    return _learned(pictures, training, seed, device, cache, progress)


def lite0_side(pictures: FingerprintedPictures, training: Indices) -> int:
    """Default side of lite0's input: 64 for pictures of up to 64 pixels a side, 112 for larger ones."""
    height, width = pictures.take(training[:1]).shape[2:]
    return lite0.SMALL if max(height, width) <= lite0.SMALL else lite0.LARGE


def _refuse_settings_without_effect(name: str, weights: Path | None, side: int | None) -> None:
    require(
        weights is None or name in {"inception", "dinov2"},
        f"--weights has an effect with 'inception' (a file) and 'dinov2' (a folder) only, but the extractor is "
        f"{name!r}: leave it out.",
    )
    require(
        side is None or name not in {"inception", "learned"},
        f"The side of {name!r} is fixed ({SIDE if name == 'inception' else 'that of the pictures'}), but got "
        f"{side}: leave it out.",
    )


def _learned(
    pictures: FingerprintedPictures,
    training: Indices,
    seed: int,
    device: torch.device | str,
    cache: Path | None,
    progress: ShareProgress | None,
) -> Extractor:
    """The learned extractor, from the cache where it was trained on the same pictures, seed and settings."""
    config, store = LearnedConfig(), FeatureCache(cache)
    prepare = preparation(pictures, training)
    chosen = training.astype("<i8").tobytes()
    key = digest_of(_VERSION, pictures.fingerprint, chosen, seed, config, prepare)
    network = new_network(config, prepare, seed)
    if not _restore(network, store, key):
        for state in train_feature_network(pictures, training, config, seed=seed, device=device):
            network = state.network
            if progress is not None:
                progress(state.step / state.num_steps)
        store.write("extractors", key, network.state_dict())
    elif progress is not None:
        progress(1.0)
    return learned_extractor(network, prepare, device=device)


def _restore(network: FeatureNetwork, store: FeatureCache, key: str) -> bool:
    """Loads the cached weights into the network; False where there are none that fit."""
    tensors, wanted = store.read("extractors", key), network.state_dict()
    fits = tensors is not None and tensors.keys() == wanted.keys()
    if tensors is None or not fits or any(tensors[name].shape != wanted[name].shape for name in wanted):
        return False
    network.load_state_dict(tensors)
    return True
