"""All that is measured, in one list: what each part asks, how long it takes, and the page that it writes."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple


class Part(NamedTuple):
    """A module of benchmarks/.

    Args:
        module: its name.
        asks: what it measures, as a sentence.
        minutes: how long it takes on two cores, roughly.
        page: the name of its page in docs/, where that is not its own.
        full: its options; {work} is a folder for what it needs on the way.
        quick: those that make it short, beside them.
        trains: whether it asks about a run, {work}/run, that has to be trained before it.
    """

    module: str
    asks: str
    minutes: float
    page: str = ""
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--quick",)
    trains: bool = False

    @property
    def file(self) -> str:
        """The name of the page's file."""
        return f"{self.page or self.module}.md"

    @property
    def there(self) -> bool:
        """Whether the module is."""
        return find_spec(f"benchmarks.{self.module}") is not None

    def options(self, work: Path, docs: Path, *, quick: bool) -> list[str]:
        """What it is called with; the page goes to `docs`."""
        asked = (*self.full, *(self.quick if quick else ()), "--docs", str(docs))
        return [option.replace("{work}", str(work)) for option in asked]


PARTS = (
    Part("training_speed", "How fast is training beside diffusers and denoising-diffusion-pytorch?", 5),
    Part("time_to_quality", "How good are the pictures of several libraries after the same minutes?", 60),
    Part("peer_samplers", "Which of the others' own samplers draws best with what they learned?", 12),
    Part("sampling", "How fast is sampling beside diffusers?", 10, "sampling_speed", ("--compile",)),
    Part("loading", "How fast do pictures become batches?", 10),
    Part("running_costs", "What do guards, checkpoints, averages and data cost?", 20),
    Part("memory", "How much memory does training take beside the same libraries?", 5),
    Part("startup", "How long do commands take to start?", 5),
    Part("growth", "What does training cost as pictures, batch and network grow?", 6),
    Part("preset_scores", "How good is each preset after the same minutes?", 45),
    Part("presets", "What does each preset cost?", 10),
    Part(
        "attention_cost",
        "What do linear and full attention cost?",
        3,
        quick=("--sides", "32", "48", "--turns", "1"),
    ),
    Part(
        "ablations",
        "What does each choice of the studies change?",
        30,
        full=("--out", "{work}/ablations.jsonl"),
        quick=("--steps", "2", "--seeds", "0", "--variants", "baseline", "loss-l1"),
    ),
    Part(
        "solvers",
        "Which sampler needs the fewest calls?",
        65,
        full=("{work}/run", "--log", "{work}/solvers.jsonl"),
        quick=("--samples", "8", "--seeds", "1", "--calls", "4"),
        trains=True,
    ),
    Part(
        "stopping",
        "When does a run stop?",
        12,
        full=("--folder", "{work}/stopping"),
        quick=("--minutes", "2"),
    ),
)
"""In the order in which they run, and stand on the page of results."""


def chosen(names: Sequence[str]) -> list[Part]:
    """The parts of these names, or all that are there.

    Raises:
        ValueError: for a name that no part has.
    """
    known = {part.module: part for part in PARTS if part.there}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no part {name!r}: choose from {', '.join(known)}")
    return [known[name] for name in names or known]
