"""What one library takes to train one network, told by a process that trains nothing else.

    python -m benchmarks.memory_of_one PAIR SIDE DEVICE STEPS THREADS

PAIR is `diffusers` or `lucidrains`, SIDE `ours` or `theirs`. Both networks are built, to have the same weights,
and the other one is let go before the first step. Prints the MB of the peak: of the device where it is a GPU,
else what came on top of what the imports take.
"""

import gc
import importlib
import json
import sys

import torch

from benchmarks.children import own_peak
from benchmarks.training_pairs import with_diffusers, with_lucidrains

PAIRS = {"diffusers": with_diffusers, "lucidrains": with_lucidrains}
IMPORTED = {
    "diffusers": ("diffusers.models.unets.unet_2d", "diffusers.schedulers", "diffusers.training_utils"),
    "lucidrains": ("denoising_diffusion_pytorch", "ema_pytorch"),
}


def main() -> None:
    """Imports, trains, and tells."""
    name, side, device, steps, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    for module in IMPORTED[name]:
        importlib.import_module(module)
    imported = own_peak()
    pair = PAIRS[name](device)
    parameters, step = pair.parameters, pair.ours if side == "ours" else pair.theirs
    del pair
    gc.collect()
    on_card = torch.device(device).type == "cuda"
    if on_card:
        torch.cuda.reset_peak_memory_stats(device)
    for _ in range(int(steps)):
        step()
    peak = torch.cuda.max_memory_allocated(device) / 2**20 if on_card else own_peak() - imported
    print(json.dumps({"peak": peak, "parameters": parameters}))


if __name__ == "__main__":
    main()
