"""`unnoise info`: examine pictures before training, or show what a run holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from unnoise.api.doctor_report import class_names, tell_checkup
from unnoise.api.effects import refuse_without_effect
from unnoise.api.loading import load_pictures
from unnoise.api.output_paths import check_sheet
from unnoise.api.reporting import amount, count, tell_output, tell_result
from unnoise.api.tables import fact_table
from unnoise.api.terminal import error_console
from unnoise.cli import arguments as cli

if TYPE_CHECKING:
    from unnoise.reports.doctor import Checkup
    from unnoise.runs.plan import TrainOptions


_MINUTES = 10.0


def info(
    what: Annotated[str, Positional, arg(metavar="PICTURES|RUN")],
    /,
    out: Annotated[Path | None, cli.option("PNG", "no sheet")] = None,
    minutes: Annotated[float | None, cli.option("MINUTES", "10")] = None,
    size: cli.Size = None,
    channels: cli.Channels = None,
    batch_size: cli.BatchSize = None,
    preset: cli.Preset = None,
    device: cli.Device = "auto",
    devices: cli.Devices = 1,
    fit: cli.Fit = None,
    background: cli.Background = None,
    range: cli.Range = (),  # noqa: A002 (that is its name)
    layout: cli.Layout = None,
    flip: cli.Flip = False,
    split_folders: cli.SplitFolders = False,
    labels: cli.Labels = None,
    strict_labels: cli.StrictLabels = False,
    no_measure: cli.Flag = False,
) -> None:
    """Examine pictures before training on them, or show how far a run has come.

    Of pictures it prints counts, formats and sizes, names those that are unreadable, blank, odd or duplicates,
    and estimates memory, disk and time on this machine by training for a second. It ends with the command to
    train, and writes nothing but the sheet.

      unnoise info photos --minutes 60 --out sheet.png
      unnoise info runs/photos

    Args:
        what: Anything that unnoise train takes, or the folder of a run, to which no options apply.
        out: Where to write a sheet of pictures as training would see them, and of duplicates.
        minutes: How long you would train, in minutes.
        no_measure: Skip the second of training, and with it the estimates of time and memory.
    """
    read = {"size": size, "channels": channels, "fit": fit, "background": background, "range": range}
    read |= {"layout": layout, "flip": flip, "labels": labels}
    read |= {"split_folders": split_folders, "strict_labels": strict_labels}
    planned = {"minutes": minutes, "batch_size": batch_size, "preset": preset}
    planned |= {"device": None if device == "auto" else device, "devices": None if devices == 1 else devices}
    if _is_run(Path(what)):
        where, remedy = f"for a run such as {what}", f"unnoise report {what} shows what it has learned."
        refuse_without_effect({"out": out}, where, remedy)
        refuse_without_effect(planned | read | {"no_measure": no_measure}, where)
        tell_output(fact_table(_run_facts(Path(what))))
        return
    if labels is None:
        refuse_without_effect({"strict_labels": strict_labels}, "without --labels", cli.LABELS_REMEDY)
    from unnoise.runs.config import Budget
    from unnoise.runs.plan import TrainOptions

    if out is not None:
        check_sheet(out)
    shape = {"size": cli.parse_size(size), "channels": channels, "fit": fit, "layout": layout, "labels": labels}
    values = {"background": cli.parse_colour(background), "ranges": cli.parse_range(range)}
    budget = Budget(unit="minutes", amount=_MINUTES if minutes is None else minutes)
    kept = {"preset": preset, "batch_size": batch_size, "flip": flip or None, "devices": devices}
    groups = {"split_folders": split_folders or None, "strict_labels": strict_labels or None}
    options = TrainOptions(**shape, **values, **kept, **groups, budget=budget)  # type: ignore[arg-type]
    _show(_examine(what, options, device, measure=not no_measure), out)


def _is_run(path: Path) -> bool:
    """Also true for a file of a run, or a pickle, so that one place says what is wrong with it."""
    from unnoise.utils.files import is_run_folder
    from unnoise.utils.pickles import PICKLE_SUFFIXES, pickle_kind

    inside = path.name in {"config.json", "model.safetensors"} or path.suffix.lower() in PICKLE_SUFFIXES
    return is_run_folder(path) or (path.is_file() and (inside or pickle_kind(path) is not None))


def _examine(source: str, options: "TrainOptions", device: str, *, measure: bool) -> "Checkup":
    from unnoise.data import summarize
    from unnoise.reports.doctor import examine

    summary = summarize(source, layout=options.layout, progress=True)
    images = load_pictures(source, options)  # as `unnoise train` will, which then finds them in the cache
    with error_console().status("Examining the pictures") as status:

        def progress(task: str, part: float) -> None:
            status.update(f"{task}, {part:.0%}" if part else task)

        return examine(summary, images, options, device=device, measure=measure, progress=progress)


def _show(checkup: "Checkup", sheet: Path | None) -> None:
    tell_checkup(checkup)
    if sheet is not None:
        from unnoise.pictures import save_png
        from unnoise.reports.doctor import checkup_sheet

        save_png(checkup_sheet(checkup), sheet)
        tell_result("sheet", sheet)


def _run_facts(path: Path) -> dict[str, str]:
    from unnoise.networks import build
    from unnoise.runs.checkpoint import Run
    from unnoise.runs.history import read_history

    run = Run.open(path)
    config, history = run.config, read_history(path / "history.csv")
    data = config.data
    parameters = sum(p.numel() for p in build(config.recipe.network).parameters())
    facts = {
        "run": str(path),
        "pictures": f"{data.source or 'none yet'}, {data.height} x {data.width}, "
        f"{count(data.channels, 'channel')}, "
        f"{data.held_out:,} held out{' by their folders' if data.held_out_ranges else ''}",
        "preset": f"{config.preset} (predicts the {config.recipe.objective.predicts}, "
        f"{type(config.recipe.schedule).__name__} schedule)",
        "network": f"{parameters:,} parameters, widths {' '.join(map(str, config.recipe.network.widths))}",
        "budget": amount(config.budget.amount, config.budget.unit),
    }
    if config.recipe.noise_shift != 1:
        facts["noise shift"] = f"{config.recipe.noise_shift:g}"
    if config.init is not None:
        facts["started from"] = f"the averaged weights of {config.init}"
    if config.imported is not None:
        facts["imported from"] = config.imported
    if data.classes:
        facts["classes"] = class_names(data.classes)
    if data.without_class:
        facts["no class"] = count(data.without_class, "picture")
    if history:
        last = history[-1]
        held_out = [row.held_out_loss for row in history if row.held_out_loss is not None]
        facts["so far"] = f"{last.step:,} steps, {last.images:,} images, {last.seconds / 60:.1f} minutes"
        if held_out:
            facts["held-out loss"] = f"{held_out[-1]:.4f}, lowest {min(held_out):.4f}"
    facts["weights"] = "model.safetensors" if (path / "model.safetensors").is_file() else "none saved yet"
    return facts
