"""Peak memory of training beside the libraries that the networks come from.

    python -m benchmarks.memory [--quick] [--device cuda]

Each library trains the same network with the same weights in a process of its own, in turns, as its users
train: whole steps of the pairs in training_pairs.py. The peak is what the system counts beyond that of the
imports, or what PyTorch has allocated on a GPU. Needs diffusers, and denoising-diffusion-pytorch for the
second pair: `make bench` installs both.
"""

import gc
import importlib
from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from typing import NamedTuple

import torch

from benchmarks.processes import in_fresh_process, own_peak
from benchmarks.report import MADE, folder_for, made, option_parser, publish, table
from benchmarks.training_pairs import BATCH, SIDE, with_diffusers, with_lucidrains
from benchmarks.turns import in_turns, medians
from unnoise.api.reporting import count
from unnoise.trainer.loop import choose_device

PAIRS = {"diffusers": with_diffusers, "lucidrains": with_lucidrains}
NAMES = {"diffusers": "diffusers, UNet2DModel", "lucidrains": "denoising-diffusion-pytorch 1.9.4, Unet"}
IMPORTS = {
    "diffusers": ("diffusers.models.unets.unet_2d", "diffusers.schedulers", "diffusers.training_utils"),
    "lucidrains": ("denoising_diffusion_pytorch", "ema_pytorch"),
}


class Peaks(NamedTuple):
    """Peak MB of training one network, in unnoise and in its own library."""

    name: str
    parameters: int
    ours: float
    theirs: float


def train(pair_name: str, side: str, device: str, steps: int, threads: int) -> dict[str, float]:
    """Peak MB of training one network in this process, and its number of parameters.

    Both networks of the pair are built, to have the same weights; the other one is freed before the first step.

    Args:
        pair_name: `diffusers` or `lucidrains`.
        side: `ours` or `theirs`.
        device, steps, threads: of the training.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    for module in IMPORTS[pair_name]:
        importlib.import_module(module)
    imported = own_peak()
    pair = PAIRS[pair_name](device)
    parameters, step = pair.parameters, pair.ours if side == "ours" else pair.theirs
    del pair
    gc.collect()
    on_gpu = torch.device(device).type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(steps):
        step()
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_gpu else own_peak() - imported
    return {"peak": peak, "parameters": parameters}


def measure(names: Sequence[str], turns: int, steps: int, device: str, threads: int) -> list[Peaks]:
    """The medians of both libraries' peaks, for each of these pairs."""

    def peak(name: str, side: str) -> float:
        numbers = in_fresh_process("benchmarks.memory:train", name, side, device, steps, threads)
        parameters[name] = int(numbers["parameters"])
        return numbers["peak"]

    found, parameters = [], dict[str, int]()
    for name in names:
        runs = {side: partial(peak, name, side) for side in ("ours", "theirs")}
        peaks = medians(in_turns(runs, turns, NAMES[name], warmup=0))
        found.append(Peaks(NAMES[name], parameters[name], peaks["ours"], peaks["theirs"]))
    return found


def peak_table(found: Sequence[Peaks]) -> str:
    """A row for each network."""
    rows = [
        [
            each.name,
            f"{each.parameters:,}",
            f"{each.ours:.0f}",
            f"{each.theirs:.0f}",
            f"{each.ours / each.theirs:.2f}",
        ]
        for each in found
    ]
    return table(["network", "parameters", "ours, MB", "theirs, MB", "ratio"], rows)


def main() -> None:
    """Measures, and writes the table."""
    parser = option_parser(__doc__)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:1")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = choose_device(options.device)
    turns, steps = (1, 1) if options.quick else (3, 5)
    names = [name for name, modules in IMPORTS.items() if find_spec(modules[0].partition(".")[0])]
    for name in NAMES.keys() - set(names):
        print(f"{NAMES[name]} is left out, because it is not installed; `make bench` installs it.")
    found = measure(names, turns, steps, str(device), options.threads)
    where = "allocated by PyTorch on the GPU" if device.type == "cuda" else "beyond the imports"
    how = (
        f"Peak MB {where}, batches of {BATCH} grey pictures of {SIDE} x {SIDE}. Medians of {turns} turns, of "
        f"{count(steps, 'step')}."
    )
    command = f"--device {options.device} --threads {options.threads}"
    blocks = {MADE: made("memory", command, how, device), "peaks": peak_table(found)}
    publish("memory", __doc__, blocks, folder_for(options))


if __name__ == "__main__":
    main()
