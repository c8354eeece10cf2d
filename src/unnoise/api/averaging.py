"""Length of the weight average, chosen after training (post-hoc EMA, EDM2, 2312.02696, section 3)."""

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from unnoise.api.reporting import count, tell

if TYPE_CHECKING:
    from unnoise.api.opening import OpenRun

_POOR = 0.1
"""A misfit above this is worth a warning."""


def ema(run: "OpenRun", sigma_rel: float, *, out: str | Path | None = None) -> "OpenRun":
    """Chooses the length of the weight average (EMA) after training, and writes it as a new run.

    Our own presets store a few averages while they train, from which any other length is put together.

    Args:
        run: the run.
        sigma_rel: Width of the average as a part of the training, above 0 and up to 0.2887 (all steps count
            alike). Small ones follow the last steps closely, large ones are smoother; 0.05 to 0.15 is usual.
        out: Folder of the new run.

    Raises:
        UnnoiseError: for a width out of range, too few stored averages, or a folder that holds a run.
    """
    from unnoise.optim.power_ema import require_sigma_rel
    from unnoise.runs.autoguidance import copy_weaker
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.lock import lock_run
    from unnoise.runs.snapshots import Snapshots
    from unnoise.utils.files import check_writable
    from unnoise.utils.tensor_files import write_tensors

    require_sigma_rel(sigma_rel)
    path = _default_path(run.path, sigma_rel) if out is None else Path(out)
    Run.refuse_existing(path)
    check_writable(path / "config.json")
    made = Snapshots(run.path / "ema").synthesize(sigma_rel)
    if made.misfit > _POOR:
        warnings.warn(
            f"The stored averages cannot be combined into sigma_rel {sigma_rel:g} well: the result is "
            f"{made.misfit:.0%} off. Choose a width between the stored ones.",
            stacklevel=2,
        )
    facts = {"step": str(made.profile.step), "sigma_rel": repr(sigma_rel)}
    with lock_run(path):
        new = Run.create(path, replace(run.config, init=None))  # an average begins with no other run's weights,
        if run.config.distilled:  # though what it came from stays known
            new = new.with_config(run.config)
        write_tensors(path / "model.safetensors", made.tensors, facts)
        copy_weaker(run.folder, path)
    tell(
        f"Average of sigma_rel {sigma_rel:g} at step {made.profile.step:,}, from "
        f"{count(made.sources, 'stored average')} ({made.misfit:.1%} off the exact one)."
    )
    return type(run)(new, run.device)


def _default_path(run: Path, sigma_rel: float) -> Path:
    width = max(f"{sigma_rel:.2f}", f"{sigma_rel:g}", key=len)  # 0.10 as it was typed, and no digit lost
    folder = run.resolve() if run.name in ("", "..") else run
    return folder.with_name(f"{folder.name}-ema{width}")
