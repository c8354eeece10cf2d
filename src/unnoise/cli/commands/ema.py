"""`unnoise ema`: choose the length of the weight average (EMA) after training."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from tyro.conf import arg

from unnoise.api.reporting import count, tell, tell_result
from unnoise.cli import arguments as cli

_POOR = 0.1
"""A misfit above this is worth a warning."""


def ema(
    run: cli.Run,
    /,
    sigma_rel: Annotated[float, arg(metavar="S")],
    out: Annotated[Path | None, cli.option("DIR", "RUN-emaS")] = None,
) -> None:
    """Choose the length of the weight average (EMA) after training, and write it as a new run.

    The default preset stores a few averages while it trains, from which any other length is put together. Try
    some, draw the same seeds with each, and keep the best.

      unnoise ema runs/photos --sigma-rel 0.10
      unnoise generate runs/photos-ema0.10

    Args:
        sigma_rel: Width of the average as a part of the training, above 0 and up to 0.2887 (all steps count
            alike). Small ones follow the last steps closely, large ones are smoother; 0.05 to 0.15 is usual.
        out: Folder of the new run.
    """
    from unnoise.optim.power_ema import require_sigma_rel
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.lock import lock_run
    from unnoise.runs.snapshots import Snapshots
    from unnoise.utils.files import check_writable
    from unnoise.utils.tensor_files import write_tensors

    require_sigma_rel(sigma_rel)
    opened = Run.open(run)
    path = out or _default_path(run, sigma_rel)
    Run.refuse_existing(path)
    check_writable(path / "config.json")
    made = Snapshots(run / "ema").synthesize(sigma_rel)
    if made.misfit > _POOR:
        warnings.warn(
            f"The stored averages cannot be combined into sigma_rel {sigma_rel:g} well: the result is "
            f"{made.misfit:.0%} off. Choose a width between the stored ones.",
            stacklevel=1,
        )
    facts = {"step": str(made.profile.step), "sigma_rel": repr(sigma_rel)}
    with lock_run(path):
        Run.create(path, replace(opened.config, init=None))
        write_tensors(path / "model.safetensors", made.tensors, facts)
    tell(
        f"Average of sigma_rel {sigma_rel:g} at step {made.profile.step:,}, from "
        f"{count(made.sources, 'stored average')} ({made.misfit:.1%} off the exact one)."
    )
    tell_result("run", path)


def _default_path(run: Path, sigma_rel: float) -> Path:
    width = max(f"{sigma_rel:.2f}", f"{sigma_rel:g}", key=len)  # 0.10 as it was typed, and no digit lost
    folder = run if run.name else run.resolve()
    return folder.with_name(f"{folder.name}-ema{width}")
