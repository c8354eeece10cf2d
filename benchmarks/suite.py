"""The list of benchmarks: what each measures, how long it takes, and its page in docs/."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Benchmark(NamedTuple):
    """A module of benchmarks/ that writes a page.

    Args:
        module: its name.
        measures: what it measures, as a question.
        minutes: how long it takes on two cores, roughly.
        page: the name of its page in docs/, where that is not the module's.
        full: its options; {work} is a folder for intermediate files.
        quick: further options that make it short.
        trains: whether it needs a trained run in {work}/run.
    """

    module: str
    measures: str
    minutes: float
    page: str = ""
    full: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--quick",)
    trains: bool = False

    @property
    def file(self) -> str:
        """Name of the page's file."""
        return f"{self.page or self.module}.md"

    def options(self, work: Path, docs: Path, *, quick: bool) -> list[str]:
        """Its command-line options; the page goes to `docs`."""
        options = (*self.full, *(self.quick if quick else ()), "--docs", str(docs))
        return [option.replace("{work}", str(work)) for option in options]


BENCHMARKS = (
    Benchmark("precision", "Does a CPU train faster in bfloat16, and learn as much?", 3),
    Benchmark("training_speed", "How fast is training beside diffusers and denoising-diffusion-pytorch?", 5),
    Benchmark("time_to_quality", "How good are the pictures of several libraries after the same minutes?", 60),
    Benchmark("distillation", "How well does a run draw in one and two calls, once it is distilled?", 30),
    Benchmark("peer_samplers", "Which of the other libraries' own samplers draws best?", 12),
    Benchmark("sampling", "How fast is sampling beside diffusers?", 10, "sampling_speed", ("--compile",)),
    Benchmark("loading", "How fast are pictures loaded?", 10),
    Benchmark("running_costs", "What do guards, checkpoints, averages and data cost?", 20),
    Benchmark("memory", "How much memory does training take beside the same libraries?", 5),
    Benchmark("startup", "How long do commands take to start?", 5),
    Benchmark("app_response", "How soon does the web app answer, also while a run trains?", 3),
    Benchmark("growth", "How does the cost of training grow with pictures, batch and network?", 6),
    Benchmark("preset_scores", "How good is each preset after the same minutes?", 45),
    Benchmark("presets", "What does each preset cost?", 10),
    Benchmark("attention_cost", "What do linear and full attention cost?", 3),
    Benchmark(
        "ablations",
        "What does each choice of the recipe change?",
        30,
        full=("--out", "{work}/ablations.jsonl"),
        quick=("--steps", "2", "--seeds", "0", "--variants", "baseline", "loss-l1"),
    ),
    Benchmark(
        "solvers",
        "Which sampler needs the fewest network calls?",
        65,
        full=("{work}/run", "--log", "{work}/solvers.jsonl"),
        quick=("--samples", "8", "--seeds", "1", "--calls", "4"),
        trains=True,
    ),
    Benchmark(
        "stopping",
        "When does a run stop?",
        12,
        full=("--folder", "{work}/stopping"),
        quick=("--minutes", "2"),
    ),
)
"""In the order in which they run, and stand in docs/benchmarks.md."""


def chosen(names: Sequence[str]) -> list[Benchmark]:
    """The benchmarks of these names, or all of them for no names.

    Raises:
        ValueError: for a name that no benchmark has.
    """
    known = {one.module: one for one in BENCHMARKS}
    for name in names:
        if name not in known:
            raise ValueError(f"there is no benchmark {name!r}: choose from {', '.join(known)}")
    return [known[name] for name in names or known]


def listing() -> str:
    """All benchmarks, each with what it measures and how long it takes."""
    width = max(len(one.module) for one in BENCHMARKS)
    return "\n".join(
        f"  {one.module:{width}}  {one.measures} About {one.minutes:g} minutes." for one in BENCHMARKS
    )
