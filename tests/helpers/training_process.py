"""Process of a distributed training in tests: trains the run in a folder.

It writes what only this process knows (losses, averages, gradients, pictures of a batch) to rank-N.npz. A
second argument is the number of images that fit into the memory of each rank but the first.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import PartialState

from helpers.runs import digits
from helpers.scarce_memory import ScarceMemory
from unnoise.data.batches import Batches, split
from unnoise.runs.checkpoint import Run
from unnoise.trainer.distributed import end_process_group
from unnoise.trainer.loop import train


def main(folder: str, scarce: str = "") -> None:
    """Trains the run, and writes the losses and the averaged weights of this process to `rank-N.npz`."""
    torch.set_num_threads(1)
    processes = PartialState(cpu=True)
    run = Run.open(Path(folder))
    if scarce and not processes.is_main_process:
        ScarceMemory(pytest.MonkeyPatch(), training=int(scarce))
    held = {}
    build = type(run.config).build

    def remembered(config, device="cpu"):
        held["diffusion"] = build(config, device)
        return held["diffusion"]

    type(run.config).build = remembered  # `train` does not return its diffusion
    images = digits()
    losses = [step.result.loss.item() for step in train(run, images)]
    diffusion = held["diffusion"]
    average = {f"ema.{name}": tensor.numpy() for name, tensor in diffusion.ema.network.state_dict().items()}
    # The gradients of the last step are still there.
    trained = diffusion.weights.average.source.named_parameters()
    gradients = {f"grad.{name}": p.grad.numpy() for name, p in trained if p.grad is not None}
    training = split(len(images), run.config.data.held_out, run.config.seed).training
    rank, count = processes.process_index, processes.num_processes
    batches = Batches(
        images, training, run.config.recipe.batch_size, run.config.seed, rank=rank, processes=count
    )
    pictures = batches[3].numpy()
    np.savez(Path(folder) / f"rank-{rank}.npz", losses=losses, pictures=pictures, **average, **gradients)
    held.clear()  # it holds the group
    del diffusion, trained
    end_process_group(processes)
