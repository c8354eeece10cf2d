"""`unnoise info`: what a run or a source of pictures holds, before a step is spent."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from unnoise.cli.console import stderr

_NAMED = 10

if TYPE_CHECKING:
    from rich.table import Table


def info(what: Annotated[str, Positional, arg(metavar="RUN_OR_PICTURES")], /) -> None:
    """Tells what a run was trained on and how far it came, or what a source of pictures holds.

    Args:
        what: A run's folder, or anything that unnoise train takes.
    """
    from rich.console import Console

    facts = _run_facts(Path(what)) if (Path(what) / "config.json").is_file() else _source_facts(what)
    Console(highlight=False).print(_table(facts))


def _table(facts: dict[str, str]) -> "Table":
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value)
    return table


def _run_facts(path: Path) -> dict[str, str]:
    from unnoise.checkpoint import Run
    from unnoise.networks import build
    from unnoise.recording import read_history

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
        facts["classes"] = _classes(data.classes)
    if history:
        last = history[-1]
        held_out = [row.held_out_loss for row in history if row.held_out_loss is not None]
        facts["so far"] = f"{last.step:,} steps, {last.images:,} images, {last.seconds / 60:.1f} minutes"
        if held_out:
            facts["held-out loss"] = f"{held_out[-1]:.4f}, lowest {min(held_out):.4f}"
    facts["weights"] = "model.safetensors" if (path / "model.safetensors").is_file() else "none saved yet"
    return facts


def _classes(each: Sequence[str]) -> str:
    more = f" and {len(each) - _NAMED:,} more" if len(each) > _NAMED else ""
    return f"{len(each):,}: {', '.join(each[:_NAMED])}{more}"


def _source_facts(source: str) -> dict[str, str]:
    from unnoise.data import summarize

    with stderr().status("Looking at the pictures"):
        summary = summarize(source)
    facts = {"source": source, "pictures": f"{summary.count:,}"}
    for name, counts in (
        ("formats", summary.formats),
        ("modes", summary.modes),
        ("ignored", summary.ignored),
    ):
        if counts:
            facts[name] = ", ".join(f"{number:,} {kind}" for kind, number in counts.most_common())
    if summary.classes:
        facts["classes"] = _classes([f"{name} ({number:,})" for name, number in summary.classes.items()])
    sizes = (summary.smallest, summary.median, summary.largest)
    shown = ["{} x {}".format(*size) for size in sizes]
    facts["sizes"] = shown[0] if len(set(shown)) == 1 else "{}, median {}, up to {}".format(*shown)
    if summary.unreadable:
        facts["unreadable"] = f"{len(summary.unreadable):,}: {', '.join(summary.unreadable[:5])}"
    height, width = summary.proposed_size
    facts["suggested"] = (
        f"unnoise train {source} --size {height}x{width} --channels {summary.proposed_channels}"
    )
    return facts
