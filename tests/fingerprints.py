"""Fingerprints of what training and sampling compute, to compare two commits bit for bit.

    python tests/fingerprints.py --out before.json                      on one commit
    python tests/fingerprints.py --out after.json                       on another
    python tests/fingerprints.py --compare before.json after.json       exits with 1 where they differ

It knows nothing but the command line and the files that this leaves, so it outlives whatever is moved or
renamed behind them. Both commits need the same machine and PyTorch. The clock stands still, for the clock
decides when losses are averaged. `--only WORD` takes a few: those whose name holds the word.
"""

import argparse
import contextlib
import csv
import hashlib
import io
import itertools
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageSequence
from safetensors.torch import load_file

PRESETS = "nano small medium large keras-ddim clear-ddim annotated-ddpm annotated-resnet ddpm-study"
SAMPLERS = "ddim ancestral heun dpmpp_2m dpmpp_3m dpmpp_2m_sde dpmpp_3m_sde adams ipndm unipc deis consistency"
SPACINGS = "uniform trailing leading linspace log_snr karras"
SCHEDULES = """OffsetCosine Cosine Linear RectifiedFlow LinearPower CosinePower LogSNRLinear LogNoise LogSignal
    NoiseStep SignalStep LinearBeta QuadraticBeta SigmoidBeta CosineBeta SigmoidAlphaBar ZeroTerminalSNR"""

QUICK = "sampling.num_steps=4 ema.snapshots=4"
"""So that the sample sheet and the stored averages of each run take no time; neither changes the training."""

EVEN = 'noise_levels={"kind":"UniformTimes","stratified":true}'
AWARE = 'noise_levels={"kind":"LossAware","num_slices":8,"memory":5}'
CHAIN = f'schedule={{"kind":"LinearBeta","num_timesteps":50}} {EVEN}'
CLASSES, SELF = "--labels auto", "network.self_conditioning=true"
LEARNED = f"network.learned_variance=true {CHAIN}"
VARIANTS = f"""
    {CLASSES} | {SELF} | {LEARNED} | {EVEN} | {AWARE} | noise_levels.stratified=false |
    condition=timestep {CHAIN} | --accumulate 3 | --precision bfloat16 | --flip | --channels 3 | --size 16 |
    offset_noise=0.1 | objective.loss=l1 | objective.loss=huber | optimizer.name=adamw | optimizer.name=adam |
    optimizer.name=rmsprop | optimizer.max_gradient_norm=null | optimizer.decay=cosine optimizer.warmup=0.3 |
    ema.decay=0.9 ema.warmup=null | condition=variance | condition=rate | normalization=imagenet |
    normalization=symmetric | network.block=book | network.block=resnet | network.block=convnext |
    network.uncertainty=true | network.dropout=0.2 | network.attention=["none","linear"] |
    network.embedding=input network.frequencies=timesteps | network.normalization=batch |
    network.modulation=add network.upsampling=bilinear |
    {CLASSES} --accumulate 3 --precision bfloat16 --flip {AWARE} {SELF} network.dropout=0.1 offset_noise=0.1
"""
"""Options of training, and changes of the recipe."""

ALL_VARIANTS = [" ".join(words.split()) for words in VARIANTS.split("|")]
for path, kinds in {
    "noise_levels": "UniformTimes UniformPower",
    "objective.weighting": "MinSNR SoftMinSNR P2 EDM",
    f"{EVEN} schedule": SCHEDULES,
}.items():
    ALL_VARIANTS += [f'{path}={{"kind":"{kind}"}}' for kind in kinds.split()]
for one, other in itertools.product(("noise", "image", "velocity", "flow"), repeat=2):
    ALL_VARIANTS += [f"objective.predicts={one} objective.compares={other}"]

SMALL = "network.widths=[16,32] network.block_depth=1"
RUNS = {name: f"--preset {name}" for name in PRESETS.split()}
RUNS |= {f"small {words}": f"--preset nano {SMALL} {words}" for words in ALL_VARIANTS}
DRAWN = ("nano", "annotated-ddpm", f"small {CLASSES}", f"small {LEARNED}", f"small {SELF}")
"""Runs whose folders stay, since pictures are drawn with them; the others are as large as their networks."""

OPTIONS = ["--clip none", "--clip static", "--clip dynamic"]
OPTIONS += ["--sampler ddim --eta 0.5", "--sampler ddim --eta 1"]
OPTIONS += [f"--sampler {one} --spacing {other}" for one in SAMPLERS.split() for other in SPACINGS.split()]
VARIANCES = [f"--sampler ancestral --variance {kind}" for kind in ("small", "large", "learned")]
GUIDED = ("", " --guidance-rescale 0.7", " --guidance-interval 0.3 5", " --autoguidance 1.5")
DRAWINGS = {
    "nano": ["", "--autoguidance 1.5", *OPTIONS],
    "annotated-ddpm": [*OPTIONS, *VARIANCES],
    f"small {LEARNED}": VARIANCES,
    f"small {CLASSES}": ["", "--labels 3 8", *(f"--guidance 3{more}" for more in GUIDED)],
    f"small {SELF}": ["--sampler ddim", "--sampler heun", "--sampler dpmpp_2m"],
}
SHORT = "--num-images 32 --num-steps 6 --seed 5"  # bytes hide small differences: many show them
ONE = "--held-out 1 --num-steps 6 --out sheet.png --save saved.npz"
EDITS = (
    "generate --num-images 4 --num-steps 50 --out drawn.npz",
    f"generate {SHORT} --out drawn.gif",
    f"generate {SHORT} --from-held-out 1 --strength 0.6 --out drawn.npz",
    "morph --seeds 1 2 --frames 6 --num-steps 6 --out drawn.gif",
    "morph --held-out 2 --frames 6 --num-steps 6 --out drawn.gif",
    *(f"{command} {ONE}" for command in ("invert", "vary", "inpaint", "outpaint --size 12x16")),
    *(f"restore --task {task} {ONE}" for task in ("upscale --factor 2", "deblur")),
    "evaluate --bits-per-dim --ode --num-images 8 --num-terms 4 --num-steps 20",
)
"""Commands on a run; what they leave has the names after --out and --save."""


class Fingerprints:
    """Runs commands in a folder of their own, and keeps the hash of each thing that they compute."""

    def __init__(self, folder: Path, only: str) -> None:
        self.folder, self.only = folder, only
        self.found: dict[str, str] = {}

    def take(self) -> None:
        """All of them; first the runs, which are drawn with afterwards."""
        for name, words in RUNS.items():
            if self.only in f"train {name}" or name in DRAWN:
                self.train(name, f"--steps 20 {words}")
            if name not in DRAWN:
                shutil.rmtree(self.run(name), ignore_errors=True)
        if self.only in "train resumed":
            self.train("begun", "--steps 10 --preset nano")
            self.run("begun").rename(self.run("resumed"))
            self.train("resumed", "--steps 20 --preset nano --resume")
        for name, words in ((name, words) for name, each in DRAWINGS.items() for words in each):
            self.draw(name, f"generate {SHORT} {words} --out drawn.npz")
        for name, words in itertools.product(("nano", "annotated-ddpm"), EDITS):
            self.draw(name, words)
        if self.only in "ema nano" and self.call("ema nano", "ema run-nano --sigma-rel 0.08 --out mixed"):
            self.keep("ema nano", _of_tensors(load_file(self.folder / "mixed" / "model.safetensors")))

    def run(self, name: str) -> Path:
        """The folder of a run, by a name without a blank."""
        return self.folder / f"run-{name if name.isidentifier() else _of(name.encode())[:12]}"

    def train(self, name: str, given: str) -> None:
        """A run on small grey digits: its weights, averages, optimiser and losses."""
        words = given.split() if "--size" in given else ["--size", "8", *given.split()]
        changes = [QUICK, *(word for word in words if "=" in word)]
        options = [word for word in words if "=" not in word]
        fixed = f"train digits --out {self.run(name)} --batch-size 8 --seed 3 --device cpu"
        if not self.call(f"train {name}", " ".join([fixed, *options, "--set", *changes])):
            return
        for part, tensors in _parts(self.run(name)):
            self.keep(f"train {name} {part}", _of_tensors(tensors))
        with (self.run(name) / "history.csv").open(newline="", encoding="utf-8") as file:
            losses = [[value for key, value in row.items() if "loss" in key] for row in csv.DictReader(file)]
        self.keep(f"train {name} losses", _of(repr(losses).encode()))

    def draw(self, name: str, words: str) -> None:
        """Something that a run draws or measures: the pixels, noises and numbers of each file it leaves."""
        command, *options = words.split()
        files = [Path(file) for kind, file in itertools.pairwise(options) if kind in {"--out", "--save"}]
        files += [self.run(name) / "evaluation.json"] if command == "evaluate" else []
        title, given = (f"{command} {one} {' '.join(options)}" for one in (name, self.run(name)))
        if self.only in title and self.call(title, f"{given} --device cpu"):
            for file in files:
                self.keep(f"{title} ({file.suffix})", _of_file(self.folder / file))
                (self.folder / file).unlink()

    def call(self, title: str, words: str) -> bool:
        """Whether a command ends well; one that refuses is kept as that, and one that breaks is told of."""
        from unnoise.__main__ import main

        heard, sys.argv = io.StringIO(), ["unnoise", *words.split()]
        try:
            with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
                main()
        except SystemExit as end:
            if end.code in {0, None}:
                return True
            sys.stderr.write(heard.getvalue())
            self.keep(title, "refused" if end.code == 2 else f"ended with {end.code}")
        except Exception as error:  # noqa: BLE001 (all others are still to be taken)
            sys.stderr.write(heard.getvalue() + traceback.format_exc())
            self.keep(title, f"broke with {type(error).__name__}")
        return False

    def keep(self, name: str, found: str) -> None:
        """Under its name, which is its own."""
        assert name not in self.found, name
        self.found[name] = found
        print(f"{name}  {found[:12]}", flush=True)  # noqa: T201


def _parts(run: Path) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The averaged weights, each part of the last state, and the stored averages."""
    yield "model", load_file(run / "model.safetensors")
    state = load_file(max((run / "training").glob("*.safetensors")))
    for part in sorted({key.partition(".")[0] for key in state}):
        yield part, {key: value for key, value in state.items() if key.startswith(f"{part}.")}
    stored = {path.name: load_file(path) for path in (run / "ema").glob("*.safetensors")}
    yield "ema", {f"{name} {key}": value for name, each in stored.items() for key, value in each.items()}


def _of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _of_tensors(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _of_file(path: Path) -> str:
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return _of_tensors({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    if path.suffix == ".json":
        return _of(path.read_bytes())
    with Image.open(path) as image:
        return _of(b"".join(frame.convert("RGB").tobytes() for frame in ImageSequence.Iterator(image)))


def compare(before: Path, after: Path) -> int:
    """Prints the names that differ, or are only in one of the two; returns how many."""
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (before, after))
    wrong = [name for name in {**old, **new} if old.get(name) != new.get(name)]
    for name in wrong:
        sys.stdout.write(f"{name}  {' -> '.join(one.get(name, 'missing')[:12] for one in (old, new))}\n")
    sys.stdout.write(f"{len(wrong)} of {len({**old, **new})} fingerprints differ.\n")
    return len(wrong)


def main() -> int:
    """Takes the fingerprints, or compares two files of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="JSON")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--compare", type=Path, nargs=2, metavar="JSON")
    given = parser.parse_args()
    if given.compare:
        return int(compare(*given.compare) > 0)
    torch.set_num_threads(1)  # two are no faster here, and far slower beside other work
    out = given.out and given.out.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["UNNOISE_CACHE"] = f"{folder}/cache"
        time.monotonic = lambda: 0.0  # before unnoise is imported
        fingerprints = Fingerprints(Path(folder), given.only)
        fingerprints.take()
    if out:
        out.write_text(json.dumps(fingerprints.found, indent=1) + "\n", encoding="utf-8")
    return int(any(found.startswith(("broke", "ended")) for found in fingerprints.found.values()))


if __name__ == "__main__":
    sys.exit(main())
