"""One name chooses an extractor: `choose("lite0", pictures, training)`."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch

from unnoise.data.batches import Indices
from unnoise.evaluation.features import given, lite0
from unnoise.evaluation.features.dinov2 import dinov2
from unnoise.evaluation.features.extractor import Extractor, digest_of
from unnoise.evaluation.features.feature_network import FeatureNetwork
from unnoise.evaluation.features.inception import SIDE, inception
from unnoise.evaluation.features.learned import LearnedConfig, learn, learned, new_network, preparation
from unnoise.evaluation.features.reference import KnownPictures
from unnoise.evaluation.features.store import Store
from unnoise.utils.errors import require

Show: TypeAlias = Callable[[float], object]
"""Is told how much is done, from 0 to 1."""

NAMES = ("auto", "lite0", "learned", "inception", "dinov2")

_VERSION = 1
_FILES = given.TORCHSCRIPT + given.ONNX


def choose(
    name: str,
    pictures: KnownPictures,
    training: Indices,
    *,
    weights: Path | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    side: int | None = None,
    cache: Path | None = None,
    progress: Show | None = None,
) -> Extractor:
    """The extractor of that name: one of `NAMES`, or a .pt, .ts or .onnx file.

    Args:
        name: `auto` is lite0, or learned where that is not installed.
        pictures, training: what learned trains on; lite0 settles its side by them.
        weights: a file for inception, a folder for dinov2.
        seed: of learned.
        device: where the network runs (.onnx: always on the CPU).
        side: of the square that pictures are brought to, for lite0, dinov2 and files; None for their own.
        cache: where learned networks and downloads are kept; None is that of the data.
        progress: is called while learned trains.

    Raises:
        UnnoiseError: for an unknown name, a setting that has no effect, or whatever the extractor misses.
    """
    if name == "auto":
        name = "lite0" if lite0.is_installed() else "learned"
    is_file = Path(name).suffix.lower() in _FILES
    require(
        is_file or name in NAMES,
        f"An extractor is {', '.join(NAMES)}, or a file of TorchScript (.pt, .ts) or ONNX (.onnx), "
        f"but got {name!r}.",
    )
    _refuse_idle(name, weights, side)
    if is_file:
        return given.given(Path(name), side=side, device=device)
    if name == "inception":
        return inception(weights=weights, device=device, cache=cache)
    if name == "dinov2":
        return dinov2(weights=weights, side=side, device=device)
    if name == "lite0":
        return lite0.lite0(side=side or lite0_side(pictures, training), device=device)
    return _learned(pictures, training, seed, device, cache, progress)


def lite0_side(pictures: KnownPictures, training: Indices) -> int:
    """64 for pictures of up to 64 pixels a side, 112 for larger ones."""
    height, width = pictures.take(training[:1]).shape[2:]
    return lite0.SMALL if max(height, width) <= lite0.SMALL else lite0.LARGE


def _refuse_idle(name: str, weights: Path | None, side: int | None) -> None:
    require(
        weights is None or name in {"inception", "dinov2"},
        f"Weights are named for 'inception' (a file) and 'dinov2' (a folder), but got them for {name!r}: "
        f"leave them out.",
    )
    require(
        side is None or name not in {"inception", "learned"},
        f"{name!r} has a side of its own ({SIDE if name == 'inception' else 'the pictures'}), but got {side}: "
        f"leave it out.",
    )


def _learned(
    pictures: KnownPictures,
    training: Indices,
    seed: int,
    device: torch.device | str,
    cache: Path | None,
    progress: Show | None,
) -> Extractor:
    """From the cache where the same pictures were learned with the same seed and settings."""
    config, store = LearnedConfig(), Store(cache)
    prepare = preparation(pictures, training)
    chosen = training.astype("<i8").tobytes()
    key = digest_of(_VERSION, pictures.fingerprint, chosen, seed, config, prepare)
    network = new_network(config, prepare, seed)
    if not _restore(network, store, key):
        for state in learn(pictures, training, config, seed=seed, device=device):
            network = state.network
            if progress is not None:
                progress(state.step / state.num_steps)
        store.write("extractors", key, network.state_dict())
    elif progress is not None:
        progress(1.0)
    return learned(network, prepare, device=device)


def _restore(network: FeatureNetwork, store: Store, key: str) -> bool:
    tensors, wanted = store.read("extractors", key), network.state_dict()
    fits = tensors is not None and tensors.keys() == wanted.keys()
    if tensors is None or not fits or any(tensors[name].shape != wanted[name].shape for name in wanted):
        return False
    network.load_state_dict(tensors)
    return True
