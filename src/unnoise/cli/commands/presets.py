"""`unnoise presets`: every recipe with what it costs and what it reached, and the one that suits here."""

from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from unnoise.cli.sizes import parse_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from unnoise.runs.costs import Measured

_UNKNOWN = "–"


def presets(
    size: Annotated[str, arg(metavar="H[xW]")] = "32",
    channels: Annotated[int, arg(metavar="C")] = 3,
    minutes: Annotated[float, arg(metavar="N")] = 10.0,
    device: str = "auto",
) -> None:
    """Lists the presets: what they cost, what they are for, what was measured, and which one suits here.

    Parameters and GFLOP (of a picture's way forward through the network) are those for the given pictures;
    speed, memory and score were measured on 32 x 32 in colour, and are left open where nobody did.

    Args:
        size: Height, or height x width, of the pictures in pixels.
        channels: 1 grey, 3 colour, 2 or 4 with transparency.
        minutes: How long training would last.
        device: auto, cpu, cuda, cuda:1 or mps.
    """
    shape = parse_size(size)
    assert shape is not None
    from rich.console import Console

    from unnoise.runs.config import Budget, DataConfig
    from unnoise.runs.costs import measurements
    from unnoise.runs.sizing import choose
    from unnoise.training.loop import choose_device

    # They check themselves, as for a run.
    data = DataConfig(source="", height=shape[0], width=shape[1], channels=channels)
    budget = Budget(unit="minutes", amount=minutes)
    choice = choose(choose_device(device).type, *shape, budget.amount)
    out, found = Console(highlight=False), measurements()
    out.print(_table(data.image_shape, found.presets))
    if found.how:
        out.print(found.how, markup=False)
    out.print(f"Without --preset, unnoise train takes {choice.name} here: {choice.why}", markup=False)


def _table(shape: tuple[int, int, int], measured: "Mapping[str, Measured]") -> "Table":
    from rich.table import Table

    from unnoise.runs.costs import Measured, size_of
    from unnoise.runs.presets import ABOUT, PRESETS

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("name", style="bold", no_wrap=True)
    for name in ("parameters", "GFLOP"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("for", overflow="fold")
    for name in ("images/s", "memory", "score"):
        table.add_column(name, justify="right", no_wrap=name != "score")
    table.add_column("source", overflow="fold")
    for name, recipe in PRESETS.items():
        size, seen = size_of(recipe(*shape).network, *shape[1:]), measured.get(name, Measured())
        table.add_row(
            name,
            f"{size.parameters / 1e6:.3g} M",
            f"{size.gigaflops:.3g}",
            ABOUT[name].purpose,
            _UNKNOWN if seen.images_per_second is None else f"{seen.images_per_second:,.3g}",
            _UNKNOWN if seen.megabytes is None else f"{seen.megabytes:,.0f} MB",
            seen.score or _UNKNOWN,
            ABOUT[name].source,
        )
    return table
