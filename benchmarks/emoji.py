"""Data sets of emoji: the pictures of an npm package of emoji, sorted by category.

npm pack emoji-datasource-google@16.0.0 && tar xzf emoji-datasource-google-16.0.0.tgz
python -m benchmarks.emoji package emoji
python -m benchmarks.emoji package emoji-split --held-out 0.1

Packages of other drawers, such as emoji-datasource-twitter, work in the same way. With --held-out the folders
train and test hold a category each; an emoji is in one of them with all of its skin tones and older forms, so
that nothing in test looks like something in train but for its colour.
"""

import argparse
import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from unnoise.api.reporting import tell_result

SIDE = "64"


class Picture(NamedTuple):
    """A picture: its category, file name, and the emoji that it is a form of."""

    category: str
    file: str
    emoji: str


def pictures(emoji: Sequence[Mapping[str, Any]]) -> Iterator[Picture]:
    """All pictures, with those of other skin tones and older forms."""
    for one in emoji:
        for form in (one, *one.get("skin_variations", {}).values()):
            yield Picture(one["category"], form["image"], one["image"])


def is_held_out(picture: Picture, share: float) -> bool:
    """Whether a picture is among this share of the emoji, chosen by their names: the same on every machine."""
    number = int.from_bytes(hashlib.sha256(picture.emoji.encode()).digest()[:8])
    return number < share * 2**64


def main() -> None:
    """Copies the pictures into a folder for each category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package", type=Path, help="the unpacked package")
    parser.add_argument("out", type=Path)
    parser.add_argument("--held-out", type=float, default=0.0, metavar="SHARE", help="of the emoji, for test/")
    options = parser.parse_args()
    (drawer,) = (place.name for place in (options.package / "img").iterdir() if place.is_dir())
    for picture in pictures(json.loads((options.package / "emoji.json").read_text(encoding="utf-8"))):
        source = options.package / "img" / drawer / SIDE / picture.file
        if source.is_file():
            part = "" if not options.held_out else "test" if is_held_out(picture, options.held_out) else "train"
            folder = options.out / part / picture.category
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, folder / picture.file)
    tell_result("pictures", options.out)


if __name__ == "__main__":
    main()
