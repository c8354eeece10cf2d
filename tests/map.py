"""Pictures of docs/architecture.md: the rooms of the package by floor, a training step and a sample.

`make pages` writes them as SVG; the floors are those of import-linter, the words those of the page's table.
"""

import re
import tomllib
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
WIDTH, ROW, GAP = 900, 44, 10
_STYLE = (
    "text{font:14px sans-serif;fill:#1f2937}.name{font-weight:bold}.small{font-size:12px;fill:#4b5563}"
    ".box{fill:#eef3fa;stroke:#2563a8}.core{fill:#fdeee2;stroke:#d95f02}.arrow{stroke:#4b5563;fill:none}"
)

STEP = {
    "pictures": "",
    "normalize": "variance 1",
    "draw": "time and noise",
    "mix": "noisy image",
    "denoise": "the network",
    "compare": "loss",
    "step": "weights, average",
}
SAMPLE = {
    "seeds": "",
    "noises": "one generator each",
    "denoise": "the network",
    "mix": "less noise",
    "denormalize": "0 to 1",
    "pictures": "",
}


def svg(height: int, parts: list[str]) -> str:
    """A picture of a fixed width on white, so that it can be read on dark pages too."""
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size}>'
    return "\n".join(
        [head, f"<style>{_STYLE}</style>", '<rect width="100%" height="100%" fill="#fff"/>', *parts, "</svg>\n"]
    )


def rooms() -> str:
    """One row a floor, the highest first: a module imports only from rows below its own."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    floors = [floor for floor in tools["importlinter"]["contracts"][0]["layers"] if floor != "__main__"]
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    says = dict(re.findall(r"^\| \d+ \| `(\w+)`.*? \| (.+?) \|$", page, re.MULTILINE))
    parts, top = [], GAP
    for floor in floors:
        kind = "core" if floor == "diffusion" else "box"
        parts.append(f'<rect class="{kind}" x="10" y="{top}" width="{WIDTH - 20}" height="{ROW}" rx="6"/>')
        parts.append(f'<text class="name" x="24" y="{top + 27}">{floor.replace("|", "·")}</text>')
        words = escape(says[floor.split()[0]].replace("`", ""))
        parts.append(f'<text class="small" x="190" y="{top + 27}">{words}</text>')
        top += ROW + GAP
    return svg(top, parts)


def row(steps: dict[str, str], top: int, title: str) -> list[str]:
    """Boxes from left to right, joined by arrows."""
    width = (WIDTH - 20) // len(steps)
    parts = [f'<text class="name" x="10" y="{top}">{title}</text>']
    for place, (name, note) in enumerate(steps.items()):
        left = 10 + place * width
        kind = "core" if name == "denoise" else "box"
        middle = left + (width - 22) / 2
        parts.append(
            f'<rect class="{kind}" x="{left}" y="{top + 12}" width="{width - 22}" height="54" rx="6"/>'
        )
        parts.append(f'<text x="{middle}" y="{top + 35}" text-anchor="middle">{name}</text>')
        parts.append(f'<text class="small" x="{middle}" y="{top + 54}" text-anchor="middle">{note}</text>')
        if place + 1 < len(steps):
            start = left + width - 20
            parts.append(f'<path class="arrow" d="M{start} {top + 39}h14m-5 -4l5 4l-5 4"/>')
    return parts


def flow() -> str:
    """A training step, and a sample with the loop of its sampler."""
    parts = [*row(STEP, 26, "A training step"), *row(SAMPLE, 146, "A sample")]
    width = (WIDTH - 20) // len(SAMPLE)
    left, right, low = 10 + 2 * width + 40, 10 + 3 * width + 60, 146 + 66
    parts.append(f'<path class="arrow" d="M{right} {low}v22H{left}v-20m-4 6l4 -6l4 6"/>')
    parts.append(
        f'<text class="small" x="{(left + right) / 2}" y="{low + 38}" text-anchor="middle">once a step</text>'
    )
    return svg(268, parts)


PICTURES = {"rooms.svg": rooms, "flow.svg": flow}

if __name__ == "__main__":
    for name, draw in PICTURES.items():
        (IMAGES / name).write_text(draw(), encoding="utf-8")
