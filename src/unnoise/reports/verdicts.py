"""What a person wants to know first: whether it still learns, how good it is, and whether it copies."""

from unnoise.reports.curves import kid_name
from unnoise.reports.figures import between, count, number
from unnoise.reports.folders import Folder
from unnoise.reports.page import Tone, Verdict
from unnoise.reports.records import best_of

_RISEN = 1.05
"""A held-out loss that is so many times its lowest tells of pictures learned by heart."""


def verdicts(folder: Folder) -> list[Verdict]:
    """All that can be said of this run; what was not measured is left out."""
    known = folder.evaluation
    found = [_loss(folder), _training_quality(folder), _score(folder)]
    if known.memorisation and known.memorisation.verdict:
        found.append(Verdict("Copies", known.memorisation.verdict, _tone(known.memorisation.verdict)))
    if known.colours and known.colours.verdict:
        found.append(Verdict("Colours", known.colours.verdict))
    return [verdict for verdict in found if verdict is not None]


def _tone(sentence: str) -> Tone:
    # The sentence was written by whoever measured: "No sign of copying: ..." or "It copies: ...".
    start = sentence.lower()
    return "good" if start.startswith("no ") else "bad" if start.startswith("it copies") else "plain"


def _loss(folder: Folder) -> Verdict | None:
    if not folder.held_out:
        return None
    (_, last), (best, lowest) = folder.held_out[-1], min(folder.held_out, key=lambda pair: pair[1])
    if last <= lowest or len(folder.held_out) == 1:
        when = "its lowest so far" if len(folder.held_out) > 1 else "measured once"
        return Verdict("Held-out loss", f"{number(last)}, {when}.", "good" if last <= lowest else "plain")
    text = f"{number(last)}; its lowest was {number(lowest)}, after {count(best.step, 'step')}"
    if last < _RISEN * lowest:
        return Verdict("Held-out loss", f"{text}: it has levelled off.")
    return Verdict("Held-out loss", f"{text}: it now learns its pictures by heart.", "bad")


def _training_quality(folder: Folder) -> Verdict | None:
    if not folder.quality:
        return None
    last, best = folder.quality[-1], best_of(folder.quality)
    title = f"{kid_name(last.extractor)} in training"
    if last.kid <= best.kid:
        return Verdict(title, f"{number(last.kid)} at the end, its best so far.", "good")
    text = f"{number(best.kid)} at its best, after {count(best.step, 'step')}; {number(last.kid)} at the end"
    # Where the best still lies in the last interval, the difference may be chance.
    chance = last.low is not None and last.low <= best.kid
    return Verdict(
        title,
        f"{text}{', which may be chance' if chance else ', which is worse'}.",
        "plain" if chance else "bad",
    )


def _score(folder: Folder) -> Verdict | None:
    quality = folder.evaluation.quality
    if quality is None or not quality.scores:
        return None
    first = quality.scores[0]
    interval = between(first.low, first.high)
    interval = f" ({interval})" if interval else ""
    real = f"; real pictures reach {number(first.real)}" if first.real is not None else ""
    return Verdict(first.name, f"{number(first.value)}{interval}{real}.")
