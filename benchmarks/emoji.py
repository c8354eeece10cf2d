"""Data set of emoji: the pictures of the package emoji-datasource-google, sorted by category.

npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
python -m benchmarks.emoji package emoji
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from unnoise.api.reporting import tell_result


def pictures(emoji: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Category and file name of each picture, with those of other skin tones and older forms."""
    for one in emoji:
        for form in (one, *one.get("skin_variations", {}).values()):
            yield one["category"], form["image"]


def main() -> None:
    """Copies the pictures into a folder for each category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the unpacked package")
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    for category, name in pictures(json.loads((options.package / "emoji.json").read_text(encoding="utf-8"))):
        source = options.package / "img" / "google" / "64" / name
        if source.is_file():
            (options.out / category).mkdir(parents=True, exist_ok=True)
            shutil.copy(source, options.out / category / name)
    tell_result("pictures", options.out)


if __name__ == "__main__":
    main()
