"""Pictures in, feature vectors out: what distances between sets of pictures are measured in.

Offline unless asked otherwise: `lite0` has its weights inside a package, `learned` learns them from the
pictures at hand. `inception` and `dinov2` are what others publish numbers of, and any TorchScript or ONNX file
will do:

    extractor = choose("auto", images, split.training)
    ours = reference_features(extractor, images, split.held_out)  # float32 (N, d), cached
    print(extractor.name, extractor.resize)  # a number without these says little
"""

from unnoise.evaluation.features.choice import NAMES, choose
from unnoise.evaluation.features.extractor import Extractor, NetworkExtractor
from unnoise.evaluation.features.learned import LearnedConfig, learn, learned
from unnoise.evaluation.features.reference import KnownPictures, features_of, reference_features

__all__ = [
    "NAMES",
    "Extractor",
    "KnownPictures",
    "LearnedConfig",
    "NetworkExtractor",
    "choose",
    "features_of",
    "learn",
    "learned",
    "reference_features",
]
