"""Evaluation of a run: scores of samples, bits per dimension, memorisation and colours."""

from unnoise.evaluation.colours import ColourReport, check_colours, reference_pixels
from unnoise.evaluation.dataset_likelihood import (
    LikelihoodProgress,
    MeanEstimate,
    default_steps,
    measure_bound,
    measure_flow,
)
from unnoise.evaluation.memorisation import MemorisationReport, check_memorisation, nearest_pairs
from unnoise.evaluation.reference_pictures import (
    MIN_PICTURES,
    ReferencePictures,
    ReferenceSplit,
    choose_references,
    unseen_pictures,
)
from unnoise.evaluation.results import (
    EvaluatedWeights,
    ScoringConditions,
    conditions_text,
    evaluated_weights,
    read_evaluation,
    scores_record,
    write_evaluation,
)
from unnoise.evaluation.samples import classes_as_in, draw_progress, draw_samples
from unnoise.evaluation.scores import FeatureSets, Score, compute_scores, feature_sets, score_warnings
from unnoise.evaluation.time_budget import SCORES_SHARE, Pace, TimeBudget, affordable_pictures

__all__ = [
    "MIN_PICTURES",
    "SCORES_SHARE",
    "ColourReport",
    "EvaluatedWeights",
    "FeatureSets",
    "LikelihoodProgress",
    "MeanEstimate",
    "MemorisationReport",
    "Pace",
    "ReferencePictures",
    "ReferenceSplit",
    "Score",
    "ScoringConditions",
    "TimeBudget",
    "affordable_pictures",
    "check_colours",
    "check_memorisation",
    "choose_references",
    "classes_as_in",
    "compute_scores",
    "conditions_text",
    "default_steps",
    "draw_progress",
    "draw_samples",
    "evaluated_weights",
    "feature_sets",
    "measure_bound",
    "measure_flow",
    "nearest_pairs",
    "read_evaluation",
    "reference_pixels",
    "score_warnings",
    "scores_record",
    "unseen_pictures",
    "write_evaluation",
]
