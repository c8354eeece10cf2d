"""Table of the presets: what each is for, its cost at a size of pictures, and its quality."""

import textwrap
from typing import TYPE_CHECKING

from unnoise.api.reporting import count
from unnoise.api.shown import Findings
from unnoise.api.terminal import output_console
from unnoise.api.words import Size, parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from unnoise.runs.preset_costs import Figure, PresetCost

_UNKNOWN = "–"


def presets(
    *, size: Size = 32, channels: int = 3, minutes: float = 10.0, device: str = "auto", devices: int = 1
) -> Findings:
    """Lists the presets: what each is for, what it costs, how good it got, and which one suits you.

    Args:
        size: Height, or height x width, of the pictures in pixels.
        channels: 1 for grey, 3 for colour, 2 or 4 for the same with transparency.
        minutes: How long you would train, in minutes.
        device: auto, cpu, cuda, cuda:1 or mps. auto uses a GPU if there is one.
        devices: How many such devices train together, by torchrun.

    Raises:
        UnnoiseError: for values out of range.
    """
    shape = parse_size(size)
    assert shape is not None
    from unnoise.runs.config import Budget
    from unnoise.runs.data_config import DataConfig
    from unnoise.runs.preset_costs import read_preset_costs
    from unnoise.runs.presets import preset_for
    from unnoise.trainer.loop import choose_device

    # They check themselves, as for a run.
    data = DataConfig(source="", height=shape[0], width=shape[1], channels=channels)
    budget = Budget(unit="minutes", amount=minutes)
    choice = preset_for(choose_device(device).type, data.image_shape, budget, devices=devices)
    found = read_preset_costs()
    how = [found.how] if found.how else []
    what = f"Pictures of {shape[0]} x {shape[1]}, {count(channels, 'channel')}. ~: forecast. –: not measured."
    chosen = f"Without --preset, unnoise train takes {choice.name} here: {choice.why}"
    tables = _cost_table(data.image_shape, found.presets), _origin_table(found.presets)
    width = output_console().width
    lines = [line for text in (*how, chosen) for line in textwrap.wrap(text, width)]
    return Findings([what, "", tables[0], "", tables[1], "", *lines])


def _table(*texts: str, numbers: tuple[str, ...] = ()) -> "Table":
    """A table whose first column, and those of numbers after it, are never broken."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    first, *others = texts
    table.add_column(first, style="bold", no_wrap=True, min_width=16)
    for name in numbers:
        table.add_column(name, justify="right", no_wrap=True)
    for name in others:
        table.add_column(name, overflow="fold")
    return table


def _cost_table(shape: tuple[int, int, int], known: "Mapping[str, PresetCost]") -> "Table":
    from unnoise.runs.footprint import network_size, run_disk_use
    from unnoise.runs.preset_costs import PresetCost, images_per_second, megabytes
    from unnoise.runs.preset_notes import PRESET_NOTES
    from unnoise.runs.presets import PRESETS

    table = _table("name", "for", numbers=("parameters", "GFLOP", "images/s", "memory", "disk"))
    for name, recipe in PRESETS.items():
        chosen, cost = recipe(*shape), known.get(name, PresetCost())
        size = network_size(chosen.network, *shape[1:])
        rate, memory = images_per_second(name, cost, *shape), megabytes(name, cost, *shape)
        table.add_row(
            name,
            f"{size.parameters / 1e6:#.3g} M",
            f"{size.gigaflops:#.3g}",
            _UNKNOWN if rate is None else f"{_mark(rate)}{rate.value:,.3g}",
            f"{_mark(memory)}{memory.value / 1e3:,.2g} GB",
            f"~{run_disk_use(chosen, judged=True).run / 1e9:,.2g} GB",
            PRESET_NOTES[name].purpose,
        )
    return table


def _mark(figure: "Figure") -> str:
    return "" if figure.measured else "~"


def _origin_table(known: "Mapping[str, PresetCost]") -> "Table":
    from unnoise.runs.preset_notes import PRESET_NOTES

    table = _table("name", "source", "score, of 28 x 28 pictures")
    for name, note in PRESET_NOTES.items():
        score = known[name].score if name in known else None
        table.add_row(name, note.source, score or _UNKNOWN)
    return table
