"""Fingerprints of what training and sampling compute, to compare two commits bit for bit.

    python tests/fingerprints.py --out before.json                      on one commit
    python tests/fingerprints.py --out after.json                       on another
    python tests/fingerprints.py --compare before.json after.json       exits with 1 where they differ

It knows nothing but the command line and the files that it leaves, so it outlives whatever is moved or renamed
behind them. Both commits need the same machine, PyTorch and number of threads. The clock stands still, for by
the clock it is decided when losses are averaged and samples are looked at.

`--only WORD` takes the fingerprints of a few: those whose name holds the word.
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

PRESETS = ("nano", "small", "medium", "large", "keras-ddim", "clear-ddim", "annotated-ddpm")
PRESETS += ("annotated-resnet", "ddpm-study")
SAMPLERS = ("ddim", "ancestral", "euler", "heun", "dpmpp_2m", "dpmpp_3m", "dpmpp_2m_sde", "dpmpp_3m_sde")
SAMPLERS += ("adams", "ipndm", "unipc", "deis", "second_order", "consistency")
SPACINGS = ("uniform", "trailing", "leading", "linspace", "log_snr", "karras")
SCHEDULES = ("OffsetCosine", "Cosine", "Linear", "RectifiedFlow", "LinearPower", "CosinePower", "LogSNRLinear")
SCHEDULES += ("LogNoise", "LogSignal", "NoiseStep", "SignalStep", "LinearBeta", "QuadraticBeta", "SigmoidBeta")
SCHEDULES += ("CosineBeta", "SigmoidAlphaBar", "ZeroTerminalSNR")

EVEN = 'noise_levels={"kind": "UniformTimes", "stratified": true}'
AWARE = 'noise_levels={"kind": "LossAware", "num_slices": 8, "memory": 5}'
CHAIN = 'schedule={"kind": "LinearBeta", "num_timesteps": 50}'
CLASSES = ("--labels", "auto")
QUICK = ("sampling.num_steps=4", "ema.snapshots=4")
"""So that the sample sheet and the stored averages of each run take no time; neither changes the training."""

CHANGES: dict[str, tuple[str, ...]] = {
    "loss-aware": (AWARE,),
    "uniform-times": ('noise_levels={"kind": "UniformTimes"}',),
    "stratified-times": (EVEN,),
    "uniform-power": ('noise_levels={"kind": "UniformPower"}',),
    "stratified-power": ('noise_levels={"kind": "UniformPower", "stratified": true}',),
    "plain-log-normal": ("noise_levels.stratified=false",),
    "offset-noise": ("offset_noise=0.1",),
    "self-conditioning": ("network.self_conditioning=true",),
    "learned-variance": ("network.learned_variance=true", CHAIN, EVEN),
    "uncertainty": ("network.uncertainty=true",),
    "dropout": ("network.dropout=0.2",),
    "min-snr": ('objective.weighting={"kind": "MinSNR"}',),
    "soft-min-snr": ('objective.weighting={"kind": "SoftMinSNR"}',),
    "p2": ('objective.weighting={"kind": "P2"}',),
    "edm": ('objective.weighting={"kind": "EDM"}',),
    "no-longest-gradient": ("optimizer.max_gradient_norm=null",),
    "cosine-decay": ("optimizer.decay=cosine", "optimizer.warmup=0.3"),
    "constant-average": ("ema.decay=0.9", "ema.warmup=null"),
    "linear-attention": ('network.attention=["none", "linear"]',),
    "input-embedding": ("network.embedding=input", "network.frequencies=timesteps"),
    "added-embedding": ("network.modulation=add", "network.upsampling=bilinear"),
    "batch-norm": ("network.normalization=batch",),
    "timesteps": ("condition=timestep", CHAIN, EVEN),
}
CHANGES |= {f"loss-{name}": (f"objective.loss={name}",) for name in ("l1", "huber")}
CHANGES |= {f"optimizer-{name}": (f"optimizer.name={name}",) for name in ("adamw", "adam", "rmsprop")}
CHANGES |= {f"block-{name}": (f"network.block={name}",) for name in ("book", "resnet", "convnext")}
CHANGES |= {f"condition-{name}": (f"condition={name}",) for name in ("variance", "rate")}
CHANGES |= {f"normalization-{name}": (f"normalization={name}",) for name in ("imagenet", "symmetric")}
CHANGES |= {f"schedule-{name}": (f'schedule={{"kind": "{name}"}}', EVEN) for name in SCHEDULES}
TARGETS = ("noise", "image", "velocity", "flow")
CHANGES |= {
    f"predicts-{one}-compares-{other}": (f"objective.predicts={one}", f"objective.compares={other}")
    for one, other in itertools.product(TARGETS, TARGETS)
}

OPTIONS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "accumulate": (("--accumulate", "3"), ()),
    "classes": (CLASSES, ()),
    "bfloat16": (("--precision", "bfloat16"), ()),
    "flip": (("--flip",), ()),
    "colour": (("--channels", "3"), ()),
    "patches": (("--size", "16"), ()),
    "all-at-once": (
        (*CLASSES, "--accumulate", "3", "--precision", "bfloat16", "--flip"),
        (AWARE, "network.self_conditioning=true", "network.dropout=0.1", "offset_noise=0.1"),
    ),
}

RUNS = {preset: (("--preset", preset), ()) for preset in PRESETS}
RUNS |= {f"nano-{name}": (("--preset", "nano"), changes) for name, changes in CHANGES.items()}
RUNS |= {f"nano-{name}": (("--preset", "nano", *given), more) for name, (given, more) in OPTIONS.items()}
DRAWN = ("nano", "annotated-ddpm", "nano-classes", "nano-learned-variance", "nano-self-conditioning")
"""Runs whose folders stay, since pictures are drawn with them; the others are as large as their networks."""

SHORT = ("--num-images", "4", "--num-steps", "6", "--seed", "5")
GUIDED = ("--guidance", "3")
DRAWINGS: list[tuple[str, tuple[str, ...]]] = [
    ("nano", ("--num-images", "4")),
    ("nano", (*SHORT, "--autoguidance", "1.5")),
    ("annotated-ddpm", ("--num-images", "4", "--num-steps", "200")),
    *(("nano-classes", (*SHORT, *more)) for more in ((), GUIDED, ("--labels", "3", "8"))),
    ("nano-classes", (*SHORT, *GUIDED, "--guidance-rescale", "0.7")),
    ("nano-classes", (*SHORT, *GUIDED, "--guidance-interval", "0.3", "5")),
    ("nano-classes", (*SHORT, *GUIDED, "--autoguidance", "1.5")),
    *(("nano-self-conditioning", (*SHORT, "--sampler", name)) for name in ("ddim", "heun", "dpmpp_2m")),
]
for name in ("nano", "annotated-ddpm"):
    DRAWINGS += [(name, (*SHORT, "--clip", clip)) for clip in ("none", "static", "dynamic")]
    DRAWINGS += [(name, (*SHORT, "--sampler", "ddim", "--eta", eta)) for eta in ("0.5", "1")]
for name in ("annotated-ddpm", "nano-learned-variance"):
    VARIANCES = ("small", "large", "learned")
    DRAWINGS += [(name, (*SHORT, "--sampler", "ancestral", "--variance", kind)) for kind in VARIANCES]
for name, sampler, spacing in itertools.product(("nano", "annotated-ddpm"), SAMPLERS, SPACINGS):
    DRAWINGS.append((name, (*SHORT, "--sampler", sampler, "--spacing", spacing)))

ONE = ("--held-out", "1", "--num-steps", "6")
BITS = ("--num-images", "8", "--num-terms", "4", "--num-steps", "20")
EDITS: list[tuple[str, ...]] = [
    ("morph", "--seeds", "1", "2", "--frames", "6", "--num-steps", "6", "--out", "morph.gif"),
    ("morph", "--held-out", "2", "--frames", "6", "--num-steps", "6", "--out", "way.gif"),
    ("generate", *SHORT, "--out", "process.gif"),
    ("generate", *SHORT, "--from-held-out", "1", "--strength", "0.6", "--out", "redrawn.npz"),
    ("invert", *ONE, "--out", "invert.png", "--save", "invert.npz"),
    ("vary", *ONE, "--out", "vary.png", "--save", "vary.npz"),
    ("inpaint", *ONE, "--out", "inpaint.png", "--save", "inpaint.npz"),
    ("outpaint", *ONE, "--size", "12x16", "--out", "outpaint.png", "--save", "outpaint.npz"),
    ("restore", *ONE, "--task", "upscale", "--out", "upscale.png", "--save", "upscale.npz"),
    ("restore", *ONE, "--task", "deblur", "--out", "deblur.png", "--save", "deblur.npz"),
    ("evaluate", "--bits-per-dim", "--ode", *BITS),
]
"""Commands on a run; what they leave is looked for under the names after --out and --save."""


class Fingerprints:
    """Runs commands in a folder of their own, and keeps the hash of each thing that they compute."""

    def __init__(self, folder: Path, only: str) -> None:
        self.folder, self.only = folder, only
        self.found: dict[str, str] = {}
        self.broken = 0

    def take(self) -> None:
        """All of them, in the order of what is there to be drawn with."""
        for name, (options, changes) in RUNS.items():
            if self.only in f"train {name}" or name in DRAWN:
                self.train(name, *options, "--steps", "20", "--set", *QUICK, *changes)
            if name not in DRAWN:
                shutil.rmtree(self.folder / name, ignore_errors=True)
        if self.only in "train resumed":
            for steps in (("10",), ("20", "--resume")):
                self.train("resumed", "--preset", "nano", "--steps", *steps)
        for name, options in DRAWINGS:
            self.draw(name, "generate", *options, "--out", "drawn.npz")
        for name, (command, *options) in itertools.product(("nano", "annotated-ddpm"), EDITS):
            self.draw(name, command, *options)
        if self.only in "ema nano" and self.call(
            "ema nano", "ema", "nano", "--sigma-rel", "0.08", "--out", "mixed"
        ):
            self.keep("ema nano", _of_tensors(load_file(self.folder / "mixed" / "model.safetensors")))

    def train(self, name: str, *options: str) -> None:
        """A run on small grey digits: its weights, averages, optimiser and losses."""
        size = () if "--size" in options else ("--size", "8")
        fixed = ("--batch-size", "8", "--seed", "3", "--device", "cpu", "--out", name)
        if not self.call(f"train {name}", "train", "digits", *fixed, *size, *options):
            return
        for part, tensors in _parts(self.folder / name):
            self.keep(f"train {name} {part}", _of_tensors(tensors))
        with (self.folder / name / "history.csv").open(newline="", encoding="utf-8") as file:
            losses = [[value for key, value in row.items() if "loss" in key] for row in csv.DictReader(file)]
        self.keep(f"train {name} losses", _of(repr(losses).encode()))

    def draw(self, name: str, command: str, *options: str) -> None:
        """Something that a run draws or measures: the pixels, noises and numbers of each file it leaves."""
        files = [value for option, value in itertools.pairwise(options) if option in {"--out", "--save"}]
        files += [f"{name}/evaluation.json"] if command == "evaluate" else []
        files += ["way.png"] if "way.gif" in files else []
        words = " ".join(word for word in options if word not in files)
        title = f"{command} {name} {words.replace('--out', '').replace('--save', '')}".strip()
        if self.only in title and self.call(title, command, name, *options, "--device", "cpu"):
            for file in files:
                self.keep(f"{title} {Path(file).suffix}", _of_file(self.folder / file))
                (self.folder / file).unlink()

    def call(self, title: str, *arguments: str) -> bool:
        """Whether a command ends well; one that refuses is kept as that, and one that breaks is told of."""
        from unnoise.__main__ import main

        heard, sys.argv = io.StringIO(), ["unnoise", *arguments]
        try:
            with contextlib.redirect_stdout(heard), contextlib.redirect_stderr(heard):
                main()
        except SystemExit as end:
            if end.code in {0, None}:
                return True
            self.keep(title, "refused" if end.code == 2 else f"ended with {end.code}")
        except Exception as error:  # noqa: BLE001 (all others are still to be taken)
            sys.stderr.write(heard.getvalue() + traceback.format_exc())
            self.keep(title, f"broke with {type(error).__name__}")
            self.broken += 1
        return False

    def keep(self, name: str, found: str) -> None:
        """Under its name, which is its own."""
        assert name not in self.found, name
        self.found[name] = found
        sys.stdout.write(f"{name}  {found[:12]}\n")
        sys.stdout.flush()


def _parts(run: Path) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The averaged weights, each part of the last state, and the stored averages."""
    yield "model", load_file(run / "model.safetensors")
    state = load_file(max((run / "training").glob("*.safetensors")))
    for part in sorted({key.partition(".")[0] for key in state}):
        yield part, {key: value for key, value in state.items() if key.startswith(f"{part}.")}
    stored = {path.name: load_file(path) for path in sorted((run / "ema").glob("*.safetensors"))}
    if stored:
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
        left, right = (found.get(name, "missing")[:12] for found in (old, new))
        sys.stdout.write(f"{name}  {left} -> {right}\n")
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
    torch.set_num_threads(2)
    out = given.out.resolve() if given.out else None
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        os.environ["UNNOISE_CACHE"] = f"{folder}/cache"
        time.monotonic = lambda: 0.0  # before unnoise is imported
        fingerprints = Fingerprints(Path(folder), given.only)
        fingerprints.take()
    if out:
        out.write_text(json.dumps(fingerprints.found, indent=1) + "\n", encoding="utf-8")
    return int(fingerprints.broken > 0)


if __name__ == "__main__":
    sys.exit(main())
