"""Precision in which a run draws on a CPU: bfloat16 where nobody can see the difference, else float32.

    mean |x_bfloat16 - x_float32| < 1 / 255        for pictures of the same seeds, with values from 0 to 1

It is measured once for each file of weights, and kept in the run's folder. A run that learned in float32 draws
in float32.
"""

import json
from contextlib import suppress
from pathlib import Path

import torch

from unnoise.diffusion.denoiser import Denoiser
from unnoise.diffusion.samplers.sampling import Sampling
from unnoise.utils import json_text
from unnoise.utils.files import atomic_write, stamp
from unnoise.utils.precision import Precision, bfloat16_is_fast

VISIBLE = 1 / 255
"""One step of a colour with 8 bits."""
_PICTURES = 4
_FILE = "drawing.json"


def drawing_precision(run: Path, denoiser: Denoiser, sampling: Sampling, weights: Path) -> Precision:
    """The precision in which to draw with these weights on the denoiser's device.

    Args:
        run: folder where what was measured is kept.
        denoiser: with these weights, in the precision in which the run learned.
        sampling: by which the run draws if nothing else is asked for.
        weights: the file of the weights.
    """
    if denoiser.precision != "bfloat16" or denoiser.device.type != "cpu":
        return denoiser.precision
    if not bfloat16_is_fast():
        return "float32"
    known, now = _known(run / _FILE), stamp(weights.stat())
    found = known.get(weights.name, {}).get(now)
    if not isinstance(found, float):
        found = difference(denoiser, sampling)
        known[weights.name] = {now: found}
        # A folder that cannot be written to is measured each time.
        with suppress(OSError), atomic_write(run / _FILE) as file:
            file.write_text(json.dumps(known, indent=1) + "\n", encoding="utf-8")
    return "bfloat16" if found < VISIBLE else "float32"


def difference(denoiser: Denoiser, sampling: Sampling) -> float:
    """Mean absolute difference of some pictures in bfloat16 and in float32, of values from 0 to 1."""
    classes = torch.zeros(_PICTURES, dtype=torch.long) if denoiser.abilities.num_classes else None
    drawn, before = [], denoiser.precision
    for precision in ("bfloat16", "float32"):
        denoiser.precision = precision
        with torch.no_grad():
            drawn.append(denoiser.generate(_PICTURES, sampling=sampling, classes=classes).clamp(0, 1))
    denoiser.precision = before
    found = float((drawn[0] - drawn[1]).abs().mean())
    return found if found == found else 1.0  # not a number: weights that draw nothing differ in any case


def _known(file: Path) -> dict[str, dict[str, object]]:
    """File of weights -> what it was when it was measured -> the difference."""
    try:
        found = json_text.parse(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    entries = found.items() if isinstance(found, dict) else ()
    return {name: each for name, each in entries if isinstance(each, dict)}
