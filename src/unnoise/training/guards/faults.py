"""A fault is one sentence on what went wrong in a run, the step at which it was seen, and the last good one."""

from typing import Literal

from unnoise.utils.errors import UnnoiseError

Kind = Literal[
    "non-finite loss",
    "non-finite gradient",
    "non-finite weights",
    "loss spike",
    "collapsed samples",
    "colour shift",
]


class Fault(UnnoiseError):  # noqa: N818
    """What ends a stretch of training; where nobody goes back, it is an error like any other.

    Args:
        kind: of which.
        seen: what was seen, as the beginning of a sentence.
        step: at which it was seen.
        good: the last step at which it was not there yet: what was saved until then can be trusted. None where
            it was there all along, so that it can only be told.
    """

    def __init__(self, kind: Kind, seen: str, *, step: int, good: int | None) -> None:
        super().__init__(
            f"{seen} at step {step}: go on from the last saved state with --resume, "
            "or train again with a lower learning rate or in float32."
        )
        self.kind = kind
        self.seen = seen
        self.step = step
        self.good = good

    @property
    def is_of_numbers(self) -> bool:
        """Whether something was not finite, which is certain and may come from a lack of precision."""
        return self.kind.startswith("non-finite")
