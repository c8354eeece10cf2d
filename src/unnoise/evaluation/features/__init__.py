"""Feature extractors: networks that turn pictures into the vectors that metrics compare.

`lite0` (weights inside a package) and `learned` (trained on the pictures at hand) work offline; published FID
and KID use `inception`; `dinov2`, TorchScript and ONNX files are further choices:

    extractor = choose_extractor("auto", images, split.training)
    features = cached_features(extractor, images, split.held_out)  # float32 (N, d)
    print(extractor.name, extractor.resize)  # distances are comparable only where these are equal
"""

from unnoise.evaluation.features.by_name import NAMES, choose_extractor
from unnoise.evaluation.features.extractor import Extractor, NetworkExtractor
from unnoise.evaluation.features.feature_cache import FingerprintedPictures, cached_features, features_of
from unnoise.evaluation.features.learned import LearnedConfig, learned_extractor, train_feature_network

__all__ = [
    "NAMES",
    "Extractor",
    "FingerprintedPictures",
    "LearnedConfig",
    "NetworkExtractor",
    "cached_features",
    "choose_extractor",
    "features_of",
    "learned_extractor",
    "train_feature_network",
]
