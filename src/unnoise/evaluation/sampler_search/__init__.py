"""Which sampler draws the best pictures of a run for the fewest calls of its network? Each is tried."""

from unnoise.evaluation.sampler_search.candidates import (
    CALLS,
    SPACINGS,
    Candidate,
    all_samplers,
    candidate,
    candidates,
)
from unnoise.evaluation.sampler_search.choice import RULE, Choice, recommend
from unnoise.evaluation.sampler_search.drawings import errors, side_by_side
from unnoise.evaluation.sampler_search.real import Real, real_pictures
from unnoise.evaluation.sampler_search.storing import keep, restore, write
from unnoise.evaluation.sampler_search.trials import (
    LONG_CALLS,
    Asked,
    Bench,
    Trial,
    affordable,
    drawing,
    long_walk,
    seen_by,
    solve,
)

__all__ = [
    "CALLS",
    "LONG_CALLS",
    "RULE",
    "SPACINGS",
    "Asked",
    "Bench",
    "Candidate",
    "Choice",
    "Real",
    "Trial",
    "affordable",
    "all_samplers",
    "candidate",
    "candidates",
    "drawing",
    "errors",
    "keep",
    "long_walk",
    "real_pictures",
    "recommend",
    "restore",
    "seen_by",
    "side_by_side",
    "solve",
    "write",
]
