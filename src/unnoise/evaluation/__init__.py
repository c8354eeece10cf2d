"""How good is a run? Samples beside real pictures, pictures it has not seen, and what it knows by heart."""

from unnoise.evaluation.budget import Stopwatch, affordable
from unnoise.evaluation.circumstances import Circumstances, Weights, in_words, plain_quality, weights_of
from unnoise.evaluation.colours import Colours, check_colours, some_pixels
from unnoise.evaluation.judges import LEAST, Compared, Panel, judges, known_split, panel
from unnoise.evaluation.likelihoods import Estimate, Measured, default_steps, measure_bound, measure_flow
from unnoise.evaluation.memorisation import Memorisation, memorisation, nearest_pairs
from unnoise.evaluation.result_file import read_evaluation, write_evaluation
from unnoise.evaluation.samples import classes_like, draw, drawn_share
from unnoise.evaluation.scores import Score, Sets, scores, sets, warnings

__all__ = [
    "LEAST",
    "Circumstances",
    "Colours",
    "Compared",
    "Estimate",
    "Measured",
    "Memorisation",
    "Panel",
    "Score",
    "Sets",
    "Stopwatch",
    "Weights",
    "affordable",
    "check_colours",
    "classes_like",
    "default_steps",
    "draw",
    "drawn_share",
    "in_words",
    "judges",
    "known_split",
    "measure_bound",
    "measure_flow",
    "memorisation",
    "nearest_pairs",
    "panel",
    "plain_quality",
    "read_evaluation",
    "scores",
    "sets",
    "some_pixels",
    "warnings",
    "weights_of",
    "write_evaluation",
]
