"""Metrics of sample quality on feature vectors or pixels, most with a 95 % confidence interval.

`kernel` and `frechet` compare two distributions, `precision_recall` tells realism from diversity,
`copy_detection` finds copies of training pictures, `histograms` compares brightness and contrast. No metric
knows a network, a data set or another metric.
"""

from unnoise.evaluation.metrics.confidence_intervals import ConfidenceInterval
from unnoise.evaluation.metrics.copy_detection import CopyDetection, detect_copies
from unnoise.evaluation.metrics.frechet import frechet_distance, frechet_interval
from unnoise.evaluation.metrics.histograms import ChannelComparison, compare_channels
from unnoise.evaluation.metrics.kernel import kernel_distance, kernel_interval
from unnoise.evaluation.metrics.precision_recall import ManifoldMetrics, manifold_metrics

__all__ = [
    "ChannelComparison",
    "ConfidenceInterval",
    "CopyDetection",
    "ManifoldMetrics",
    "compare_channels",
    "detect_copies",
    "frechet_distance",
    "frechet_interval",
    "kernel_distance",
    "kernel_interval",
    "manifold_metrics",
]
