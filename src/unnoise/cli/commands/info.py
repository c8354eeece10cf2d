"""`unnoise info`: what a run or a source of pictures holds, before a step is spent."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from tyro.conf import Positional, arg

from unnoise.cli.checkup_tables import class_names, fact_table, show_checkup
from unnoise.cli.console import result, say, stderr
from unnoise.cli.loading import load_pictures
from unnoise.cli.sizes import parse_colour, parse_size

Fit: TypeAlias = Annotated[Literal["crop", "pad"] | None, arg(help_behavior_hint="(default: crop)")]
Out: TypeAlias = Annotated[Path | None, arg(metavar="SHEET.png", help_behavior_hint="(default: none)")]

if TYPE_CHECKING:
    from unnoise.reports.doctor import Checkup
    from unnoise.runs.plan import Wishes


def info(
    what: Annotated[str, Positional, arg(metavar="RUN_OR_PICTURES")],
    /,
    out: Out = None,
    minutes: Annotated[float, arg(metavar="N")] = 10.0,
    size: Annotated[str | None, arg(metavar="H[xW]", help_behavior_hint="(default: theirs, or 64)")] = None,
    channels: Annotated[int | None, arg(metavar="C", help_behavior_hint="(default: 3, or 1 if grey)")] = None,
    batch_size: Annotated[int | None, arg(metavar="B", help_behavior_hint="(default: the preset's)")] = None,
    preset: Annotated[str | None, arg(metavar="NAME", help_behavior_hint="(default: what suits)")] = None,
    device: str = "auto",
    fit: Fit = None,
    background: Annotated[str | None, arg(metavar="COLOUR", help_behavior_hint="(default: white)")] = None,
    flip: bool = False,
    labels: Annotated[str | None, arg(metavar="auto|FILE", help_behavior_hint="(default: none)")] = None,
    no_measure: bool = False,
) -> None:
    """Tells what is wrong with pictures and what training on them would take, or how far a run came.

    Counts, formats and sizes; unreadable, blank, odd and double pictures by name; whether classes are even; and
    memory, disk and time on this machine, from a second of training that leaves nothing behind.

    Args:
        what: A run's folder, or anything that unnoise train takes; a run needs none of the options.
        out: Where to draw a sheet of pictures as training would see them, and of copies.
        minutes: How long training would last.
        size: Height, or height x width, in pixels; the common size of the pictures up to 128, else 64.
        channels: 1 grey, 3 colour, 2 or 4 with transparency.
        batch_size: Images a step.
        preset: A whole recipe, as of unnoise presets; else the size that suits device, pictures and minutes.
        device: auto, cpu, cuda, cuda:1 or mps.
        fit: How other shapes become this one: crop the middle, or pad with the background.
        background: Colour behind transparent pictures and around padded ones.
        flip: Mirror each picture left to right, half of the times.
        labels: Classes to learn: auto for those of the source (folders, IDX, .npz), or an IDX or .csv file.
        no_measure: Leave out the second of training.
    """
    if _names_a_run(Path(what)):
        _show_run(Path(what), out)
        return
    from unnoise.runs.config import Budget
    from unnoise.runs.plan import Wishes

    _check(out)
    wishes = Wishes(
        preset=preset,
        size=parse_size(size),
        channels=channels,
        batch_size=batch_size,
        fit=fit,
        background=parse_colour(background),
        flip=flip or None,
        labels=labels,
        budget=Budget(unit="minutes", amount=minutes),
    )
    _show(_examined(what, wishes, device, measure=not no_measure), out)


def _check(path: Path | None) -> None:
    """A sheet that can't be drawn is refused before the pictures are looked at."""
    from unnoise.utils.files import require_suffix
    from unnoise.utils.files import check_writable

    if path is not None:
        require_suffix(path, ".png")
        check_writable(path)


def _show(checkup: "Checkup", sheet: Path | None) -> None:
    from rich.console import Console

    show_checkup(checkup, Console(highlight=False))
    if sheet is not None:
        from unnoise.pictures import save_png
        from unnoise.reports.doctor import checkup_sheet

        save_png(checkup_sheet(checkup), sheet)
        result("sheet", sheet)


def _names_a_run(path: Path) -> bool:
    """Also where somebody names a file of a run, or a pickle: what is said of it is said in one place."""
    from unnoise.utils.pickles import PICKLE_SUFFIXES, pickle_kind

    inside = path.name in {"config.json", "model.safetensors"} or path.suffix.lower() in PICKLE_SUFFIXES
    return (path / "config.json").exists() or (path.is_file() and (inside or pickle_kind(path) is not None))


def _show_run(path: Path, sheet: Path | None) -> None:
    from rich.console import Console

    Console(highlight=False).print(fact_table(_run_facts(path)), markup=False)
    if sheet is not None:
        say("--out has no effect here: unnoise report draws what a run has learned.")


def _examined(source: str, wishes: "Wishes", device: str, *, measure: bool) -> "Checkup":
    from unnoise.data import summarize
    from unnoise.reports.doctor import examine

    summary = summarize(source, progress=True)
    images = load_pictures(source, wishes)  # as `unnoise train` will, which then finds them in the cache
    with stderr().status("Looking at the pictures") as status:

        def progress(task: str, part: float) -> None:
            status.update(f"{task}, {part:.0%}" if part else task)

        return examine(summary, images, wishes, device=device, measure=measure, progress=progress)


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
        "pictures": f"{data.source}, {data.height} x {data.width}, {data.channels} channel(s), "
        f"{data.held_out:,} held out",
        "preset": f"{config.preset} (predicts the {config.recipe.objective.predicts}, "
        f"{type(config.recipe.schedule).__name__} schedule)",
        "network": f"{parameters:,} parameters, widths {' '.join(map(str, config.recipe.network.widths))}",
        "budget": f"{config.budget.amount:g} {config.budget.unit}",
    }
    if data.classes:
        facts["classes"] = class_names(data.classes)
    if history:
        last = history[-1]
        held_out = [row.held_out_loss for row in history if row.held_out_loss is not None]
        facts["so far"] = f"{last.step:,} steps, {last.images:,} images, {last.seconds / 60:.1f} minutes"
        if held_out:
            facts["held-out loss"] = f"{held_out[-1]:.4f}, lowest {min(held_out):.4f}"
    facts["weights"] = "model.safetensors" if (path / "model.safetensors").is_file() else "none saved yet"
    return facts
