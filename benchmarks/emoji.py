"""The pictures of the package emoji-datasource-google, sorted by category: a small set with classes, in colour.

npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
python -m benchmarks.emoji package emoji
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unnoise.cli.console import result


def pictures(emoji: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The category of each picture's file, those of other skins and older forms included."""
    for one in emoji:
        for form in (one, *one.get("skin_variations", {}).values()):
            yield one["category"], form["image"]


def main() -> None:
    """Copies them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the unpacked package")
    parser.add_argument("out", type=Path)
    asked = parser.parse_args()
    for category, name in pictures(json.loads((asked.package / "emoji.json").read_text(encoding="utf-8"))):
        source = asked.package / "img" / "google" / "64" / name
        if source.is_file():
            (asked.out / category).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, asked.out / category / name)
    result("pictures", asked.out)


if __name__ == "__main__":
    main()
