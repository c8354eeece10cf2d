"""Program for tests: three training steps of a tiny network, plain and compiled; prints their losses as JSON.

`python tests/helpers/compiled_steps.py BACKEND`. The compiler cannot trace the type checks that the tests put
around every function, so it needs a process without them.
"""

import json
import sys
import tempfile
from pathlib import Path

import torch

from helpers.runs import digits, start
from unnoise.runs.compiling import compile_training
from unnoise.trainer.profiling import count_eagerly
from unnoise.utils.device_speed import FlopCounter

SMALLEST = ("network.widths=[8]", 'network.attention=["none"]')
"""Each kernel is compiled by itself, which takes seconds."""


def main(backend: str) -> None:
    compile_for_real = torch.compile
    if backend == "aot_eager":
        torch.compile = lambda module: compile_for_real(module, backend=backend)
    pictures = digits().take(range(16))
    with tempfile.TemporaryDirectory() as folder:
        config = start(Path(folder) / "r", recipe_changes=SMALLEST).config
    plain, faster = config.build(), config.build()
    seconds = compile_training(faster, pictures)
    losses = []
    with torch.compiler.set_stance("fail_on_recompile"):  # the rehearsal has compiled everything
        for diffusion in (plain, faster):
            diffusion.generator.manual_seed(0)
            losses.append([float(diffusion.train_step(pictures).loss) for _ in range(3)])
    counted = []
    for diffusion in (plain, faster):
        with count_eagerly(FlopCounter()) as counter:
            diffusion.train_step(pictures)
        counted.append(counter.flops)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as recorder:
        faster.train_step(pictures)
    found = {
        "seconds": seconds,
        "losses": losses,
        "flops": counted,
        "still compiled": any(event.key == "CompiledFunction" for event in recorder.key_averages()),
        "keys": [sorted(each.weights.average.source.state_dict()) for each in (plain, faster)],
        "averaged": [sorted(each.ema.network.state_dict()) for each in (plain, faster)],
    }
    print(json.dumps(found))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1])
