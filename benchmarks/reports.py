"""A measurement is published with the machine it was taken on, as a page of Markdown."""

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch

from unnoise.files import writable


def machine() -> str:
    """One line: processor, threads, and the versions of what computed."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))
    return (
        f"{_processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, {libraries}"
    )


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int] = (0,)) -> str:
    """A table in Markdown; the columns at `texts` begin at the left, numbers at the right.

    Bars inside a cell are escaped, since they would end it.
    """
    rules = ["---" if place in texts else "---:" for place in range(len(header))]
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (header, rules, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def publish(path: Path, *paragraphs: str) -> None:
    """Writes a page of these paragraphs."""
    with writable(path) as file:
        file.write_text("\n\n".join(text.strip() for text in paragraphs) + "\n", encoding="utf-8")
