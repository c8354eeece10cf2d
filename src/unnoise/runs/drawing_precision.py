"""Precision in which a run draws on a CPU: bfloat16 where nobody can see the difference, else float32.

    mean |x_bfloat16 - x_float32| < 1 / 255        for pictures of the same seeds, with values from 0 to 1

It is measured once for each file of weights and way to draw, and kept in the run's folder. A run that learned
in float32 draws in float32. Likelihoods and walks back to the noise are computed in float32 always.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from contextlib import suppress
from copy import copy
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.utils import json_text
from unnoise.utils.files import atomic_write, stamp
from unnoise.utils.precision import DeviceCapabilities, Precision, bfloat16_is_fast, set_tf32

VISIBLE = 1 / 255
"""One step of a colour with 8 bits."""
_PICTURES, _STEPS, _SECONDS = 4, 30, 2.0
_FILE = "drawing.json"


def drawing_precision(run: Path, denoiser: Denoiser, sampling: Sampling, weights: Path) -> Precision:
    """The precision in which to draw with these weights on the denoiser's device.

    Args:
        run: folder where what was measured is kept.
        denoiser: with these weights, in the precision in which the run learned.
        sampling: by which is drawn.
        weights: the file of the weights.
    """
    if denoiser.precision != "bfloat16":
        return denoiser.precision
    if denoiser.device.type != "cpu":
        able = DeviceCapabilities.of(denoiser.device)
        return "bfloat16" if able.bfloat16 else able.default_precision  # emulated, it is many times slower
    if not bfloat16_is_fast():
        return "float32"
    known, these = _known(run / _FILE), stamp(weights.stat())
    now = f"{these} {_way(denoiser, sampling)}"
    name = weights.name if denoiser.autoguidance is None else f"{weights.name}, guided"
    of_these = {key: each for key, each in known.get(name, {}).items() if key.startswith(these)}
    found = of_these.get(now)
    if not isinstance(found, float):
        found = difference(denoiser, sampling)
        known[name] = {**of_these, now: found}  # other weights are gone
        # A folder that cannot be written to is measured each time.
        with suppress(OSError), atomic_write(run / _FILE) as file:
            file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return "bfloat16" if found < VISIBLE else "float32"


def difference(denoiser: Denoiser, sampling: Sampling, clock: Callable[[], float] = time.perf_counter) -> float:
    """Mean absolute difference of pictures in bfloat16 and in float32, of values from 0 to 1.

    Of at most four pictures in 30 steps, and of large networks of fewer, so that nobody waits for long; 1 where
    one of them is not finite.
    """
    sampling = _shortened(sampling)
    abilities = denoiser.abilities
    whole, half = copy(denoiser), copy(denoiser)
    whole.precision, half.precision = "float32", "bfloat16"
    found, began = list[float](), clock()
    while not found or (len(found) < _PICTURES and clock() - began < _SECONDS):
        seed = len(found)
        # A seed has its cluster, but no class.
        drawn = abilities.num_classes and abilities.clusters is None
        classes = torch.tensor([seed % abilities.num_classes]) if drawn else None
        with torch.no_grad():
            pair = [one.generate(1, seed=seed, sampling=sampling, classes=classes) for one in (whole, half)]
        found.append(float((pair[0].clamp(0, 1) - pair[1].clamp(0, 1)).abs().mean()))
    mean = fmean(found)
    return mean if math.isfinite(mean) else 1.0


def exact(denoiser: Denoiser) -> Denoiser:
    """The same in float32, for likelihoods and walks back to the noise: rounding would change their numbers."""
    other = copy(denoiser)
    other.precision = "float32"
    set_tf32(other.device, other.precision)
    return other


def _way(denoiser: Denoiser, sampling: Sampling) -> str:
    """A few letters that differ for another sampling or guidance."""
    guide = denoiser.autoguidance and (denoiser.autoguidance.guidance, denoiser.autoguidance.name)
    return hashlib.sha256(repr((_shortened(sampling), guide)).encode()).hexdigest()[:8]


def _shortened(sampling: Sampling) -> Sampling:
    """As it is measured: of long walks some steps are enough."""
    return replace(sampling, num_steps=min(sampling.num_steps, _STEPS))


def _known(file: Path) -> dict[str, dict[str, object]]:
    """File of weights -> what it was when it was measured -> the difference."""
    try:
        found = json_text.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {name: each for name, each in entries if isinstance(each, dict)}
