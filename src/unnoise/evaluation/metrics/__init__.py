"""How good are samples? Vectors in, numbers with intervals out; a metric knows neither network nor pictures.

`kernel` and `frechet` compare two distributions as wholes, `manifold` asks what is realistic and what is met,
`copying` what was learned by heart, `colours` whether brightness and contrast are those of the data.
"""

from unnoise.evaluation.metrics.colours import ColourCheck, colours
from unnoise.evaluation.metrics.copying import Copying, copying
from unnoise.evaluation.metrics.frechet import frechet_distance, frechet_interval
from unnoise.evaluation.metrics.intervals import Interval
from unnoise.evaluation.metrics.kernel import kernel_distance, kernel_interval
from unnoise.evaluation.metrics.manifold import Manifold, manifold

__all__ = [
    "ColourCheck",
    "Copying",
    "Interval",
    "Manifold",
    "colours",
    "copying",
    "frechet_distance",
    "frechet_interval",
    "kernel_distance",
    "kernel_interval",
    "manifold",
]
