"""Judge of the speedrun: a small classifier whose weights are in the repository, and a search for copies.

    python -m benchmarks.speedrun.judging emoji-64 --data FOLDER

trains the judge of a task anew and overwrites its weights, which makes all records of the task void.
"""

import argparse
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.classifier import load_or_train
from benchmarks.judges import (
    CLASSIFIER_STEPS,
    Judge,
    PictureSet,
    classifier_judge,
    noise_pictures,
    real_pictures,
)
from benchmarks.speedrun.tasks import PICTURES, TASKS, Task
from unnoise.api.reporting import tell, tell_result
from unnoise.evaluation.metrics.copy_detection import detect_copies
from unnoise.utils.errors import UnnoiseError, require
from unnoise.utils.tensor_files import read_tensors, write_tensors

FOLDER = Path(__file__).parent / "judges"
_PIXELS_ACROSS = 16


class Verdict(NamedTuple):
    """Fréchet distance of drawn pictures, and the share of copies among them."""

    fd: float
    copies: float


def weights_file(task: Task) -> Path:
    """File of the judge's weights."""
    return FOLDER / f"{task.name}.safetensors"


def judge_of(task: Task, pictures: PictureSet, path: Path) -> Judge:
    """The judge with the weights of this file; trained, and written there, if there is none."""
    images = pictures.training
    classifier = load_or_train(
        images,
        np.arange(len(images)),
        path,
        CLASSIFIER_STEPS,
        width=32,
        halvings=2 if images.height <= 32 else 3,
        balanced=not pictures.held_out,
    )
    return classifier_judge(classifier, pictures)


def checked_pictures(path: Path, pictures: PictureSet) -> Tensor:
    """The pictures that an entry drew, bytes (1000, C, H, W), from its file of bytes (1000, H, W, C).

    Raises:
        UnnoiseError: for another shape or type.
    """
    images = pictures.training
    shape = (PICTURES, images.height, images.width, images.channels)
    require(path.is_file(), f"The entry wrote no {path.name}.")
    found = np.load(path, allow_pickle=False)
    require(
        found.shape == shape and found.dtype == np.uint8,
        f"An entry writes bytes of the shape {shape}, but {path.name} has {found.dtype} of {found.shape}.",
    )
    return torch.from_numpy(found).permute(0, 3, 1, 2).contiguous()


def verdict(judge: Judge, drawn: Tensor, pictures: PictureSet) -> Verdict:
    """Distance of drawn pictures to the references, and the share of copies of training pictures.

    Copies are looked for among pictures that are made smaller, where noise hides none of them.
    """
    found = detect_copies(small(drawn), *known_vectors(pictures))
    fd = judge.score(judge.features(torch.split(drawn, 100))).fd
    return Verdict(fd, found.copied.value)


@cache
def known_vectors(pictures: PictureSet) -> tuple[Tensor, Tensor]:
    """The training pictures and the held-out ones, as `small` makes them; once for all seeds."""
    training, held_out = (
        small(images.take(np.arange(len(images)))) for images in (pictures.training, pictures.references)
    )
    return training, held_out if pictures.held_out else held_out[:0]


def small(images: Tensor) -> Tensor:
    """Pictures of bytes made at most 16 pixels wide, as vectors (N, d)."""
    pieces = [
        functional.interpolate(piece.float() / 255, size=min(_PIXELS_ACROSS, piece.shape[-1]), mode="area")
        for piece in torch.split(images, 1000)
    ]
    return torch.cat(pieces).flatten(1)


def main() -> None:
    """Trains a judge, stores it in half precision, and says how it ranks real pictures and noise."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("--data", default="", help="a folder, or any other source of pictures with classes")
    options = parser.parse_args()
    task, path = TASKS[options.task], weights_file(TASKS[options.task])
    try:
        pictures = task.pictures(options.data)
        path.unlink(missing_ok=True)
        judge_of(task, pictures, path)
        tensors, facts = read_tensors(path)
        write_tensors(path, {name: tensor.half() for name, tensor in tensors.items()}, facts)
        judge = judge_of(task, pictures, path)
        for words, shown in (
            ("real pictures", real_pictures(pictures, PICTURES, 0)),
            ("noise", noise_pictures(pictures, PICTURES)),
        ):
            tell(f"{words}: {judge.score(judge.features(torch.split(shown, 100))).fd:.3g}")
    except UnnoiseError as error:
        raise SystemExit(str(error)) from None
    tell(judge.words)
    tell_result("judge", path)


if __name__ == "__main__":
    main()
