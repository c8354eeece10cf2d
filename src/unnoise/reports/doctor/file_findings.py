"""Headers tell what decoding will change about a picture, and whom to ask where it looks wrong."""

from collections.abc import Callable
from typing import TypeAlias

from unnoise.data import Settings, Skipped
from unnoise.data.decoding.decode import GREY_MODES, Header
from unnoise.data.settings import Size
from unnoise.reports.doctor.findings import Finding, Kind, about

Headers: TypeAlias = dict[str, Header]
"""By the picture's name."""

LOST = 0.4
"""The part of a picture that cropping may take without a word: 16:9 loses 44 % to a square, 3:2 a third."""


def unreadable(skipped: tuple[Skipped, ...]) -> list[Finding]:
    """Of the files that could not be read."""
    if not skipped:
        return []
    files = "1 file" if len(skipped) == 1 else f"{len(skipped):,} files"
    text = f"{files} can't be read, and will be left out: save anew as PNG or JPEG what is missed."
    return [Finding("unreadable", text, tuple(f"{one.name} ({one.reason})" for one in skipped))]


def of_files(headers: Headers, settings: Settings) -> list[Finding]:
    """Of the pictures that could be read, once size and channels are settled."""
    alpha = 2 if settings.channels == 1 else 4
    colours = (
        f"{{are}} laid on one colour where transparent: --background chooses it, --channels {alpha} keeps it."
    )
    found = [
        *_those(headers, "animated", lambda one: one.animated, _ANIMATED),
        *_those(headers, "alpha", lambda one: one.alpha and settings.channels not in {2, 4}, colours),
        *_those(headers, "cmyk", lambda one: one.mode == "CMYK", _CMYK),
        *_those(headers, "deep", lambda one: one.mode == "F" or one.mode.startswith("I"), _DEEP),
        *_those(headers, "turned", lambda one: one.turned, _TURNED),
    ]
    return [*found, *_small(headers, settings), *_cropped(headers, settings), *_mixed(headers, settings)]


_ANIMATED = (
    "{are} animated or {have} several pages, of which the first is used: save others as files of their own."
)
_CMYK = "{are} made for print (CMYK), and converted without a profile: save as RGB what looks wrong."
_DEEP = "{have} more than 8 bits a value, of which 8 are used: spread faint contrasts beforehand."
_TURNED = "{are} turned or mirrored as the metadata (EXIF) says: nothing to do."


def _which(headers: Headers, wanted: Callable[[Header], bool]) -> list[str]:
    return [name for name, header in headers.items() if wanted(header)]


def _those(headers: Headers, kind: Kind, wanted: Callable[[Header], bool], rest: str) -> list[Finding]:
    names = _which(headers, wanted)
    return [about(kind, names, rest)] if names else []


def _small(headers: Headers, settings: Settings) -> list[Finding]:
    wanted = settings.known_size()
    small = _which(headers, lambda one: _factor(one.size, wanted, settings.fit) > 1)
    if not small:
        return []
    advice = "delete what looks bad"
    if 2 * len(small) > len(headers):
        sides = sorted(min(header.size) for header in headers.values())
        advice = f"try --size {_handy(sides[len(sides) // 2])}"
    rest = f"{{are}} smaller than {wanted[0]} x {wanted[1]}, and enlarging blurs {{them}}: {advice}."
    return [about("small", small, rest)]


def _cropped(headers: Headers, settings: Settings) -> list[Finding]:
    parts = {name: _lost(header.size, settings.known_size()) for name, header in headers.items()}
    names = sorted((name for name, part in parts.items() if part > LOST), key=lambda name: -parts[name])
    if settings.fit == "pad" or not names:
        return []
    rest = (
        f"{{lose}} over {LOST:.0%} to cropping, up to {parts[names[0]]:.0%}: --fit pad keeps {{them}} whole, "
        f"or another --size HxW may suit."
    )
    return [about("cropped", names, rest)]


def _mixed(headers: Headers, settings: Settings) -> list[Finding]:
    grey = _which(headers, lambda one: one.mode in GREY_MODES)
    if len(grey) in {0, len(headers)} or settings.known_channels() < 3:
        return []
    rest = (
        f"of {len(headers):,} {{are}} grey, and so will samples be now and then: --channels 1 makes all grey."
    )
    return [about("mixed", grey, rest)]


def _factor(size: Size, wanted: Size, fit: str) -> float:
    """How much a picture is enlarged."""
    factors = wanted[0] / size[0], wanted[1] / size[1]
    return max(factors) if fit == "crop" else min(factors)


def _lost(size: Size, wanted: Size) -> float:
    """The part of its area that a picture loses to cropping."""
    ratio = (size[1] / size[0]) / (wanted[1] / wanted[0])
    return 1 - min(ratio, 1 / ratio)


def _handy(side: int) -> int:
    """The multiple of 8 below, for such sizes halve well."""
    return max(8, side // 8 * 8)
