"""Charts of docs/gpu.md: images a second of the presets, and growth with the size of pictures."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from benchmarks.gpu.speed import Case, Speed
from unnoise.pictures.charts import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Speeds: TypeAlias = Mapping[Case, Speed | None]
Chart: TypeAlias = "Callable[[Speeds, Figure], None]"
_LINES = {"eager": "-", "compiled": "--", "diffusers": ":"}


def draw_speed(found: Speeds, figure: "Figure") -> None:
    """Speed beside diffusers at each size: bars of our images/s over theirs, eager and compiled."""
    axes = figure.subplots()
    presets, sides = _presets(found), sorted({case.side for case in found})
    width, labels = 0.38, []
    for place, (side, preset) in enumerate((side, preset) for side in sides for preset in presets):
        labels.append(f"{preset}\n{side}")
        theirs = found.get(Case(preset, side, "diffusers"))
        for offset, kind, colour in ((-0.5, "eager", COLOURS[0]), (0.5, "compiled", COLOURS[1])):
            ours = found.get(Case(preset, side, kind))  # type: ignore[arg-type]
            if ours is not None and theirs is not None:
                axes.bar(
                    place + offset * width,
                    ours.images_per_second / theirs.images_per_second,
                    width,
                    color=colour,
                )
    axes.axhline(1.0, color="black", linewidth=0.9)
    axes.set_xticks(range(len(labels)), labels, fontsize=7)
    axes.grid(visible=False, axis="x")
    axes.set(title="Images a second, over diffusers' UNet2DModel of as many parameters", ylabel="ratio")
    _legend(axes, {"eager": COLOURS[0], "compiled": COLOURS[1]})


def draw_growth(found: Speeds, figure: "Figure") -> None:
    """Images a second over the side of pictures, on logarithmic axes."""
    axes = figure.subplots()
    sides = sorted({case.side for case in found})
    for preset, colour in zip(_presets(found), COLOURS, strict=False):
        for kind, style in _LINES.items():
            points = {
                case.side: speed.images_per_second
                for case, speed in found.items()
                if speed is not None and (case.preset, case.kind) == (preset, kind)
            }
            axes.plot(list(points), list(points.values()), style, marker="o", markersize=3.5, color=colour)
    axes.set(xscale="log", yscale="log", title="Growth with the size of pictures", ylabel="images/s")
    axes.set_xticks(sides, [f"{side} px" for side in sides])
    axes.minorticks_off()
    for kind, style in _LINES.items():
        axes.plot([], [], style, color="black", label=kind)
    _legend(axes, dict(zip(_presets(found), COLOURS, strict=False)))


def _presets(found: Speeds) -> list[str]:
    return list(dict.fromkeys(case.preset for case in found))


def _legend(axes: "Axes", colours: Mapping[str, str]) -> None:
    for name, colour in colours.items():
        axes.plot([], [], color=colour, label=name)
    axes.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5))
