"""Search for the sampler that draws the best pictures of a run with the fewest calls of its network."""

from unnoise.evaluation.sampler_search.candidates import (
    CALLS,
    SAMPLERS,
    SPACINGS,
    Candidate,
    SearchSpace,
    best_candidate,
    candidates,
)
from unnoise.evaluation.sampler_search.charts import comparison_charts, sample_sheet
from unnoise.evaluation.sampler_search.inputs import (
    SearchReferences,
    affordable_samples,
    pixel_features,
    search_references,
    seeded_sampling,
)
from unnoise.evaluation.sampler_search.result import (
    ENOUGH_SAMPLES,
    RULE,
    Recommendation,
    keep_sampling,
    recommend,
    restore_sampling,
    write_result,
)
from unnoise.evaluation.sampler_search.search import (
    REFERENCE_CALLS,
    Trial,
    TrialRunner,
    reference_candidate,
    search_samplers,
)

__all__ = [
    "CALLS",
    "ENOUGH_SAMPLES",
    "REFERENCE_CALLS",
    "RULE",
    "SAMPLERS",
    "SPACINGS",
    "Candidate",
    "Recommendation",
    "SearchReferences",
    "SearchSpace",
    "Trial",
    "TrialRunner",
    "affordable_samples",
    "best_candidate",
    "candidates",
    "comparison_charts",
    "keep_sampling",
    "pixel_features",
    "recommend",
    "reference_candidate",
    "restore_sampling",
    "sample_sheet",
    "search_references",
    "search_samplers",
    "seeded_sampling",
    "write_result",
]
