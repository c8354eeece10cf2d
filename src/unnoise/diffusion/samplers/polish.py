r"""Polish: a last call of the network with the finished picture, which takes away grain.

    x  <-  x_0(a x; sigma, a),        sigma / a = level,    sigma^2 + a^2 = 1

Here x_0 is the image that the network predicts. No noise is added: it is told of more noise than there is.

A network that has not learned for long makes small errors at each step. At the next step it takes them for
detail, since it has only ever seen true pictures with noise (exposure bias: 2305.15583, 2308.15321). Once it
expects more noise, such grain looks like noise to it, and it takes the grain away; as a last call does with the
noise that a sampler leaves (2009.05475, section 3).

The higher the level, the more is taken away, at last true detail, too. `evaluation.grain` finds a level at
which samples have about as much fine detail as pictures.
"""

from collections.abc import Iterator

import torch

from unnoise.diffusion.normalizer import Normalizer
from unnoise.diffusion.tensors import Denoise, Images, Prediction


def polish(images: Images, denoise: Denoise, level: float, normalizer: Normalizer | None = None) -> Images:
    """Finished images, (B, C, H, W) as the network sees them, without grain.

    Args:
        denoise: for these images, without guidance: guidance would sharpen the grain.
        level: noise / signal that it is told of, above 0.
        normalizer: theirs, by which they are first cut to the range of pixels, as a saved picture is.
    """
    if normalizer is not None:
        images = normalizer.normalize(normalizer.denormalize(images))
    ratio = torch.full((len(images), 1, 1, 1), level, dtype=images.dtype, device=images.device)
    signal_rates = (1 + ratio.square()).rsqrt()
    return denoise(signal_rates * images, ratio * signal_rates, signal_rates).images


def polished(
    walk: Iterator[Prediction], denoise: Denoise, level: float, normalizer: Normalizer | None = None
) -> Iterator[Prediction]:
    """The same walk, whose last images are polished; its last noises are those of the walk."""
    last = next(walk)
    for prediction in walk:
        yield last
        last = prediction
    with torch.no_grad():
        images = polish(last.images, denoise, level, normalizer)
    yield last._replace(images=images)
