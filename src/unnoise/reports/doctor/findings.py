"""Findings on pictures, classes and the machine: one sentence each, with a remedy."""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple, TypeAlias

from unnoise.reports.doctor.balance import Balance
from unnoise.reports.doctor.copies import Copies
from unnoise.reports.doctor.forecast import Forecast

Kind: TypeAlias = Literal[
    "unreadable",
    "animated",
    "alpha",
    "cmyk",
    "bit depth",
    "turned",
    "small",
    "cropped",
    "some grey",
    "all grey",
    "blank",
    "exact copies",
    "near copies",
    "held-out copies",
    "memorised",
    "few",
    "copying",
    "rare classes",
    "uneven classes",
    "slow",
    "disk",
]
"""Kind of a finding; each has its own sentence."""

MEMORISED, FEW, COPIED = 100, 1_000, 5_000
"""Fewer pictures than these are soon memorised, are few, or may be copied by a long run. A run on 150 digits
drew its first copies after 700 steps, and 52 % of them after 1,411 (docs/stopping.md)."""

RARE, UNEVEN = 50, 10.0
"""Classes with fewer pictures, and larger ratios of the largest class to the smallest, are reported."""

_NOTES = frozenset(
    {"animated", "alpha", "cmyk", "bit depth", "turned", "small", "some grey", "all grey", "copying"}
)
_MOST_SHOWN = 3


class Finding(NamedTuple):
    """A fact about the data or the machine, with a remedy."""

    kind: Kind
    text: str
    """The fact and the remedy."""
    names: tuple[str, ...] = ()
    """The pictures that it is about."""

    @property
    def serious(self) -> bool:
        """Whether it should be fixed before training, rather than only known."""
        return self.kind not in _NOTES


def picture_count(number: int) -> str:
    """A number of pictures in words: `1 picture`, `60,000 pictures`."""
    return f"{number:,} picture{'' if number == 1 else 's'}"


def about(kind: Kind, names: Iterable[str], rest: str) -> Finding:
    """A finding on these pictures: their number, then `rest`, whose verbs in braces follow the number."""
    known = tuple(names)
    verbs = {"are": "is", "have": "has", "lose": "loses", "them": "it"}
    fitting = {many: one if len(known) == 1 else many for many, one in verbs.items()}
    return Finding(kind, f"{picture_count(len(known))} {rest.format(**fitting)}", known)


def blank_findings(blank: Sequence[str], hidden: Sequence[str] = ()) -> list[Finding]:
    """Findings on pictures of a single colour, and on those whose colour is that of the background."""
    text = "{are} of a single colour: look at {them}, and delete {them} if there is nothing to see."
    beside = (
        "{have} the colour of the background and nothing else: delete {them}, or show transparent drawings of "
        "this colour by another --background, such as black or white."
    )
    found = ((blank, text), (hidden, beside))
    return [about("blank", names, words) for names, words in found if names]


def copy_findings(
    copies: Copies, held_out_copies: int, names: Sequence[str], *, channels: int
) -> list[Finding]:
    """Findings on copies, and on colour pictures without colours; `names` are those of all pictures."""
    findings = []
    if copies.exact:
        one = "is an exact copy of another and counts twice: delete it."
        many = "are exact copies of others and count more than the rest: delete them."
        findings.append(_copied("exact copies", copies.exact_copies, (one, many), copies.exact, names))
    if copies.near:
        one = "is a near copy of another (resized, saved again, lighter or darker): keep the better one."
        many = "are near copies of others (resized, saved again, lighter or darker): keep one of each."
        findings.append(_copied("near copies", copies.near_copies, (one, many), copies.near, names))
    if held_out_copies:
        have = "has a copy" if held_out_copies == 1 else "have copies"
        text = (
            f"{picture_count(held_out_copies).replace(' ', ' held-out ')} {have} among the training pictures, "
            f"so memorisation would look like quality: delete the copies first."
        )
        findings.append(Finding("held-out copies", text))
    if channels == 3 and not copies.colourful.any():
        text = "All pictures are grey, but have three channels: use --channels 1."
        findings.append(Finding("all grey", text))
    return findings


def _copied(
    kind: Kind, number: int, texts: tuple[str, str], groups: Sequence[Sequence[int]], names: Sequence[str]
) -> Finding:
    shown = []
    for group in groups:
        more = f" and {len(group) - _MOST_SHOWN:,} more" if len(group) > _MOST_SHOWN else ""
        shown.append(" = ".join(names[place] for place in group[:_MOST_SHOWN]) + more)
    return Finding(kind, f"{picture_count(number)} {texts[number > 1]}", tuple(shown))


def count_findings(count: int, *, flip: bool) -> list[Finding]:
    """Finding on too few pictures."""
    mirror = "" if flip else ", and use --flip if mirror images make sense"
    if count < MEMORISED:
        text = f"will soon be memorised: gather {FEW:,} or more, or stop early{mirror}."
        return [Finding("memorised", f"{picture_count(count)} {text}")]
    if count < FEW:
        text = f"are few, and a long run copies them: use --until-converged to stop before{mirror}."
        return [Finding("few", f"{picture_count(count)} {text}")]
    if count < COPIED:
        advice = f"use --until-converged, or run unnoise evaluate{mirror}"
        text = f"may be memorised by a run of several hours: {advice}."
        return [Finding("copying", f"{picture_count(count)} {text}")]
    return []


def class_findings(balance: Balance) -> list[Finding]:
    """Findings on classes with few pictures, and on uneven classes."""
    findings, rare = [], balance.below(RARE)
    if rare:
        have = "class has" if len(rare) == 1 else "classes have"
        text = f"{len(rare):,} {have} fewer than {RARE} pictures, too few to learn from: add some, or merge."
        findings.append(
            Finding("rare classes", text, tuple(f"{name} ({balance.counts[name]:,})" for name in rare))
        )
    if balance.ratio > UNEVEN:
        most, least = balance.largest, balance.smallest
        text = (
            f"{most} has {balance.counts[most]:,} pictures and {least} has {balance.counts[least]:,}, so "
            f"samples of {least} will be worse: make the classes more even."
        )
        findings.append(Finding("uneven classes", text))
    return findings


def machine_findings(forecast: Forecast | None, needed: int, free: int, minutes: float | None) -> list[Finding]:
    """Findings on a run that is too short, or does not fit on the disk.

    Args:
        forecast: None without a measured speed.
        needed, free: bytes on the disk.
        minutes: the run's budget, if it is one of minutes.
    """
    findings = []
    if forecast is not None and minutes is not None and forecast.usable[0] > 60 * minutes:
        longer = -(-forecast.usable[0] // 600) * 10
        text = (
            f"A budget of {minutes:g} min is too short on this machine: try --minutes {longer:,.0f} or more, "
            "a smaller --size, or a GPU."
        )
        findings.append(Finding("slow", text))
    if needed > free:
        text = f"A run takes {needed / 1e6:,.0f} MB, but only {free / 1e6:,.0f} MB are free: make room first."
        findings.append(Finding("disk", text))
    return findings
