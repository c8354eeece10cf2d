"""Measurements as a run's folder holds them: quality.csv, noise_levels.csv and evaluation.json."""

import csv
import json
from pathlib import Path

from PIL import Image

from helpers.runs import digits
from unnoise.runs.config import RunConfig
from unnoise.runs.plan import TrainOptions, plan

QUALITY = [
    (10, 160, 5.5, 0.4321, 0.4011, 0.4655, 0.0123, 0.48, "lite0"),
    (20, 320, 11.0, 0.0771, 0.0605, 0.0912, 0.0234, 0.49, "lite0"),
    (30, 480, 16.5, 0.0912, 0.0745, 0.1072, 0.0345, 0.51, "lite0"),
]
LEVELS = [(step, snr, 0.3 + 0.01 * snr + 1 / step) for step in (10, 30) for snr in (-4.0, 0.0, 4.0)]
EVALUATION = {
    "bits_per_dim": {
        "source": "digits",
        "num_images": 89,
        "total": {"mean": 3.0246, "standard_error": 0.0331},
        "prior": {"mean": 0.000412, "standard_error": None},
    },
    "quality": {
        "step": 30,
        "facts": {
            "samples": 1024,
            "split": "held-out",
            "extractor": "lite0",
            "resize": "to 64 x 64",
            "eta": 1.0,
        },
        "scores": [
            {
                "name": "KID-lite0",
                "value": 0.01172,
                "low": 0.0071,
                "high": 0.0163,
                "better": "lower",
                "real": -2e-4,
            },
            {"name": "recall", "value": 0.713, "low": 0.68, "high": 0.745, "better": "higher", "real": None},
        ],
        "warnings": ["Fewer than 50,000 pictures."],
    },
    "memorisation": {
        "verdict": "No sign of copying: 3 % of the samples.",
        "copied": {"value": 0.032, "low": 0.022, "high": 0.041},
        "index": {"value": 0.507, "low": 0.48, "high": 0.53},
        "pixels": {"copied": {"value": 0.041, "low": 0.03, "high": 0.05}, "index": {"value": 0.512}},
        "picture": "evaluation/nearest.png",
    },
    "colours": {
        "verdict": "Samples are darker than the data.",
        "channels": [
            {
                "name": "grey",
                "mean": 0.2911,
                "std": 0.3402,
                "data_mean": 0.3053,
                "data_std": 0.3768,
                "distance": 0.018,
            }
        ],
    },
}


def write(run: Path, evaluation=EVALUATION, quality=QUALITY, levels=LEVELS) -> None:
    """Writes every file that a run's folder may hold besides those of training."""
    tables = {
        "quality.csv": ("step,images,seconds,kid,low,high,copied,nearer,extractor", quality),
        "noise_levels.csv": ("step,log_snr,loss", levels),
    }
    for name, (titles, lines) in tables.items():
        with (run / name).open("w", newline="") as file:
            csv.writer(file).writerows([titles.split(","), *lines])
    (run / "evaluation.json").write_text(json.dumps(evaluation))
    (run / "evaluation").mkdir(exist_ok=True)
    for name in ("samples", "nearest"):
        Image.new("L", (40, 20), 128).save(run / "evaluation" / f"{name}.png")


def config(*changes: str, **options: object) -> RunConfig:
    """The config of a run on the digits, with these changes of its recipe."""
    return plan(digits(), TrainOptions(changes=changes or None, **options))
