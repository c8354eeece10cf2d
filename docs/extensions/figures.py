"""Figures of the guide: plots in one style, pictures, and sliders over frames that were made on the page.

A slider is plain HTML: all frames are in the page, and moving it shows another one. It needs no connection.
"""

import base64
import html
import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib as mpl
import matplotlib.pyplot as plt
import torch
from IPython.display import HTML
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from unnoise import pictures

mpl.use("module://matplotlib_inline.backend_inline")
BLUE, ORANGE, GREEN, RED, GREY = "#2563a8", "#d95f02", "#1b8a5a", "#c0392b", "#8a8a8a"
plt.rcParams.update(
    {
        "figure.figsize": (6.8, 2.9),
        "figure.dpi": 110,
        "figure.constrained_layout.use": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.color": "#e3e3e3",
        "axes.prop_cycle": mpl.cycler(color=[BLUE, ORANGE, GREEN, RED, GREY]),
        "lines.linewidth": 2,
        "legend.frameon": False,
        "font.size": 10,
        "savefig.facecolor": "white",
    }
)


@contextmanager
def figure(across: str = "", up: str = "", **settings: object) -> Iterator[Axes]:
    """Axes with labels, to draw one plot on."""
    _, axes = plt.subplots(**settings)
    axes.set(xlabel=across, ylabel=up)
    yield axes
    if axes.get_legend_handles_labels()[0]:
        axes.legend()
    plt.show()


def sheet(images: torch.Tensor, columns: int = 10) -> Image.Image:
    """Pictures (N, C, H, W) in [0, 1] beside each other, large enough that single pixels can be seen."""
    return pictures.grid(images.float().cpu().clamp(0, 1), columns=columns)


def as_png(frame: Figure | Image.Image) -> bytes:
    """A plot or a picture as the bytes of a PNG."""
    buffer = io.BytesIO()
    if isinstance(frame, Figure):
        frame.savefig(buffer, format="png", dpi=100)
        plt.close(frame)
        palette = Image.open(buffer).convert("RGB").quantize(64)
        buffer = io.BytesIO()
        palette.save(buffer, "PNG", optimize=True)
    else:
        frame.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def slider(frames: Sequence[Figure | Image.Image], labels: Sequence[str], name: str, start: int = 0) -> HTML:
    """A slider that shows one of several frames, with its label beside it."""
    images = "".join(
        f'<img src="data:image/png;base64,{base64.b64encode(as_png(frame)).decode()}" '
        f'alt="{html.escape(f"{name}: {label}")}"{"" if place == start else " hidden"}>'
        for place, (frame, label) in enumerate(zip(frames, labels, strict=True))
    )
    told = html.escape(labels[start])
    move = (
        "const box=this.closest('.slider'),i=+this.value;"
        "box.querySelectorAll('img').forEach((one,k)=>one.hidden=k!==i);"
        "const told=JSON.parse(this.dataset.labels)[i];"
        "box.querySelector('output').textContent=told;this.setAttribute('aria-valuetext',told)"
    )
    listed = html.escape(json.dumps([str(label) for label in labels], ensure_ascii=False))
    return HTML(
        f'<div class="slider"><label><span>{html.escape(name)}</span> <input type="range" min="0" '
        f'max="{len(frames) - 1}" value="{start}" aria-valuetext="{told}" data-labels="{listed}" '
        f'oninput="{html.escape(move)}"> <output>{told}</output></label>{images}</div>'
    )
