"""`unnoise presets`: list the presets with their cost and quality."""

from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from unnoise.cli import arguments as cli
from unnoise.cli.console import print_output

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from unnoise.runs.sizing import PresetCost

_UNKNOWN = "–"


def presets(
    size: Annotated[str, arg(metavar="H[xW]")] = "32",
    channels: cli.Integer = 3,
    minutes: cli.Minutes = 10.0,
    device: cli.Device = "auto",
    devices: cli.Devices = 1,
) -> None:
    """List the presets: what each is for, what it costs, how good it got, and which one suits you.

    Parameters and GFLOP (of one picture, forward through the network) are for pictures of the given size.
    Speed, memory and score were measured on 32 x 32 colour pictures, and are left open for presets that were
    not measured.

      unnoise presets --size 64 --minutes 60

    Args:
        size: Height, or height x width, of the pictures in pixels.
        channels: 1 for grey, 3 for colour, 2 or 4 for the same with transparency.
        minutes: How long you would train, in minutes.
    """
    shape = cli.parse_size(size)
    assert shape is not None
    from unnoise.runs.config import Budget
    from unnoise.runs.data_config import DataConfig
    from unnoise.runs.sizing import choose_preset, read_preset_costs
    from unnoise.training.loop import choose_device

    # They check themselves, as for a run.
    data = DataConfig(source="", height=shape[0], width=shape[1], channels=channels)
    budget = Budget(unit="minutes", amount=minutes)
    choice = choose_preset(choose_device(device).type, *shape, budget.amount, devices=devices)
    found = read_preset_costs()
    how = [found.how] if found.how else []
    chosen = f"Without --preset, unnoise train takes {choice.name} here: {choice.why}"
    print_output(_preset_table(data.image_shape, found.presets), *how, chosen)


def _preset_table(shape: tuple[int, int, int], measured: "Mapping[str, PresetCost]") -> "Table":
    from rich.table import Table

    from unnoise.runs.presets import PRESET_NOTES, PRESETS
    from unnoise.runs.sizing import PresetCost, network_size

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("name", style="bold", no_wrap=True)
    for name in ("parameters", "GFLOP"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("for", overflow="fold")
    for name in ("images/s", "memory", "score"):
        table.add_column(name, justify="right", no_wrap=name != "score")
    table.add_column("source", overflow="fold")
    for name, recipe in PRESETS.items():
        size, seen = network_size(recipe(*shape).network, *shape[1:]), measured.get(name, PresetCost())
        table.add_row(
            name,
            f"{size.parameters / 1e6:.3g} M",
            f"{size.gigaflops:.3g}",
            PRESET_NOTES[name].purpose,
            _UNKNOWN if seen.images_per_second is None else f"{seen.images_per_second:,.3g}",
            _UNKNOWN if seen.megabytes is None else f"{seen.megabytes:,.0f} MB",
            seen.score or _UNKNOWN,
            PRESET_NOTES[name].source,
        )
    return table
