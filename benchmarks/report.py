"""Pages of measurements: tables between markers, the command, the date and the machine.

The pages in docs/ are written by hand, except for what stands between two markers:

    <!-- table: NAME -->
    | a table | 1.5 |
    <!-- end -->

A benchmark replaces what is between its markers and leaves the text around them as it is. After new
measurements, read that text again: it may quote old numbers.
"""

import argparse
import os
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from unnoise.api.reporting import count, tell_result
from unnoise.utils.files import atomic_write

MADE = "made"
"""The name of the block with the command, the date and the machine."""

_INSTRUCTIONS = {
    "amx_bf16": " with AVX-512 and AMX",
    "avx512_bf16": " with AVX-512 and bfloat16",
    "avx512f": " with AVX-512",
    "avx2": " with AVX2",
}
"""Flags of Linux, the widest first. AMX computes products of bfloat16 in tiles."""
_BLOCK = re.compile(r"<!-- table: ([\w-]+) -->\n.*?<!-- end -->", re.DOTALL)


# --- what a page says of the machine --------------------------------------------------------------------------


def machine(device: torch.device | str = "cpu", libraries: Sequence[str] = ()) -> str:
    """One line: GPU if one computed, processor, threads, and versions of libraries where they are installed."""
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("torch", "numpy", *libraries) if find_spec(name)
    )
    card = f"{torch.cuda.get_device_name(device)}, " if torch.device(device).type == "cuda" else ""
    return (
        f"{card}{processor()}, {os.cpu_count()} cores, {count(torch.get_num_threads(), 'thread')}, "
        f"Python {platform.python_version()}, {versions}"
    )


def processor() -> str:
    """Name of the processor, as it reports it, and its widest instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    flags = " ".join(line for line in lines if line.startswith("flags")).split()
    widest = next((name for flag, name in _INSTRUCTIONS.items() if flag in flags), "")
    return (names[0] if names else platform.processor() or platform.machine()) + widest


def measured(device: torch.device | str = "cpu", libraries: Sequence[str] = ()) -> str:
    """Today's date and the machine, as a sentence."""
    return f"Measured on {datetime.now(UTC):%Y-%m-%d} on: {machine(device, libraries)}."


def made(
    module: str,
    options: str,
    how: str,
    device: torch.device | str = "cpu",
    libraries: Sequence[str] = (),
) -> str:
    """The block that says how a page was made: the command, how often it measured, when and where."""
    command = f"python -m benchmarks.{module} {options}".strip()
    return f"```sh\n{command}\n```\n\n{how} {measured(device, libraries)}"


# --- tables and pages -----------------------------------------------------------------------------------------


def table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int] = (0,)) -> str:
    """A Markdown table; the columns at `texts` are aligned to the left, numbers to the right.

    Bars inside a cell are escaped, since they would end it.
    """
    rules = ["---" if place in texts else "---:" for place in range(len(header))]
    lines = [[cell.replace("|", "\\|") for cell in row] for row in (header, rules, *rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def block(name: str, text: str) -> str:
    """Markdown between the markers of this name."""
    return f"<!-- table: {name} -->\n\n{text.strip()}\n\n<!-- end -->"


def filled(page: str, blocks: Mapping[str, str]) -> str:
    """The page with these blocks between their markers; a block that has no markers yet is added at the end."""
    known = {found[1] for found in _BLOCK.finditer(page)}
    text = _BLOCK.sub(lambda found: block(found[1], blocks[found[1]]) if found[1] in blocks else found[0], page)
    added = [block(name, text) for name, text in blocks.items() if name not in known]
    return "\n\n".join([text.strip(), *added]) + "\n"


def new_page(description: str) -> str:
    """Title and purpose of a page that is not there yet, from the description (docstring) of its benchmark."""
    title, *paragraphs = description.strip().split("\n\n")
    purpose = next((text for text in paragraphs if not text.startswith(" ")), title)
    return f"# {title.rstrip('.')}\n\n{' '.join(purpose.split())}\n\nNobody has summed up these tables yet.\n"


def publish(page: str, description: str | None, blocks: Mapping[str, str], folder: Path | None) -> None:
    """Prints the blocks of a page, and writes them into PAGE.md where there is a folder for it."""
    print("\n\n".join(text.strip() for text in blocks.values()), flush=True)
    if folder is not None:
        path = folder / f"{page}.md"
        old = path.read_text(encoding="utf-8") if path.is_file() else new_page(description or page)
        with atomic_write(path) as file:
            file.write_text(filled(old, blocks), encoding="utf-8")
        tell_result("page", path)


# --- options --------------------------------------------------------------------------------------------------


def option_parser(description: str | None, threads: int | None = None) -> argparse.ArgumentParser:
    """Parser with the options that every benchmark has: --quick, --threads and --docs."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="measure very little, to try it; writes no page")
    parser.add_argument("--threads", type=int, default=threads or torch.get_num_threads())
    parser.add_argument("--docs", type=Path, help="folder of the page (default: docs; with --quick none)")
    return parser


def folder_for(options: argparse.Namespace) -> Path | None:
    """Folder of the page: the one that was asked for, else docs/, but none for a quick trial."""
    named: Path | None = options.docs
    return named or (None if options.quick else Path("docs"))
