"""Retention of saved states: which are kept when a new one was saved."""

from collections.abc import Iterable


def kept_states(steps: Iterable[int], *, trusted: int | None = None, sound: int | None = None) -> set[int]:
    """The steps of the states that are kept, at most three.

        newest    to resume from
        second    the newest before it that is at most at step `trusted`, or else the newest before it: in case
                  the loss turns out to be faulty, or the newest file to be damaged
        pinned    the newest that is at most at the steps `trusted` and `sound`: in case the samples turn out to
                  be faulty, however long ago they were last looked at

    Args:
        steps: of all states that there are.
        trusted: the last step whose loss is known to be good; None where that of every step is.
        sound: the last step whose samples were looked at and found sound; None where none were.
    """
    newest, *before = sorted(steps, reverse=True)
    good = [step for step in (newest, *before) if trusted is None or step <= trusted]
    second = [step for step in before if step in good] or before
    pinned = [step for step in good if sound is not None and step <= sound]
    return {newest, *second[:1], *pinned[:1]}
