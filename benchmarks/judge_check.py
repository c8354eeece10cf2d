"""A judge is sound where it puts spoilt pictures in the order in which people would.

    python -m benchmarks.judge_check --images emoji=FOLDER --size 32

Prints the Frechet distances of 500 real pictures that were spoilt in known ways, and of what contenders drew
with seed 0 (where `python -m benchmarks.time_to_quality` kept it), by each judge of the comparison, and by a
classifier that learned all pictures as often and unmoved, as a set of few pictures should not be learned.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.contenders import ENTRIES
from benchmarks.judging import load_or_train
from benchmarks.picture_judge import (
    CLASSIFIER_STEPS,
    Exam,
    Judge,
    exam,
    judges,
    noise_pictures,
    of_classifier,
    real_pictures,
)
from benchmarks.reports import table
from benchmarks.time_to_quality import Amounts, Job
from unnoise.utils.tensor_files import read_tensors

_COUNT = 500


def spoilt(pictures: Tensor) -> Mapping[str, Tensor]:
    """Bytes (B, C, H, W), ever worse."""
    generator, floats = torch.Generator().manual_seed(0), pictures.float()
    noises = 255 * torch.randn(pictures.shape, generator=generator)
    changed = {
        "real": floats,
        "noise of 0.1": floats + 0.1 * noises,
        "noise of 0.2": floats + 0.2 * noises,
        "blurred by 3 x 3": functional.avg_pool2d(floats, 3, 1, 1, count_include_pad=False),
        "half another picture": (floats + floats.roll(1, 0)) / 2,
        "noise of 0.4": floats + 0.4 * noises,
    }
    return {name: one.round().clamp(0, 255).to(torch.uint8) for name, one in changed.items()}


def drawn(questions: Exam, work: Path) -> Mapping[str, Tensor]:
    """What contenders drew of this set in the end, where it is kept."""
    job = Job(questions, 0, Amounts(), work)
    files = {each: job.pictures(each, job.amounts.minutes) for each in ENTRIES}
    return {
        ENTRIES[each].title: read_tensors(file)[0]["pictures"] for each, file in files.items() if file.is_file()
    }


def seen_by(questions: Exam, work: Path, *, quick: bool) -> Mapping[str, Judge]:
    """The judges of the comparison, and the classifier that learned plainly."""
    images, steps = questions.training, 50 if quick else CLASSIFIER_STEPS
    found = {judge.name: judge for judge in judges(questions, work, quick=quick)}
    if images.labels is not None:
        file = work / f"{questions.name}.plain-classifier.safetensors"
        plain = load_or_train(images, np.arange(len(images)), file, steps, width=32)
        found["classes, learned plainly"] = of_classifier(plain, questions)
    return found


def compared(questions: Exam, work: Path, *, quick: bool = False) -> str:
    """The table: a row for each kind of pictures, a column for each judge."""
    count = min(_COUNT, len(questions.training) // 2)
    kinds = {**spoilt(real_pictures(questions, count, 0)), **drawn(questions, work)}
    kinds["nothing but noise"] = noise_pictures(questions, count)
    found = seen_by(questions, work, quick=quick)
    rows = [
        [
            kind,
            *(f"{judge.score(judge.features(torch.split(pictures, 100))).fd:.2f}" for judge in found.values()),
        ]
        for kind, pictures in kinds.items()
    ]
    return table(["", *found], rows)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="fashion-mnist", metavar="[NAME=]SOURCE")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from a folder")
    parser.add_argument("--quick", action="store_true", help="classifiers that hardly learned")
    parser.add_argument("--work", type=Path, default=Path("build/time_to_quality"))
    asked = parser.parse_args()
    name, _, source = asked.images.rpartition("=")
    work = asked.work / "quick" if asked.quick else asked.work
    print(compared(exam(source, asked.size, name), work, quick=asked.quick))


if __name__ == "__main__":
    main()
