"""Findings from the headers of files: what decoding will lose or change."""

from collections.abc import Callable
from typing import TypeAlias

from unnoise.data import DecodeSettings, Skipped
from unnoise.data.decoding.conversion import GREY_MODES, Size
from unnoise.data.decoding.decode import Header
from unnoise.reports.doctor.findings import Finding, Kind, about

Headers: TypeAlias = dict[str, Header]
"""Headers by the name of the picture."""

LOST = 0.4
"""The share that cropping may take without a finding: 16:9 loses 44 % to a square, 3:2 a third."""


def skipped_findings(skipped: tuple[Skipped, ...]) -> list[Finding]:
    """Finding on the files that could not be read."""
    if not skipped:
        return []
    files, them = ("1 file", "it") if len(skipped) == 1 else (f"{len(skipped):,} files", "them")
    remedy = f"save {them} again as PNG or JPEG"
    if all(": " in one.reason for one in skipped):  # a colon comes before a remedy
        remedy = "do what the reason says"
    text = f"{files} cannot be read and will be left out: {remedy} to use {them}."
    return [Finding("unreadable", text, tuple(f"{one.name} ({one.reason})" for one in skipped))]


def header_findings(headers: Headers, settings: DecodeSettings) -> list[Finding]:
    """Findings on the pictures that could be read, once size and channels are settled."""
    alpha = 2 if settings.channels == 1 else 4
    colours = f"{{have}} transparency, shown as one colour: --background sets it, --channels {alpha} keeps it."
    found = [
        *_findings(headers, "animated", lambda one: one.animated, _ANIMATED),
        *_findings(headers, "alpha", lambda one: one.alpha and settings.channels not in {2, 4}, colours),
        *_findings(headers, "cmyk", lambda one: one.mode == "CMYK", _CMYK),
        *_findings(headers, "bit depth", lambda one: one.mode == "F" or one.mode.startswith("I"), _DEEP),
        *_findings(headers, "turned", lambda one: one.turned, _TURNED),
    ]
    return [*found, *_small(headers, settings), *_cropped(headers, settings), *_mixed(headers, settings)]


_ANIMATED = "{are} animated or {have} several pages, of which the first is used: save others as separate files."
_CMYK = "{are} made for print (CMYK), converted without a profile: save {them} as RGB if colours look wrong."
_DEEP = "{have} more than 8 bits a value, of which 8 are used: stretch faint contrasts beforehand."
_TURNED = "{are} turned or mirrored as the metadata (EXIF) says: nothing to do."


def _names(headers: Headers, wanted: Callable[[Header], bool]) -> list[str]:
    return [name for name, header in headers.items() if wanted(header)]


def _findings(headers: Headers, kind: Kind, wanted: Callable[[Header], bool], rest: str) -> list[Finding]:
    names = _names(headers, wanted)
    return [about(kind, names, rest)] if names else []


def _small(headers: Headers, settings: DecodeSettings) -> list[Finding]:
    wanted = settings.known_size()
    small = _names(headers, lambda one: _enlargement(one.size, wanted, settings.fit) > 1)
    if not small:
        return []
    advice = "delete those that look bad"
    if 2 * len(small) > len(headers):
        sides = sorted(min(header.size) for header in headers.values())
        advice = f"try --size {_multiple_of_8(sides[len(sides) // 2])}"
    rest = f"{{are}} smaller than {wanted[0]} x {wanted[1]}, and enlarging blurs {{them}}: {advice}."
    return [about("small", small, rest)]


def _cropped(headers: Headers, settings: DecodeSettings) -> list[Finding]:
    parts = {name: _lost(header.size, settings.known_size()) for name, header in headers.items()}
    names = sorted((name for name, part in parts.items() if part > LOST), key=lambda name: -parts[name])
    if settings.fit == "pad" or not names:
        return []
    rest = (
        f"{{lose}} over {LOST:.0%} to cropping, up to {parts[names[0]]:.0%}: use --fit pad to keep {{them}} "
        f"whole, or another --size HxW."
    )
    return [about("cropped", names, rest)]


def _mixed(headers: Headers, settings: DecodeSettings) -> list[Finding]:
    grey = _names(headers, lambda one: one.mode in GREY_MODES)
    if len(grey) in {0, len(headers)} or settings.known_channels() < 3:
        return []
    rest = f"of {len(headers):,} {{are}} grey, so some samples will be grey too: --channels 1 makes all grey."
    return [about("some grey", grey, rest)]


def _enlargement(size: Size, wanted: Size, fit: str) -> float:
    """The factor by which a picture is enlarged."""
    factors = wanted[0] / size[0], wanted[1] / size[1]
    return max(factors) if fit == "crop" else min(factors)


def _lost(size: Size, wanted: Size) -> float:
    """The part of its area that a picture loses to cropping."""
    ratio = (size[1] / size[0]) / (wanted[1] / wanted[0])
    return 1 - min(ratio, 1 / ratio)


def _multiple_of_8(side: int) -> int:
    """The largest multiple of 8 up to `side`, as such sizes can be halved three times."""
    return max(8, side // 8 * 8)
