"""Check that the judges rank spoilt pictures as people would.

    python -m benchmarks.judge_check --images emoji=FOLDER --size 32

Prints Fréchet distances of 500 real pictures that were spoilt in known ways, and of the samples of contenders
with seed 0 (if `python -m benchmarks.time_to_quality` has kept them): by each judge, by a classifier that was
trained without balancing the classes and without moving the pictures, and by that of the speedrun, if it is for
these pictures.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.classifier import load_or_train
from benchmarks.contenders import ENTRIES
from benchmarks.judges import (
    CLASSIFIER_STEPS,
    Judge,
    PictureSet,
    classifier_file,
    classifier_judge,
    judges,
    noise_pictures,
    picture_set,
    real_pictures,
)
from benchmarks.report import table
from benchmarks.speedrun.judging import judge_of, weights_file
from benchmarks.speedrun.tasks import TASKS
from benchmarks.time_to_quality import Amounts, Job
from unnoise.utils.tensor_files import read_tensors

_COUNT = 500


def spoilt(real: Tensor) -> Mapping[str, Tensor]:
    """The pictures, bytes (B, C, H, W), spoilt in known ways."""
    generator, floats = torch.Generator().manual_seed(0), real.float()
    noises = 255 * torch.randn(real.shape, generator=generator)
    changed = {
        "real": floats,
        "noise of 0.1": floats + 0.1 * noises,
        "noise of 0.2": floats + 0.2 * noises,
        "blurred by 3 x 3": functional.avg_pool2d(floats, 3, 1, 1, count_include_pad=False),
        "half another picture": (floats + floats.roll(1, 0)) / 2,
        "noise of 0.4": floats + 0.4 * noises,
    }
    return {name: one.round().clamp(0, 255).to(torch.uint8) for name, one in changed.items()}


def drawn(pictures: PictureSet, work: Path, minutes: float) -> Mapping[str, Tensor]:
    """The last samples of each contender, where they are kept."""
    job = Job(pictures, 0, Amounts(minutes), work)
    files = {each: job.samples_file(each, job.amounts.minutes) for each in ENTRIES}
    return {
        ENTRIES[each].title: read_tensors(file)[0]["pictures"] for each, file in files.items() if file.is_file()
    }


def seen_by(pictures: PictureSet, work: Path, *, quick: bool) -> Mapping[str, Judge]:
    """The judges of the comparison, and a classifier with plain training."""
    images, steps = pictures.training, 50 if quick else CLASSIFIER_STEPS
    found = {judge.name: judge for judge in judges(pictures, work, quick=quick)}
    if images.labels is not None:
        file = classifier_file(pictures, work, "plain-classifier")
        plain = load_or_train(images, np.arange(len(images)), file, steps, width=32)
        found["classes, plain training"] = classifier_judge(plain, pictures)
    for task in TASKS.values():
        if task.fingerprint == images.fingerprint and weights_file(task).is_file():
            found["of the speedrun"] = judge_of(task, pictures, weights_file(task))
    return found


def compared(
    pictures: PictureSet, work: Path, minutes: float = Amounts().minutes, *, quick: bool = False
) -> str:
    """The table: a row for each kind of pictures, a column for each judge."""
    count = min(_COUNT, len(pictures.training) // 2)
    kinds = {**spoilt(real_pictures(pictures, count, 0)), **drawn(pictures, work, minutes)}
    kinds["nothing but noise"] = noise_pictures(pictures, count)
    found = seen_by(pictures, work, quick=quick)
    rows = [
        [
            kind,
            *(f"{judge.score(judge.features(torch.split(shown, 100))).fd:.2f}" for judge in found.values()),
        ]
        for kind, shown in kinds.items()
    ]
    return table(["", *found], rows)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", default="fashion-mnist", metavar="[NAME=]SOURCE")
    parser.add_argument("--size", type=int, metavar="PIXELS", help="of pictures from a folder")
    parser.add_argument(
        "--minutes", type=float, default=Amounts().minutes, help="of training of the contenders"
    )
    parser.add_argument("--quick", action="store_true", help="classifiers that hardly learned")
    parser.add_argument("--work", type=Path, default=Path("build/time_to_quality"))
    options = parser.parse_args()
    name, _, source = options.images.rpartition("=")
    work = options.work / "quick" if options.quick else options.work
    print(compared(picture_set(source, options.size, name), work, options.minutes, quick=options.quick))


if __name__ == "__main__":
    main()
