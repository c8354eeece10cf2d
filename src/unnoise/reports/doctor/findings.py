"""What may spoil a training is said in one sentence each, with what can be done about it."""

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
    "deep",
    "turned",
    "small",
    "cropped",
    "mixed",
    "grey",
    "blank",
    "exact",
    "near",
    "split",
    "by heart",
    "few",
    "copying",
    "rare",
    "uneven",
    "slow",
    "disk",
]
"""Of a finding, one for each sentence that there is."""

BY_HEART, FEW, COPYING = 100, 1_000, 5_000
"""Fewer pictures than these are learned by heart, are few, and may be copied in a long run. A run on 150 digits
drew its first copies after 700 steps, and 52 % of them after 1,411 (docs/stopping.md)."""

RARE, UNEVEN = 50, 10.0
"""A class of fewer pictures, and a ratio of the largest class to the smallest, that are worth a word."""


_NOTES = frozenset({"animated", "alpha", "cmyk", "deep", "turned", "small", "mixed", "grey", "copying"})
_ALIKE = 3


class Finding(NamedTuple):
    """One thing to know."""

    kind: Kind
    text: str
    """What there is, and a remedy."""
    names: tuple[str, ...] = ()
    """Which pictures."""

    @property
    def serious(self) -> bool:
        """Whether it should be mended before training, rather than known."""
        return self.kind not in _NOTES


def pictures(number: int) -> str:
    """`1 picture`, `60,000 pictures`."""
    return f"{number:,} picture{'' if number == 1 else 's'}"


def about(kind: Kind, names: Iterable[str], rest: str) -> Finding:
    """`2 pictures` and the rest; its verbs stand in braces, and follow the number."""
    known = tuple(names)
    verbs = {"are": "is", "have": "has", "lose": "loses", "them": "it"}
    fitting = {many: one if len(known) == 1 else many for many, one in verbs.items()}
    return Finding(kind, f"{pictures(len(known))} {rest.format(**fitting)}", known)


def of_pixels(blank: Sequence[str]) -> list[Finding]:
    """Of the pictures on which nothing is to be seen."""
    text = "{are} of one colour all over: look at {them}, and delete what is void."
    return [about("blank", blank, text)] if blank else []


def of_copies(copies: Copies, straddling: int, names: Sequence[str], *, channels: int) -> list[Finding]:
    """Of what is there more than once; `names` are those of all pictures."""
    findings = []
    if copies.exact:
        one = "is an exact copy of another, and counts twice: delete it."
        many = "are exact copies of others, and count more than the rest: delete them."
        findings.append(_copied("exact", copies.exact_copies, (one, many), copies.exact, names))
    if copies.near:
        one = "is a near copy of another (resized, saved anew, lighter or darker): keep the better one."
        many = "are near copies of others (resized, saved anew, lighter or darker): keep one of each."
        findings.append(_copied("near", copies.near_copies, (one, many), copies.near, names))
    if straddling:
        have = "has a copy" if straddling == 1 else "have copies"
        text = (
            f"{pictures(straddling).replace(' ', ' held-out ')} {have} among those that are trained on, where "
            f"learning by heart would look like quality: delete the copies first."
        )
        findings.append(Finding("split", text))
    if channels == 3 and not copies.colourful.any():
        text = "All pictures are grey, though with three channels: --channels 1 spares the network two of them."
        findings.append(Finding("grey", text))
    return findings


def _copied(
    kind: Kind, number: int, texts: tuple[str, str], groups: Sequence[Sequence[int]], names: Sequence[str]
) -> Finding:
    shown = []
    for group in groups:
        more = f" and {len(group) - _ALIKE:,} more" if len(group) > _ALIKE else ""
        shown.append(" = ".join(names[place] for place in group[:_ALIKE]) + more)
    return Finding(kind, f"{pictures(number)} {texts[number > 1]}", tuple(shown))


def of_number(count: int, *, flip: bool) -> list[Finding]:
    """Whether there are enough pictures."""
    mirror = "" if flip else ", and --flip helps where mirror images make sense"
    if count < BY_HEART:
        text = f"will soon be learned by heart: gather {FEW:,} or more, or stop early{mirror}."
        return [Finding("by heart", f"{pictures(count)} {text}")]
    if count < FEW:
        text = f"are few, and a long run copies them: --until-converged stops before it does{mirror}."
        return [Finding("few", f"{pictures(count)} {text}")]
    if count < COPYING:
        text = f"may be copied in a run of hours: --until-converged watches, unnoise evaluate tells{mirror}."
        return [Finding("copying", f"{pictures(count)} {text}")]
    return []


def of_classes(balance: Balance) -> list[Finding]:
    """Whether each class has enough pictures."""
    findings, rare = [], balance.below(RARE)
    if rare:
        have = "class has" if len(rare) == 1 else "classes have"
        text = f"{len(rare):,} {have} fewer than {RARE} pictures, too little to learn from: add some, or merge."
        findings.append(Finding("rare", text, tuple(f"{name} ({balance.counts[name]:,})" for name in rare)))
    if balance.ratio > UNEVEN:
        most, least = balance.largest, balance.smallest
        text = (
            f"{most} has {balance.counts[most]:,} pictures and {least} has {balance.counts[least]:,}, so that "
            f"{least} will be drawn worse: even the classes out."
        )
        findings.append(Finding("uneven", text))
    return findings


def of_machine(expected: Forecast | None, needed: int, free: int, minutes: float | None) -> list[Finding]:
    """Whether the run is long enough, and fits on the disk (in bytes).

    Args:
        minutes: what the run's budget allows, where it is a budget of minutes.
    """
    findings = []
    if expected is not None and minutes is not None and expected.usable[0] > 60 * minutes:
        longer = -(-expected.usable[0] // 600) * 10
        text = (
            f"{minutes:g} minutes are short on this machine: try --minutes {longer:,.0f} or more, a smaller "
            f"--size, or a GPU."
        )
        findings.append(Finding("slow", text))
    if needed > free:
        text = f"A run takes {needed / 1e6:,.0f} MB, but {free / 1e6:,.0f} MB are free here: make room first."
        findings.append(Finding("disk", text))
    return findings
