"""Variants of the ablations: the default recipe with one choice changed."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from unnoise.runs.config import Budget
from unnoise.runs.plan import TrainOptions

SIZE = 16
HELD_OUT = 297
"""Of 1,797 digits, so that 1,500 are trained on."""

COMMON = (
    "network.widths=[32,64]",
    "optimizer.name=adamw",
    "optimizer.learning_rate=0.002",
    "sampling.num_steps=20",
    "clusters=0",
)
"""Changes of the default preset that all variants share."""


@dataclass(frozen=True)
class Variant:
    """One row of the table of ablations.

    Args:
        question: the setting that is changed.
        choice: the value that it gets; for the baseline, all values that are varied.
        changes: of the baseline's recipe; see `Recipe.changed`.
    """

    question: str
    choice: str
    changes: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """Its name for --variants, such as loss-l1."""
        return "-".join([self.question, *self.choice.split()]) if self.changes else self.question

    def options(self, seed: int, steps: int) -> TrainOptions:
        """The settings of one run."""
        return TrainOptions(
            size=(SIZE, SIZE),
            seed=seed,
            held_out=HELD_OUT,
            changes=(*COMMON, *self.changes),
            budget=Budget(unit="steps", amount=float(steps)),
        )

    def command(self, steps: int) -> str:
        """The same run on the command line, with its first seed."""
        changes = " ".join(shlex.quote(change) for change in (*COMMON, *self.changes))
        return (
            f"unnoise train digits --size {SIZE} --steps {steps} --held-out {HELD_OUT} --seed 0 --set {changes}"
        )


def _objective(target: str) -> tuple[str, str]:
    return f"objective.predicts={target}", f"objective.compares={target}"


BASELINE = Variant("baseline", "l2, residual, full attention at the bottom, dataset, velocity, log_snr, EMA")

VARIANTS = (
    BASELINE,
    Variant("loss", "l1", ("objective.loss=l1",)),
    Variant("loss", "huber", ("objective.loss=huber",)),
    Variant("block", "resnet", ("network.block=resnet",)),
    Variant("block", "convnext", ("network.block=convnext",)),
    Variant("attention", "none", ('network.attention=["none","none"]',)),
    Variant("attention", "linear at the bottom", ('network.attention=["none","linear"]',)),
    Variant("attention", "linear above full", ('network.attention=["linear","full"]',)),
    Variant("normalization", "imagenet", ("normalization=imagenet",)),
    Variant("normalization", "symmetric", ("normalization=symmetric",)),
    Variant("objective", "noise", _objective("noise")),
    Variant("objective", "image", _objective("image")),
    Variant("condition", "variance", ("condition=variance",)),
    Variant("condition", "rate", ("condition=rate",)),
    Variant("ema", "off", ("ema.decay=0.0",)),
    Variant("ema", "constant 0.999", ("ema.decay=0.999", "ema.warmup=null")),
)


def chosen(names: Sequence[str]) -> list[Variant]:
    """The variants of these names, or of these questions, in the order of the table; all for no names.

    Raises:
        ValueError: for a name that is none.
    """
    known = {variant.name for variant in VARIANTS} | {variant.question for variant in VARIANTS}
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(f"There is no variant {unknown[0]!r}: choose from {', '.join(sorted(known))}.")
    return [one for one in VARIANTS if not names or one.name in names or one.question in names]
