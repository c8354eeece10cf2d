"""The same network with the same weights takes memory to train, here and in the library that it comes from.

    python -m benchmarks.memory [--quick] [--device cuda]

Each library trains in processes of its own, one after the other in turns (A B A B), as its users train: whole
steps, by the pairs of benchmarks/training_speed.py. The peak of a process is what the system counts beyond that
of its imports, or what PyTorch has allocated on a GPU; the medians of the turns count. Needs diffusers, and for
the second pair denoising-diffusion-pytorch: `make bench` makes an environment with both. Writes docs/memory.md.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from statistics import median
from typing import NamedTuple

import torch

from benchmarks.children import told_by
from benchmarks.reports import asking, folder_for, made, table, tell
from benchmarks.training_pairs import BATCH, SIDE
from unnoise.cli.console import Bar, count
from unnoise.training.loop import choose_device

NAMES: Mapping[str, str] = {
    "diffusers": "diffusers, UNet2DModel",
    "lucidrains": "denoising-diffusion-pytorch 1.9.4, Unet",
}
NEEDED = {"diffusers": "diffusers", "lucidrains": "denoising_diffusion_pytorch"}


class Peaks(NamedTuple):
    """The MB that training one network takes at most, in each library."""

    name: str
    parameters: int
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        """How much of theirs ours takes."""
        return self.ours / self.theirs


def measure(names: Sequence[str], turns: int, steps: int, device: str, threads: int) -> list[Peaks]:
    """The medians of both libraries' peaks, for each of these pairs."""
    found = []
    with Bar("Training", 2 * turns * len(names)) as shown:
        for name in names:
            taken: dict[str, list[float]] = {"ours": [], "theirs": []}
            for _ in range(turns):
                for side, peaks in taken.items():
                    told = told_by("benchmarks.memory_of_one", name, side, device, steps, threads)
                    peaks.append(told["peak"])
                    shown.advance(1)
            ours, theirs = map(median, taken.values())
            found.append(Peaks(NAMES[name], int(told["parameters"]), ours, theirs))
    return found


def page(found: Sequence[Peaks], where: str) -> list[str]:
    """The paragraphs of docs/memory.md, but for how it was made."""
    told = [f"{each.ratio:.2f} times the memory of {each.name.partition(',')[0]}" for each in found]
    rows = [
        [each.name, f"{each.parameters:,}", f"{each.ours:.0f}", f"{each.theirs:.0f}", f"{each.ratio:.2f}"]
        for each in found
    ]
    return [
        "# How much memory training takes, beside the libraries that the networks come from",
        f"Training takes {' and '.join(told)}, for the same network with the same weights.",
        f"Peak MB, {where}, of whole training steps of {BATCH} grey pictures of {SIDE} x {SIDE}, each library "
        "in a process of its own, as its users train it: weights, gradients, optimiser, average, and what the "
        "backward pass keeps.",
        table(["network", "parameters", "ours", "theirs", "ratio"], rows),
    ]


def main() -> None:
    """Measures, prints the page, and writes it."""
    parser = asking(__doc__)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:1")
    asked = parser.parse_args()
    torch.set_num_threads(asked.threads)
    device, folder = choose_device(asked.device), folder_for(asked)
    turns, steps = (1, 1) if asked.quick else (3, 5)
    names = [name for name in NAMES if find_spec(NEEDED[name])]
    for name in NAMES.keys() - set(names):
        print(f"{NEEDED[name]} is not installed, and left out: make bench installs it.")
    found = measure(names, turns, steps, str(device), asked.threads)
    where = "as PyTorch allocates them on the GPU" if device.type == "cuda" else "beyond those of the imports"
    options = f"--device {asked.device} --threads {asked.threads}"
    facts = made("memory", options, f"Medians of {turns} turns, of {count(steps, 'step')}.", device)
    tell("memory", [*page(found, where), *facts], folder)


if __name__ == "__main__":
    main()
