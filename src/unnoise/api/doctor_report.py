"""What `unnoise info` prints about pictures: facts, findings of the data doctor, and the cost of training."""

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from unnoise.api.reporting import amount, count
from unnoise.api.tables import fact_table

if TYPE_CHECKING:
    from rich.text import Text

    from unnoise.api.reporting import Part
    from unnoise.reports.doctor import Checkup

_NAMED_CLASSES = 10
_NAMED_PICTURES = 5


def checkup_parts(checkup: "Checkup") -> "list[Part]":
    """All sections, and the command that would train like this."""
    return [
        *_section("Pictures", picture_facts(checkup)),
        *_findings(checkup),
        *_section("Training would use", plan_facts(checkup)),
        *_section("Training would take", cost_facts(checkup)),
        _title("Next"),
        f"  {_train_command(checkup)}",
    ]


def class_names(each: Sequence[str]) -> str:
    """`3: cat, dog, fish`, of which the first ten are named."""
    more = f" and {len(each) - _NAMED_CLASSES:,} more" if len(each) > _NAMED_CLASSES else ""
    return f"{len(each):,}: {', '.join(each[:_NAMED_CLASSES])}{more}"


def _section(title: str, facts: Mapping[str, str]) -> "list[Part]":
    return [_title(title), fact_table(facts, indent=2), ""]


def _title(text: str) -> "Text":
    from rich.text import Text

    return Text(text, "bold")


def picture_facts(checkup: "Checkup") -> dict[str, str]:
    """What is there: numbers, formats, sizes, classes."""
    summary, balance = checkup.summary, checkup.balance
    facts = {"pictures": f"{summary.count:,} in {summary.source}"}
    counted = {"formats": summary.formats, "modes": summary.modes, "ignored": summary.ignored}
    for name, counts in counted.items():
        if counts:
            facts[name] = ", ".join(
                f"{number:,} {kind or 'without suffix'}" for kind, number in counts.most_common()
            )
    sizes = [f"{height} x {width}" for height, width in (summary.smallest, summary.median, summary.largest)]
    facts["sizes"] = sizes[0] if len(set(sizes)) == 1 else "{}, median {}, up to {}".format(*sizes)
    facts["sizes"] += " (height x width)"
    if checkup.images.without_class:
        facts["no class"] = count(checkup.images.without_class, "picture")
    if balance:
        facts["classes"] = class_names([f"{name} ({number:,})" for name, number in balance.counts.items()])
        facts["balance"] = (
            f"the largest class has {balance.ratio:.3g} times as many as the smallest; in effect "
            f"{balance.effective:.3g} classes of equal size"
        )
    return facts


def _findings(checkup: "Checkup") -> "list[Part]":
    from rich.table import Table
    from rich.text import Text

    table = Table(show_header=False, box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in checkup.findings:
        mark = ("!", "bold yellow") if finding.serious else ("-", "dim")
        table.add_row(Text.assemble("  ", mark), Text(finding.text))
        if finding.names:
            left = len(finding.names) - _NAMED_PICTURES
            more = f", and {left:,} more" if left > 0 else ""
            table.add_row("", Text(", ".join(finding.names[:_NAMED_PICTURES]) + more, "dim"))
    if not checkup.findings:
        table.add_row("  ", "no problems")
    return [_title("Findings"), table, ""]


def plan_facts(checkup: "Checkup") -> dict[str, str]:
    """What training would use, and why."""
    from unnoise.networks import build

    config, why = checkup.config, checkup.reasons
    data = config.data
    parameters = sum(weight.numel() for weight in build(config.recipe.network).parameters())
    kinds = {1: "grey", 2: "grey and alpha", 3: "colour", 4: "colour and alpha"}
    by_folders = ", as their folders say" if data.held_out_ranges else ""
    kind = f", {kinds[data.channels]}" if data.channels in kinds else ""
    return {
        "size": f"{data.height} x {data.width}: {why['size']}",
        "channels": f"{data.channels}{kind}: {why['channels']}",
        "preset": f"{config.preset}, {parameters:,} parameters: {why['preset']}",
        "held out": f"{count(data.held_out, 'picture')}, kept for tests{by_folders}",
    }


def cost_facts(checkup: "Checkup") -> dict[str, str]:
    """What training would take: time, memory, disk."""
    disk, speed, expected = checkup.disk, checkup.speed, checkup.forecast
    facts = {}
    if speed is not None and expected is not None:
        budget, several = checkup.config.budget, f"{speed.devices} x " if speed.devices > 1 else ""
        where = f"{several}{speed.device}, over {count(speed.steps, 'step')}"
        facts["speed"] = f"{speed.images_per_second:,.3g} images/s on {where}"
        facts[f"in {amount(budget.amount, budget.unit)}"] = (
            f"{rounded(expected.images)} images, so each picture {times_text(expected.epochs)}"
        )
        facts["usable samples"] = f"after {duration_range(*expected.usable)}, a rough guess from other runs"
        if speed.memory is not None:
            each = ", on each device" if several else ""
            facts["memory"] = f"{bytes_text(speed.memory)} at its peak{each}"
    parts = {"weights": disk.weights, "states for --resume": disk.states, "stored averages": disk.averages}
    named = ", ".join(f"{bytes_text(size)} {name}" for name, size in parts.items() if size)
    facts["disk"] = f"{bytes_text(disk.run)} for a run ({named})"
    if disk.cache:
        facts["disk"] += f"; {bytes_text(disk.cache)} of cached pictures, shared by all runs"
    return facts


def _train_command(checkup: "Checkup") -> str:
    """The command that trains as it was examined: of several devices by torchrun, with a process for each."""
    from unnoise.reports.settings import value_options
    from unnoise.runs.presets import recipe

    config, data = checkup.config, checkup.config.data
    size, usual = config.recipe.batch_size, recipe(config.preset, data.channels, data.height, data.width)
    options: dict[str, str | None] = {
        "--size": f"{data.height}x{data.width}",
        "--channels": str(data.channels),
        "--preset": config.preset,
        "--batch-size": str(size) if size != usual.batch_size else None,
        "--fit": data.fit if data.fit != "crop" else None,
        "--background": _colour(data.background) if data.background != (255, 255, 255) else None,
        "--labels": data.labels,
        "--minutes": f"{config.budget.amount:g}" if config.budget.amount != 10 else None,
    }
    given = [word for name, value in options.items() if value is not None for word in (name, value)]
    given += [word for option in value_options(data) for word in option]
    flags = {"--flip": data.flip, "--split-folders": bool(data.held_out_ranges)}
    given += [name for name, wanted in flags.items() if wanted]
    program = ["unnoise"]
    if checkup.devices > 1:
        program = ["torchrun", "--nproc_per_node", str(checkup.devices), "-m", "unnoise"]
    return shlex.join([*program, "train", checkup.summary.source, *given])


def _colour(background: tuple[int, int, int]) -> str:
    return "#{:02x}{:02x}{:02x}".format(*background)


def rounded(number: float) -> str:
    """An estimate to two digits: `12,000`."""
    digits = len(f"{int(number)}") - 2
    return f"{round(number, -digits) if digits > 0 else number:,.0f}"


def times_text(epochs: float) -> str:
    """`3.2 times`, `1,200 times`."""
    return f"{epochs:,.1f} times" if epochs < 10 else f"{rounded(epochs)} times"


def duration_range(first: float, last: float) -> str:
    """`4 to 23 hours`, from seconds, in the unit of the first."""
    units = ("days", 86400), ("hours", 3600), ("minutes", 60), ("seconds", 1)
    unit, length = next((name, size) for name, size in units if first >= 1.5 * size or size == 1)
    return f"{rounded(max(1, first / length))} to {rounded(max(1, last / length))} {unit}"


def bytes_text(number: int) -> str:
    """`332 MB`, in units of a thousand, as disks are sold."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}" if number < 999.5 * size else f"{number / size:,.0f} {unit}"
    return f"{number} bytes"
