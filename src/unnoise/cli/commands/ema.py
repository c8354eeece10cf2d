"""`unnoise ema`: another length of the average, chosen after training."""

import warnings
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from unnoise.cli.console import count, result, say


def ema(
    run: Annotated[Path, Positional, arg(metavar="RUN")],
    /,
    sigma_rel: Annotated[float, arg(metavar="S")],
    out: Annotated[Path | None, arg(metavar="DIR", help_behavior_hint="(default: RUN-emaS)")] = None,
) -> None:
    """Chooses, after training, how much of the run the averaged weights remember.

    Training with the default preset stores a few averages along the way. From these the one
    that you ask for is put together, as if it had been kept all along, and becomes a run of its own: draw from
    several with the same seeds, and keep what you like best.

    Args:
        run: The folder that unnoise train made; of other presets, with --set "ema.profiles=[0.05,0.1]".
        sigma_rel: How wide the memory is, as a part of the run, from above 0 to 0.2887 (all steps alike). Small
            follows the last steps closely, large is smoother; 0.05 to 0.15 is usual.
        out: The new run's folder: unnoise generate, morph and info take it as any other.
    """
    from unnoise.optim.power_ema import require_sigma_rel
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.snapshots import Snapshots
    from unnoise.utils.files import check_writable
    from unnoise.utils.tensor_files import write_tensors

    require_sigma_rel(sigma_rel)
    opened = Run.open(run)
    path = out or _beside(run, sigma_rel)
    Run.refuse_existing(path)
    check_writable(path / "config.json")
    made = Snapshots(run / "ema").synthesize(sigma_rel)
    if made.misfit > _POOR:
        warnings.warn(
            f"What was stored is too far: the nearest to {sigma_rel:g} that it can be mixed into is "
            f"{made.misfit:.0%} off; choose a width between the stored ones.",
            stacklevel=1,
        )
    facts = {"step": str(made.profile.step), "sigma_rel": repr(sigma_rel)}
    Run.create(path, opened.config)
    write_tensors(path / "model.safetensors", made.tensors, facts)
    say(
        f"sigma_rel {sigma_rel:g} at step {made.profile.step:,}, from {count(made.sources, 'stored average')} "
        f"({made.misfit:.1%} off the exact profile)"
    )
    result("run", path)


_POOR = 0.1


def _beside(run: Path, sigma_rel: float) -> Path:
    width = max(f"{sigma_rel:.2f}", f"{sigma_rel:g}", key=len)  # 0.10 as it was typed, and no digit lost
    folder = run if run.name else run.resolve()
    return folder.with_name(f"{folder.name}-ema{width}")
