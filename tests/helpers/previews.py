"""Previews at chosen moments, for tests: their rhythm follows the clock of the machine."""

from collections.abc import Callable

import pytest

from unnoise.trainer.previews.rhythm import Choice, PreviewRhythm


def draw_previews(patches: pytest.MonkeyPatch, when: Callable[[float], bool] = lambda _: True) -> None:
    """Lets runs draw the largest preview whenever this is true of the share of the budget, and at the end."""

    def choose(_: PreviewRhythm, costs: list[float], __: float, spent: float, ___: float) -> Choice | None:
        return Choice(len(costs) - 1, complete=True) if when(spent) else None

    patches.setattr(PreviewRhythm, "choose", choose)
    patches.setattr(PreviewRhythm, "choose_last", lambda _, costs, *__: Choice(len(costs) - 1, complete=True))
