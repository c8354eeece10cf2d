"""A measurement is published with the machine it was taken on, as a page of Markdown."""

import argparse
import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch

from unnoise.cli.console import result
from unnoise.utils.files import writable


def machine(device: torch.device | str = "cpu") -> str:
    """One line: what computed (a GPU, and always the processor), threads, and the versions of libraries."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy"))
    card = f"{torch.cuda.get_device_name(device)}, " if torch.device(device).type == "cuda" else ""
    return (
        f"{card}{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, "
        f"Python {platform.python_version()}, {libraries}"
    )


def processor() -> str:
    """What the CPU calls itself."""
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


def asking(description: str | None) -> argparse.ArgumentParser:
    """What any benchmark can be asked: --quick, --threads and --docs."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--quick", action="store_true", help="very little, to see that it works; writes no page"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--docs", type=Path, help="the folder to write to (default: docs, and none if --quick)")
    return parser


def folder_for(asked: argparse.Namespace) -> Path | None:
    """Where pages go: where they were asked for, else to docs/, but not what was measured in haste."""
    named: Path | None = asked.docs
    return named or (None if asked.quick else Path("docs"))


def made(module: str, options: str, how: str, device: torch.device | str = "cpu") -> list[str]:
    """How a page ends: with the command that makes it, and with how, when and where it was measured."""
    command = f"python -m benchmarks.{module} {options}".strip()
    return [f"```sh\n{command}\n```", f"{how} {measured(device)}"]


def measured(device: torch.device | str = "cpu") -> str:
    """A sentence: today's date, and the machine."""
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} on: {machine(device)}."


def tell(name: str, paragraphs: Sequence[str], folder: Path | None) -> None:
    """Prints a page, and writes it where there is a folder for it."""
    print("\n\n".join(text.strip() for text in paragraphs), flush=True)
    if folder is not None:
        publish(folder / f"{name}.md", *paragraphs)
        result("page", folder / f"{name}.md")
